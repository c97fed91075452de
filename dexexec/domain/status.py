"""The life of an order as one table: (status, trigger) -> status. Nothing else in the project sets a status.

    pending -> routing -> building -> submitted -> confirmed
                  ^          |            |
                  +----------+------------+   back only when nothing was sent, or the attempt is proven unlandable

Every step may also end in `failed` or `expired`. From `submitted` an order ends without a fill, or is routed again,
only with proof that its attempt can never land: the triggers of that kind are listed in `NEEDS_PROOF`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """Where an order stands. `TERMINAL` names the ones that never change again."""

    PENDING = "pending"
    WAITING = "waiting"
    ROUTING = "routing"
    BUILDING = "building"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Trigger(StrEnum):
    """What happened to an order."""

    ROUTE = "route"  # venues were asked for quotes (again)
    BUILD = "build"  # a venue was chosen
    SUBMIT = "submit"  # an attempt was signed and recorded
    LAND = "land"  # the chain shows the swap
    FAIL = "fail"  # it will not be tried again
    EXPIRE = "expire"  # its deadline passed before anything was sent
    WAIT = "wait"  # it rests until a condition holds
    CANCEL = "cancel"  # the client took it back


class IllegalTransitionError(Exception):
    """The table has no such step: a bug in the caller, never the client's fault."""

    def __init__(self, status: Status, trigger: Trigger) -> None:
        super().__init__(f"an order that is {status} cannot {trigger}")


_UNSENT = {Trigger.FAIL: Status.FAILED, Trigger.EXPIRE: Status.EXPIRED, Trigger.CANCEL: Status.CANCELLED}

TRANSITIONS: Mapping[Status, Mapping[Trigger, Status]] = MappingProxyType(
    {
        Status.PENDING: {Trigger.ROUTE: Status.ROUTING, Trigger.WAIT: Status.WAITING, **_UNSENT},
        Status.WAITING: {Trigger.ROUTE: Status.ROUTING, **_UNSENT},
        Status.ROUTING: {Trigger.ROUTE: Status.ROUTING, Trigger.BUILD: Status.BUILDING, **_UNSENT},
        Status.BUILDING: {
            Trigger.ROUTE: Status.ROUTING,
            Trigger.BUILD: Status.BUILDING,
            Trigger.SUBMIT: Status.SUBMITTED,
            **_UNSENT,
        },
        Status.SUBMITTED: {
            Trigger.LAND: Status.CONFIRMED,
            Trigger.ROUTE: Status.ROUTING,
            Trigger.FAIL: Status.FAILED,
            Trigger.EXPIRE: Status.EXPIRED,
        },
        Status.CONFIRMED: {},
        Status.FAILED: {},
        Status.CANCELLED: {},
        Status.EXPIRED: {},
    }
)

TERMINAL = frozenset(status for status, steps in TRANSITIONS.items() if not steps)
LIVE = frozenset(Status) - TERMINAL
NEEDS_PROOF = frozenset({Trigger.ROUTE, Trigger.FAIL, Trigger.EXPIRE})
"""Triggers that leave `submitted` without a fill: only with proof that the attempt cannot land any more."""


def advance(status: Status, trigger: Trigger) -> Status:
    """The status after `trigger`; raises `IllegalTransitionError` when the table has no such step."""
    try:
        return TRANSITIONS[status][trigger]
    except KeyError:
        raise IllegalTransitionError(status, trigger) from None

"""The life of an order as one table: (status, trigger) -> status. No other module sets a status.

`confirmed` is terminal once it is finalized. Until then the chain may take the swap back: its attempt stays open, and
the order can become `submitted` again.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """The status of an order. `TERMINAL` has the statuses that never change again, in all cases."""

    PENDING = "pending"
    WAITING = "waiting"
    ROUTING = "routing"
    BUILDING = "building"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SIMULATED = "simulated"


class Trigger(StrEnum):
    """What happened to an order."""

    ROUTE = "route"  # venues were queried for quotes (again)
    BUILD = "build"  # a venue was chosen
    SUBMIT = "submit"  # an attempt was signed and recorded
    LAND = "land"  # the chain shows the swap, and may still take it back
    FINALIZE = "finalize"  # the chain shows the swap for good
    UNLAND = "unland"  # the chain has taken it back: its outcome is open again
    FAIL = "fail"  # it will not be tried again
    EXPIRE = "expire"  # its deadline passed before anything was sent
    WAIT = "wait"  # it waits until a condition holds
    COMPLETE = "complete"  # all slices of a recurring order have ended, and some were filled
    CANCEL = "cancel"  # the client cancelled it
    SIMULATE = "simulate"  # a dry run: the swap was built and simulated, and not signed


class IllegalTransitionError(Exception):
    """The table has no such step. This is a bug in the caller, never an error of the client."""

    def __init__(self, status: Status, trigger: Trigger) -> None:
        super().__init__(f"an order that is {status} cannot {trigger}")


_UNSENT = {Trigger.FAIL: Status.FAILED, Trigger.EXPIRE: Status.EXPIRED, Trigger.CANCEL: Status.CANCELLED}

# pending -> routing -> building -> submitted <-> confirmed
#               ^          |            |
#               +----------+------------+   back only when nothing was sent, or the attempt is proven unlandable
#
# A dry run ends as `simulated` after `building`: it is never `submitted`.
# An order that waits for its price is `waiting` instead of `pending`, and goes back there from a round without a fill.
# Every step may also end in `failed` or `expired`. From `submitted` an order ends without a fill, or is routed again,
# only with proof that its attempt can never land: see `NEEDS_PROOF`.
TRANSITIONS: Mapping[Status, Mapping[Trigger, Status]] = MappingProxyType(
    {
        Status.PENDING: {Trigger.ROUTE: Status.ROUTING, Trigger.WAIT: Status.WAITING, **_UNSENT},
        # `waiting` again when it is triggered, amended, or still waits: each has an event.
        # A recurring order ends from there: its slices are orders of their own.
        Status.WAITING: {
            Trigger.ROUTE: Status.ROUTING,
            Trigger.WAIT: Status.WAITING,
            Trigger.COMPLETE: Status.CONFIRMED,
            Trigger.SIMULATE: Status.SIMULATED,
            **_UNSENT,
        },
        Status.ROUTING: {
            Trigger.ROUTE: Status.ROUTING,
            Trigger.BUILD: Status.BUILDING,
            Trigger.WAIT: Status.WAITING,
            **_UNSENT,
        },
        Status.BUILDING: {
            Trigger.ROUTE: Status.ROUTING,
            Trigger.BUILD: Status.BUILDING,
            Trigger.SUBMIT: Status.SUBMITTED,
            Trigger.SIMULATE: Status.SIMULATED,
            Trigger.WAIT: Status.WAITING,
            **_UNSENT,
        },
        # No way to build again or to cancel: bytes that were signed may land at any time until they expire.
        Status.SUBMITTED: {
            Trigger.LAND: Status.CONFIRMED,
            Trigger.FINALIZE: Status.CONFIRMED,
            Trigger.ROUTE: Status.ROUTING,
            Trigger.WAIT: Status.WAITING,
            Trigger.FAIL: Status.FAILED,
            Trigger.EXPIRE: Status.EXPIRED,
        },
        # `confirmed` is terminal once it is finalized. Until then the chain may take the swap back, and the attempt
        # stays open for as long as that can happen.
        Status.CONFIRMED: {Trigger.FINALIZE: Status.CONFIRMED, Trigger.UNLAND: Status.SUBMITTED},
        Status.FAILED: {},
        Status.CANCELLED: {},
        Status.EXPIRED: {},
        Status.SIMULATED: {},
    }
)

TERMINAL = frozenset(status for status, steps in TRANSITIONS.items() if not steps)
NEEDS_PROOF = frozenset({Trigger.ROUTE, Trigger.WAIT, Trigger.FAIL, Trigger.EXPIRE, Trigger.FINALIZE})
"""From `submitted`, these triggers need proof of the attempt's outcome: without it, a second attempt could swap
twice."""


def advance(status: Status, trigger: Trigger) -> Status:
    """Returns the status after `trigger`. Raises `IllegalTransitionError` if the table has no such step."""
    try:
        return TRANSITIONS[status][trigger]
    except KeyError:
        raise IllegalTransitionError(status, trigger) from None


def ends(status: Status, *, finalized: bool) -> bool:
    """Whether no event follows `status`. `finalized`: the chain can no longer take a swap back."""
    return status in TERMINAL or (status is Status.CONFIRMED and finalized)

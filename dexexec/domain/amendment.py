"""A change of an order that rests: what a client may change, and what follows from it for the order's row."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail
from dexexec.domain.policy_check import Trade
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType

CHANGES = "amended"
"""The field of the event that has what was changed: `{"limitPrice": {"from": "151", "to": "150"}}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendableOrder:
    """An order as its client wants to change it.

    `posted` has the fields that describe it, as its client posted them or changed them since, and `last` is the detail
    of its last event. `triggered`: its stop was reached, for good.
    """

    id: UUID
    version: int
    status: Status
    type: OrderType
    resting: bool
    ended: bool
    triggered: bool
    posted: Mapping[str, object]
    last: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """New values of an order's row. `changes` are the fields as a client sees them, each with its value before (`from`)
    and after (`to`). `bound` is the one at the new price for the new amount. `expires_at` is only written if
    `moves_expiry`; without `wakes_at_expiry`, the order wakes at once and decides anew. `resizes`: what was seen for
    the former amount does not count any more. Without `max_price_impact_bps` the order's own stays. `trade` is
    what the policy of its owner limits of the changed order (None: nothing). `detail` is that of the event."""

    changes: Mapping[str, Mapping[str, object]]
    amount: Decimal
    amount_base: int
    bound: Bound | None
    bound_open: bool
    terms: Mapping[str, object]
    moves_expiry: bool
    expires_at: datetime | None
    trade: Trade | None = None
    max_price_impact_bps: int | None = None
    resizes: bool = False
    wakes_at_expiry: bool = True
    detail: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """The order rests with the new values; `seq` is its version now. `repeated`: the same request had been executed
    before."""

    order_id: UUID
    seq: int
    changes: Mapping[str, Mapping[str, object]]
    repeated: bool = False

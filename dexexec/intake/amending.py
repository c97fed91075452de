"""Changes orders that rest, for their clients: `PATCH /api/orders/{id}`.

The changed order is read by the same rules as a new one, so a change is refused for the same reasons and in the same
words. Then the row decides: nothing is changed unless the order still rests at the version that the client has seen.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

from dexexec.domain.amendment import CHANGES, AmendableOrder, Amended, Amendment
from dexexec.domain.event import Detail
from dexexec.domain.order import NewOrder
from dexexec.domain.policy_check import Trade, posted_trade
from dexexec.domain.share import amount_text, read_share
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from dexexec.domain.wait_reason import wait_detail
from dexexec.errors import (
    FieldProblem,
    InvalidOrderError,
    NotRestingError,
    OrderNotFoundError,
    UnavailableError,
    VersionMismatchError,
)
from dexexec.intake.order_body import FIELDS, BodyReader, read_object
from dexexec.intake.order_fields import Repeating, shown, unknown_name

BY_PRICE = ("limitPrice", "triggerPrice", "triggerWhen", "trailBps", "expiresAt", "amount")
AMENDABLE: Mapping[OrderType, tuple[str, ...]] = MappingProxyType(
    {
        OrderType.MARKET: BY_PRICE,
        OrderType.LIMIT: BY_PRICE,
        OrderType.SNIPER: ("conditions", "expiresAt", "amount"),
        # Slices that were made have their part of the amount, so the total stays.
        OrderType.RECURRING: ("minPrice", "maxPrice", "expiresAt"),
    }
)
"""The fields that can be changed while an order of the type rests."""
TRIGGER = frozenset({"triggerPrice", "triggerWhen", "trailBps"})
UNTIL_CANCELLED = frozenset({TimeInForce.GTC.value, TimeInForce.GTT.value})
REMOVABLE = frozenset({"expiresAt", "minPrice", "maxPrice"})
"""Fields that `null` takes away."""
_NUMBERS = frozenset({"limitPrice", "triggerPrice", "amount", "minPrice", "maxPrice"})


class AmendableOrders(Protocol):
    """The part of `dexexec.store.Store` that changes orders."""

    async def amendable(self, order_id: UUID, owner: int | None = None) -> AmendableOrder | None:
        """The order as it is now; None if `owner` (None: any) has no such order."""

    async def amend(self, order_id: UUID, version: int, amendment: Amendment) -> int | None:
        """Write the change; the order's version then, or None if it does not rest at `version` any more."""


class Amending:
    """Changes orders in `orders`, with the rules of `reader`."""

    def __init__(self, orders: AmendableOrders, reader: BodyReader) -> None:
        self._orders = orders
        self._reader = reader

    async def amend(
        self, order_id: UUID, body: bytes, versions: Collection[int] | None, owner: int | None = None
    ) -> Amended:
        """Change the order of `owner` (None: of all), if its version is one of `versions` (None: any).

        Raises `MalformedBodyError`, `OrderNotFoundError`, `NotRestingError`, `VersionMismatchError`,
        `InvalidOrderError` with every bad field, `PolicyError`, and `UnavailableError`: the same request can be
        repeated then.
        """
        given = read_object(body)
        while True:
            order = await self._orders.amendable(order_id, owner)
            if order is None:
                raise OrderNotFoundError("no order has this id")
            # Before the version: a client that read it again could still not change an order that does not rest.
            if not order.resting:
                raise not_resting(order)
            if versions is not None and order.version not in versions:
                # The answer to a change may have been lost: its client repeats it under the version before it.
                if order.version - 1 in versions and CHANGES in order.last and not self.read(order, given).changes:
                    return Amended(order_id=order_id, seq=order.version, changes=_changes(order.last), repeated=True)
                raise version_mismatch(order)
            amendment = self.read(order, given)
            if not amendment.changes:
                return Amended(order_id=order_id, seq=order.version, changes={})
            try:
                seq = await self._orders.amend(order_id, order.version, amendment)
            except UnavailableError as error:
                raise UnavailableError(f"the order may be changed: repeat the request ({error})") from error
            if seq is not None:
                return Amended(order_id=order_id, seq=seq, changes=amendment.changes)
            # It was triggered, cancelled or changed since it was read: the next look shows which.

    def read(self, order: AmendableOrder, given: Mapping[str, object]) -> Amendment:
        """What `given` changes. Raises `InvalidOrderError`."""
        amendable = AMENDABLE[order.type]
        problems = [
            unknown_name(name, amendable, "cannot be changed: cancel the order and post another")
            for name in given
            if name not in amendable
        ]
        if isinstance(given, Repeating):
            problems += [
                FieldProblem(shown(name), "is given more than once", "each field once") for name in given.repeated
            ]
        if not given:
            problems.append(FieldProblem("", "changes nothing", f"at least one of {', '.join(amendable)}"))
        if order.triggered:
            expected = "only limitPrice, expiresAt and amount can still be changed"
            problems += [FieldProblem(name, "was reached already", expected) for name in given if name in TRIGGER]
        if problems:
            raise InvalidOrderError(problems)
        # Read whole, by the rules of a new order: a field may be right by itself and not fit those that stay.
        fields = _merged(order, given)
        changed = _with_start(order, self._reader.read_fields(fields, order.id))
        if not changed.rests:
            raise InvalidOrderError([FieldProblem("", "would not rest any more", "a limit or a trigger")])
        return _amendment(order, changed)


def not_resting(order: AmendableOrder) -> NotRestingError:
    """The refusal for an order that does not rest now, with its state."""
    if order.ended:
        detail = f"the order has ended: it is {order.status}"
    elif order.status is Status.WAITING:
        detail = "the order was triggered, and a worker takes it up: it can be changed if it comes back to rest"
    elif order.status is Status.PENDING:
        detail = "the order is executed at once: only an order that rests can be changed"
    else:
        detail = f"the order is being executed ({order.status}): it can be changed if it comes back to rest"
    return NotRestingError(detail, _about(order))


def version_mismatch(order: AmendableOrder) -> VersionMismatchError:
    """The refusal for another version than the client has seen."""
    return VersionMismatchError(f"the order is at version {order.version} now: read it again", _about(order))


def _about(order: AmendableOrder) -> dict[str, object]:
    return {"orderId": str(order.id), "orderStatus": order.status.value, "seq": order.version}


def _merged(order: AmendableOrder, given: Mapping[str, object]) -> dict[str, object]:
    """The fields of the changed order, as if it were posted now. Numbers are text, as in a body that was read."""
    # Terms that follow from other fields, as the bps of an amount of "50%", have no field of their own.
    known = {name: value for name, value in order.posted.items() if name in FIELDS}
    if order.type is OrderType.SNIPER:
        known["mint"] = known.pop("outputMint")
    # The start of a schedule stays, and would be refused once it is in the past.
    known.pop("startAt", None)
    fields: dict[str, object] = {**read_object(json.dumps(known).encode()), **given}
    for name in REMOVABLE & given.keys():
        if fields[name] is None:
            del fields[name]
    # An expiry alone makes the difference between the two.
    if fields.get("timeInForce") in UNTIL_CANCELLED:
        del fields["timeInForce"]
    return fields


def _with_start(order: AmendableOrder, changed: NewOrder) -> NewOrder:
    """The changed order with the start of its schedule, if it has one."""
    start = order.posted.get("startAt")
    terms = changed.terms
    if terms is None or terms.recurring is None or not isinstance(start, str):
        return changed
    recurring = replace(terms.recurring, start_at=datetime.fromisoformat(start))
    return replace(changed, terms=replace(terms, recurring=recurring))


def _amendment(order: AmendableOrder, changed: NewOrder) -> Amendment:
    terms = changed.terms
    assert terms is not None  # noqa: S101 - an order that rests has terms
    after = {"amount": amount_text(changed), **terms.detail()}
    names = [
        name
        for name in (*AMENDABLE[order.type], "timeInForce")
        if not _same(name, order.posted.get(name), after.get(name))
    ]
    changes = {name: {"from": order.posted.get(name), "to": after.get(name)} for name in names}
    detail: dict[str, object] = {**_waits(order, changed, terms), CHANGES: changes}
    if changed.bound is not None:
        detail |= {"minOut": str(changed.bound.min_out), "maxIn": str(changed.bound.max_in)}
    return Amendment(
        changes=changes,
        amount=changed.amount,
        amount_base=changed.amount_base,
        bound=changed.bound,
        bound_open=changed.bound_open,
        terms=terms.detail(),
        trade=_trade(changed, changes),
        max_price_impact_bps=changed.max_price_impact_bps if "conditions" in changes else None,
        resizes="amount" in changes,
        moves_expiry="expiresAt" in changes,
        wakes_at_expiry=order.type is not OrderType.RECURRING,
        expires_at=terms.expires_at,
        detail=detail,
    )


def _trade(changed: NewOrder, changes: Mapping[str, object]) -> Trade:
    """The changed order as the policy of its owner limits it. What stays was checked when the order was accepted."""
    trade = posted_trade(changed)
    # `changed` has the defaults of a new order instead of its own slippage and wallet, which cannot be changed.
    resized = {"amount", "limitPrice"} & changes.keys()
    return replace(
        trade,
        most_in=trade.most_in if resized else None,
        kinds=(),
        slippage_bps=0,
        impact_ppm=trade.impact_ppm if "conditions" in changes else 0,
        wallet="",
    )


def _waits(order: AmendableOrder, changed: NewOrder, terms: Terms) -> Detail:
    """What the order waits for after its change."""
    if order.type is OrderType.RECURRING:
        # Its schedule goes on as before.
        return {name: order.last[name] for name in ("waitsFor", "nextSliceAt", "detail") if name in order.last}
    if order.triggered:
        # Once reached, a trigger is not waited for again: what is left is the limit.
        terms = replace(terms, trigger_price=None, trigger_when=None, trail_bps=None)
    return wait_detail(replace(changed, terms=terms))


def _same(name: str, before: object, after: object) -> bool:
    """Whether two values of a field mean the same: `151.250` and `151.25` are one price."""
    if name in _NUMBERS and isinstance(before, str) and isinstance(after, str):
        shares = read_share(before), read_share(after)
        return Decimal(before) == Decimal(after) if shares == (None, None) else shares[0] == shares[1]
    return before == after


def _changes(detail: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    changes = detail[CHANGES]
    return changes if isinstance(changes, dict) else {}

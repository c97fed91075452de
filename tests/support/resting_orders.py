"""Orders that rest, for tests: limit orders and stops of 0.01 SOL for USDC, and their triggers."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from dexexec.domain.bound import bound_of
from dexexec.domain.order import FOREVER_MS, NewOrder
from dexexec.domain.terms import OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.store import RestingOrder, Store, Triggering
from tests.support.parts import new_order

AMOUNT = 10_000_000
SEEN = {"triggered": {"price": "151.3"}, "detail": "the price is 151.3"}


def limit_order(
    price: str = "150",
    *,
    time_in_force: TimeInForce = TimeInForce.GTC,
    expires_at: datetime | None = None,
    deadline_ms: int = FOREVER_MS,
    terms: Terms | None = None,
) -> NewOrder:
    """Sells 0.01 SOL for USDC at `price` or better."""
    least = int(Decimal(price) * AMOUNT / 1_000)
    default = Terms(time_in_force=time_in_force, limit_price=Decimal(price), expires_at=expires_at)
    return replace(
        new_order(),
        type=OrderType.LIMIT,
        terms=terms or default,
        deadline_ms=deadline_ms,
        bound=bound_of(new_order().mode, AMOUNT, least),
        bound_open=False,
    )


def stop_order(price: str = "140", *, limit: str | None = None) -> NewOrder:
    """Sells 0.01 SOL for USDC once the price is `price` or less: at any price, or at `limit` or better."""
    terms = Terms(trigger_price=Decimal(price), trigger_when=TriggerWhen.BELOW)
    if limit is None:
        return replace(new_order(), terms=terms, deadline_ms=FOREVER_MS)
    price_terms = replace(terms, time_in_force=TimeInForce.GTC, limit_price=Decimal(limit))
    return limit_order(limit, terms=price_terms)


async def rested(store: Store, order: NewOrder | None = None) -> RestingOrder:
    """A new resting order as the oracle reads it."""
    since = await store.rested_horizon()
    order = order or limit_order()
    assert order.rests
    created = await store.create(order)
    orders, _ = await store.rested_since(since)
    [found] = [one for one in orders if one.id == created.order_id]
    return found


def triggering(order: RestingOrder, *, stop: bool = False) -> Triggering:
    """The order's trigger, as it was read."""
    return Triggering(order_id=order.id, version=order.version, detail=SEEN, stop=stop)

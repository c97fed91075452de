"""Resting orders for tests, without a store."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.domain.token import USDC, WSOL
from dexexec.resting.conditions import Direction, Fires, Market, WatchedOrder

SELL_SOL = Market(WSOL, USDC, Mode.EXACT_IN)
BUY_SOL = Market(USDC, WSOL, Mode.EXACT_OUT)
START = datetime(2026, 1, 1, tzinfo=UTC)


def resting(
    number: int,
    rate: Fraction | None,
    *,
    fires: Fires = Fires.AT_OR_ABOVE,
    amount: int = 1_000,
    seconds: int | None = None,
    market: Market = SELL_SOL,
    trail_bps: int = 0,
    impact_ppm: int = 1_000_000,
) -> WatchedOrder:
    """An order with the id `number`, created `seconds` after the start (by default, `number`)."""
    order = WatchedOrder(
        id=UUID(int=number),
        version=2,
        direction=Direction(Side.BUY, 9, 6),
        stop=bool(trail_bps),
        created_at=START + timedelta(seconds=number if seconds is None else seconds),
        market=market,
        amount=amount,
        impact_ppm=impact_ppm,
        fires=Fires.AT_OR_BELOW if trail_bps else fires,
        trail_bps=trail_bps,
    )
    if rate is not None:
        order.fire_at(rate)
    return order


def numbers(orders: object) -> list[int]:
    """The ids of orders, as numbers."""
    assert isinstance(orders, list)
    return [order.id.int for order in orders]

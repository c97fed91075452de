"""CLMM pools for tests, from positions or ticks as the program would keep them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dexexec_adapters.curves.clmm import ClmmConfig, ClmmPool
from dexexec_adapters.curves.clmm_ticks import ARRAYS_IN_BITMAP, TICKS_IN_ARRAY, Tick, TickArray, sqrt_price_at

CONFIG = ClmmConfig(trade_fee_rate=2_500, protocol_fee_rate=120_000, fund_fee_rate=40_000)


class Position(NamedTuple):
    """Liquidity between two ticks."""

    lower: int
    upper: int
    liquidity: int


def pool_of_ticks(
    ticks: Iterable[Tick],
    *,
    tick_current: int,
    sqrt_price: int,
    liquidity: int,
    spacing: int = 60,
    config: ClmmConfig = CONFIG,
) -> ClmmPool:
    """A pool with these ticks, and all its arrays."""
    span = spacing * TICKS_IN_ARRAY
    grouped: dict[int, list[Tick]] = defaultdict(list)
    for tick in sorted(ticks):
        grouped[tick.at // span * span].append(tick)
    return ClmmPool(
        config=config,
        tick_spacing=spacing,
        tick_current=tick_current,
        sqrt_price=sqrt_price,
        liquidity=liquidity,
        bitmap=sum(1 << (start // span + ARRAYS_IN_BITMAP) for start in grouped),
        arrays={start: TickArray(start, tuple(found)) for start, found in grouped.items()},
    )


def pool_of_positions(
    positions: Sequence[Position],
    *,
    tick: int,
    beyond: int = 0,
    spacing: int = 60,
    config: ClmmConfig = CONFIG,
) -> ClmmPool:
    """A pool at the price of `tick` plus `beyond`, which must be below the price of the next tick."""
    net: dict[int, int] = defaultdict(int)
    for position in positions:
        net[position.lower] += position.liquidity
        net[position.upper] -= position.liquidity
    return pool_of_ticks(
        [Tick(index, change) for index, change in net.items()],
        tick_current=tick,
        sqrt_price=sqrt_price_at(tick) + beyond,
        liquidity=sum(one.liquidity for one in positions if one.lower <= tick < one.upper),
        spacing=spacing,
        config=config,
    )

"""Whirlpools made of positions, as the program would have them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from dexexec_adapters.curves.whirlpool import Whirlpool
from dexexec_adapters.curves.whirlpool_fees import AdaptiveFee
from dexexec_adapters.curves.whirlpool_ticks import TICKS_IN_ARRAY, Tick, TickArray, array_starts, sqrt_price_at

FEE = AdaptiveFee(
    filter_period=30,
    decay_period=600,
    reduction_factor=500,
    control_factor=4_000,
    max_volatility=350_000,
    group_size=64,
    major_swap_ticks=64,
    reference_updated_at=0,
    major_swap_at=0,
    volatility_reference=0,
    group_reference=0,
    volatility=0,
)
"""An adaptive fee before the first swap."""


class Position(NamedTuple):
    """Liquidity between two ticks."""

    lower: int
    upper: int
    liquidity: int


def arrays_with(ticks: Iterable[Tick], tick_current: int, spacing: int) -> dict[int, TickArray]:
    """The arrays that hold these ticks, and those that a swap from `tick_current` may pass through."""
    span = spacing * TICKS_IN_ARRAY
    found: dict[int, list[Tick]] = defaultdict(list)
    for tick in sorted(ticks):
        found[tick.at // span * span].append(tick)
    near = (start for a_to_b in (True, False) for start in array_starts(tick_current, spacing, a_to_b=a_to_b))
    return {start: TickArray(start, tuple(found[start])) for start in {*found, *near}}


def pool_of_positions(
    positions: Iterable[Position], *, tick: int, beyond: int = 0, spacing: int = 64, **about: Any
) -> Whirlpool:
    """A pool whose price is `beyond` above that of a tick."""
    net: dict[int, int] = defaultdict(int)
    liquidity = 0
    for position in positions:
        net[position.lower] += position.liquidity
        net[position.upper] -= position.liquidity
        if position.lower <= tick < position.upper:
            liquidity += position.liquidity
    ticks = [Tick(at, change) for at, change in net.items() if change]
    usual: dict[str, Any] = {"fee_rate": 3_000, "protocol_fee_rate": 1_300}
    return Whirlpool(
        tick_spacing=spacing,
        tick_current=tick,
        sqrt_price=sqrt_price_at(tick) + beyond,
        liquidity=liquidity,
        arrays=arrays_with(ticks, tick, spacing),
        **(usual | about),
    )

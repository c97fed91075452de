"""What a price's move through ranges of liquidity takes and gives, without any rounding: for pools with ticks."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Protocol

from dexexec_adapters.curves.swap import TradeDirection
from tests.support.curve_values import A_TO_B


class TickPool(Protocol):
    """A pool with positions between ticks. All its tick arrays are there."""

    @property
    def sqrt_price(self) -> int:
        """Q64.64."""

    @property
    def arrays(self) -> Mapping[int, Any]:
        """Tick arrays, whose `ticks` have `at` and `liquidity_net`."""


def ideal(
    pool: TickPool, after: TickPool, direction: TradeDirection, sqrt_price_at: Callable[[int], int]
) -> tuple[Fraction, Fraction]:
    """What the move takes and gives without rounding and fee, from the pool's liquidity alone."""
    ranges = ranges_of(pool, after, sqrt_price_at)
    token_a = sum((Fraction((high - low) << 64, high * low) * held for low, high, held in ranges), Fraction(0))
    token_b = sum((Fraction(high - low, 1 << 64) * held for low, high, held in ranges), Fraction(0))
    return (token_a, token_b) if direction is A_TO_B else (token_b, token_a)


def ranges_of(pool: TickPool, after: TickPool, sqrt_price_at: Callable[[int], int]) -> list[tuple[int, int, int]]:
    """The ranges that a swap moved through: lower price, upper price and liquidity."""
    low, high = sorted((pool.sqrt_price, after.sqrt_price))
    ticks = sorted(tick for array in pool.arrays.values() for tick in array.ticks)
    ranges = []
    liquidity = 0
    borders = [*((sqrt_price_at(tick.at), tick.liquidity_net) for tick in ticks), (high, 0)]
    begin = 0
    for border, net in borders:
        if min(border, high) > max(begin, low):
            ranges.append((max(begin, low), min(border, high), liquidity))
        liquidity += net
        begin = border
    return ranges or [(low, high, 0)]

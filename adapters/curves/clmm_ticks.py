"""Raydium CLMM: the price of a tick, arrays of ticks, and the bitmap of the arrays that have any.

It follows raydium-clmm at commit 03b44b7. File names in comments are below `programs/amm/src` there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dexexec_adapters.curves.swap import CurveError, MissingArray, Refusal
from dexexec_adapters.curves.ticks import MAX_TICK, MIN_TICK, find_tick

MIN_SQRT_PRICE = 4_295_048_016
MAX_SQRT_PRICE = 79_226_673_521_066_979_257_578_248_091
TICKS_IN_ARRAY = 60
ARRAYS_IN_BITMAP = 512 * 15
"""Arrays on each side of tick 0: 512 in the pool's own bitmap, 14 times as many in its extension."""
AHEAD = 3
"""Arrays that are requested at once when one is missing."""

# libraries/tick_math.rs: 1.0001^(-2^i / 2) in Q64.64 for i from 0 to 18, as the program rounds it.
_FACTORS = (
    0xFFFCB933BD6FB800,
    0xFFF97272373D4000,
    0xFFF2E50F5F657000,
    0xFFE5CACA7E10F000,
    0xFFCB9843D60F7000,
    0xFF973B41FA98E800,
    0xFF2EA16466C9B000,
    0xFE5DEE046A9A3800,
    0xFCBE86C7900BB000,
    0xF987A7253AC65800,
    0xF3392B0822BB6000,
    0xE7159475A2CAF000,
    0xD097F3BDFD2F2000,
    0xA9F746462D9F8000,
    0x70D869A156F31C00,
    0x31BE135F97ED3200,
    0x09AA508B5B85A500,
    0x005D6AF8DEDC582C,
    0x00002216E584F5FA,
)


class Tick(NamedTuple):
    """A tick in use, at an index. `liquidity_net` is added to the liquidity when the price rises past it."""

    at: int
    liquidity_net: int
    has_orders: bool = False


@dataclass(frozen=True, slots=True)
class TickArray:
    """The ticks in use of 60 neighbouring ones, in ascending order. `start` is the index of the first of the 60."""

    start: int
    ticks: tuple[Tick, ...]


@lru_cache(maxsize=1 << 16)
def sqrt_price_at(tick: int) -> int:
    """The square root of 1.0001^tick in Q64.64. Raises `CurveError` for a tick out of range."""
    if not MIN_TICK <= tick <= MAX_TICK:
        raise CurveError(Refusal.PRICE_RANGE, f"tick {tick} is out of range: {MIN_TICK} to {MAX_TICK}")
    distance = abs(tick)
    ratio = 1 << 64
    for bit, factor in enumerate(_FACTORS):
        if distance >> bit & 1:
            ratio = ratio * factor >> 64
    return (2**128 - 1) // ratio if tick > 0 else ratio


def tick_at(sqrt_price: int) -> int:
    """The greatest tick whose price is at most `sqrt_price`, which is in the program's range."""
    return find_tick(sqrt_price, sqrt_price_at)


def bitmap_of(own: bytes, positive: bytes = b"", negative: bytes = b"") -> int:
    """One bitmap of all arrays from the pool's 128 bytes and the two halves of its extension, 896 bytes each.

    Bit `ARRAYS_IN_BITMAP` is the array from tick 0 on.
    """
    # states/tickarray_bitmap_extension.rs: the parts of both halves are ordered by their distance from tick 0.
    parts = [negative[at : at + 64] for at in range(0, len(negative), 64)]
    below = b"".join(reversed(parts)).rjust(896, b"\0")
    return int.from_bytes(below + own + positive, "little")


class TickWalk:
    """The way of a swap through a pool's ticks, from `tick_current` on. `visited` are the starts of the arrays so far.

    `bitmap` is that of `bitmap_of`, and `arrays` are those that were read, by their start.
    """

    def __init__(self, bitmap: int, tick_spacing: int, arrays: Mapping[int, TickArray]) -> None:
        self._bitmap = bitmap
        self._span = tick_spacing * TICKS_IN_ARRAY
        self._arrays = arrays
        self.visited: list[int] = []

    def ticks(self, tick_current: int, *, a_to_b: bool) -> Iterator[Tick]:
        """The ticks in use in the order of the swap. Ends with a `CurveError` after the last one.

        Raises `MissingArray` with the next arrays when one was not read.
        """
        # states/pool.rs, get_first_initialized_tick_array: the current array is the first one, even if no tick of it
        # is ahead.
        number = tick_current // self._span + ARRAYS_IN_BITMAP
        if 0 <= number < 2 * ARRAYS_IN_BITMAP and self._bitmap >> number & 1:
            ticks = self._array(number, a_to_b=a_to_b).ticks
            if a_to_b:
                yield from (tick for tick in reversed(ticks) if tick.at <= tick_current)
            else:
                yield from (tick for tick in ticks if tick.at > tick_current)
        while (number := self._next(number, a_to_b=a_to_b)) >= 0:
            ticks = self._array(number, a_to_b=a_to_b).ticks
            if not ticks:
                # states/tick_array.rs, first_initialized_tick fails for it.
                raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, f"the tick array {self._start(number)} has no ticks")
            yield from reversed(ticks) if a_to_b else ticks
        raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, "the amount is more than the pool's liquidity can provide")

    def ahead(self, tick_current: int, count: int, *, a_to_b: bool) -> list[int]:
        """The starts of the first `count` arrays that a swap in this direction needs."""
        number = tick_current // self._span + ARRAYS_IN_BITMAP
        here = [number] if 0 <= number < 2 * ARRAYS_IN_BITMAP and self._bitmap >> number & 1 else []
        return self._starts(number, here, count, a_to_b=a_to_b)

    def _array(self, number: int, *, a_to_b: bool) -> TickArray:
        start = self._start(number)
        array = self._arrays.get(start)
        if array is None:
            raise MissingArray(self._starts(number, [number], AHEAD, a_to_b=a_to_b))
        self.visited.append(start)
        return array

    def _starts(self, number: int, numbers: list[int], count: int, *, a_to_b: bool) -> list[int]:
        while len(numbers) < count and (number := self._next(number, a_to_b=a_to_b)) >= 0:
            numbers.append(number)
        return [self._start(found) for found in numbers]

    def _start(self, number: int) -> int:
        return (number - ARRAYS_IN_BITMAP) * self._span

    def _next(self, number: int, *, a_to_b: bool) -> int:
        """The number of the next array with ticks, or -1."""
        if a_to_b:
            return (self._bitmap & (1 << max(number, 0)) - 1).bit_length() - 1
        first = max(number + 1, 0)
        above = self._bitmap >> first
        return first + (above & -above).bit_length() - 1 if above else -1

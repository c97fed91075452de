"""Orca Whirlpool: the price of a tick, and the way of a swap through arrays of ticks.

It follows orca-so/whirlpools at commit 630c0e0. File names in comments are below `programs/whirlpool/src` there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dexexec_adapters.curves.swap import CurveError, MissingArray, Refusal
from dexexec_adapters.curves.ticks import MAX_TICK, MIN_TICK, find_tick

MIN_SQRT_PRICE = 4_295_048_016
MAX_SQRT_PRICE = 79_226_673_515_401_279_992_447_579_055
TICKS_IN_ARRAY = 88
MOST_ARRAYS = 3
"""Arrays that one swap may pass through (util/sparse_swap.rs)."""

# math/tick_math.rs: 1.0001^(2^i / 2) in Q32.96 and 1.0001^(-2^i / 2) in Q64.64 for i from 0 to 18, as the program
# rounds them.
_RISING = (
    79232123823359799118286999567,
    79236085330515764027303304731,
    79244008939048815603706035061,
    79259858533276714757314932305,
    79291567232598584799939703904,
    79355022692464371645785046466,
    79482085999252804386437311141,
    79736823300114093921829183326,
    80248749790819932309965073892,
    81282483887344747381513967011,
    83390072131320151908154831281,
    87770609709833776024991924138,
    97234110755111693312479820773,
    119332217159966728226237229890,
    179736315981702064433883588727,
    407748233172238350107850275304,
    2098478828474011932436660412517,
    55581415166113811149459800483533,
    38992368544603139932233054999993551,
)
_FALLING = (
    18445821805675392311,
    18444899583751176498,
    18443055278223354162,
    18439367220385604838,
    18431993317065449817,
    18417254355718160513,
    18387811781193591352,
    18329067761203520168,
    18212142134806087854,
    17980523815641551639,
    17526086738831147013,
    16651378430235024244,
    15030750278693429944,
    12247334978882834399,
    8131365268884726200,
    3584323654723342297,
    696457651847595233,
    26294789957452057,
    37481735321082,
)


class Tick(NamedTuple):
    """A tick at an index. `liquidity_net` is added to the liquidity when the price rises past it; 0 at the end of an
    array, where the program stops as well."""

    at: int
    liquidity_net: int


@dataclass(frozen=True, slots=True)
class TickArray:
    """The ticks in use of 88 neighbouring ones, in ascending order. `start` is the index of the first of the 88. An
    array that does not exist counts as one without ticks."""

    start: int
    ticks: tuple[Tick, ...] = ()


@lru_cache(maxsize=1 << 16)
def sqrt_price_at(tick: int) -> int:
    """The square root of 1.0001^tick in Q64.64. Raises `CurveError` for a tick out of range."""
    if not MIN_TICK <= tick <= MAX_TICK:
        raise CurveError(Refusal.PRICE_RANGE, f"tick {tick} is out of range: {MIN_TICK} to {MAX_TICK}")
    # The program rounds rising and falling prices differently: neither is the inverse of the other.
    factors, bits = (_RISING, 96) if tick >= 0 else (_FALLING, 64)
    ratio = 1 << bits
    for bit, factor in enumerate(factors):
        if abs(tick) >> bit & 1:
            ratio = ratio * factor >> bits
    return ratio >> 32 if tick >= 0 else ratio


def tick_at(sqrt_price: int) -> int:
    """The greatest tick whose price is at most `sqrt_price`, which is in the program's range."""
    return find_tick(sqrt_price, sqrt_price_at)


def array_starts(tick_current: int, tick_spacing: int, *, a_to_b: bool) -> tuple[int, ...]:
    """The starts of the arrays that a swap may pass through, in its order (util/sparse_swap.rs,
    get_start_tick_indexes)."""
    span = tick_spacing * TICKS_IN_ARRAY
    first = tick_current // span * span
    if a_to_b:
        starts = [first - place * span for place in range(MOST_ARRAYS)]
    else:
        # Behind the last tick of an array, the next tick is in the next one.
        shifted = first + span if tick_current + tick_spacing >= first + span else first
        starts = [shifted + place * span for place in range(MOST_ARRAYS)]
    return tuple(start for start in starts if MIN_TICK - span < start <= MAX_TICK)


class TickWalk:
    """The way of a swap through a pool's ticks, from `tick_current` on. `arrays` are those that were read, by their
    start."""

    def __init__(self, tick_current: int, tick_spacing: int, arrays: Mapping[int, TickArray], *, a_to_b: bool) -> None:
        self.starts = array_starts(tick_current, tick_spacing, a_to_b=a_to_b)
        self._tick_current = tick_current
        self._spacing = tick_spacing
        self._arrays = arrays
        self._a_to_b = a_to_b

    def ticks(self) -> Iterator[Tick]:
        """The ticks at which the program stops, in the order of the swap. Ends with a `CurveError`.

        Raises `MissingArray` with the rest of the arrays when one was not read.
        """
        # util/swap_tick_sequence.rs, get_next_initialized_tick_index
        for place, start in enumerate(self.starts):
            array = self._arrays.get(start)
            if array is None:
                raise MissingArray([each for each in self.starts[place:] if each not in self._arrays])
            yield from self._in_array(array, is_last=place == len(self.starts) - 1)
        raise CurveError(
            Refusal.INSUFFICIENT_LIQUIDITY,
            f"the amount is more than the liquidity in {MOST_ARRAYS} arrays of ticks, which are the most of one swap",
        )

    def _in_array(self, array: TickArray, *, is_last: bool) -> Iterator[Tick]:
        span = self._spacing * TICKS_IN_ARRAY
        # The program leaves an array behind its outermost tick, and does not stop at the end of the array then.
        outermost = array.start if self._a_to_b else array.start + span - self._spacing
        if self._a_to_b:
            ahead = [tick for tick in reversed(array.ticks) if tick.at <= self._tick_current]
            end = MIN_TICK if array.start <= MIN_TICK else array.start
        else:
            ahead = [tick for tick in array.ticks if tick.at > self._tick_current]
            end = MAX_TICK if array.start + span > MAX_TICK else array.start + span - 1
        yield from ahead
        left_behind = bool(ahead) and ahead[-1].at == outermost
        if not left_behind and (is_last or end in {MIN_TICK, MAX_TICK}):
            yield Tick(end, 0)

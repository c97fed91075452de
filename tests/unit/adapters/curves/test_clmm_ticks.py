"""Prices of ticks, and the search for the next tick array in the bitmaps of a pool and its extension."""

from itertools import pairwise
from random import Random

import pytest

from dexexec_adapters.curves.clmm_ticks import (
    ARRAYS_IN_BITMAP,
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    Tick,
    TickArray,
    TickWalk,
    bitmap_of,
    sqrt_price_at,
    tick_at,
)
from dexexec_adapters.curves.swap import CurveError, Refusal
from dexexec_adapters.curves.ticks import MAX_TICK, MIN_TICK


def test_the_prices_of_the_first_the_middle_and_the_last_tick_are_the_programs() -> None:
    assert sqrt_price_at(MIN_TICK) == MIN_SQRT_PRICE
    assert sqrt_price_at(0) == 2**64
    assert sqrt_price_at(MAX_TICK) == MAX_SQRT_PRICE
    for tick in (MIN_TICK - 1, MAX_TICK + 1):
        with pytest.raises(CurveError) as refused:
            sqrt_price_at(tick)
        assert refused.value.code is Refusal.PRICE_RANGE


def test_prices_rise_by_half_a_basis_point_with_each_tick() -> None:
    chance = Random(1)
    for tick in (MIN_TICK, -2, -1, 0, 1, MAX_TICK - 2, *(chance.randrange(MIN_TICK, MAX_TICK - 1) for _ in range(300))):
        for low, high in pairwise(sqrt_price_at(tick + step) for step in range(3)):
            assert high / low == pytest.approx(1.0001**0.5, abs=2e-9)


def test_a_price_has_the_greatest_tick_that_is_not_above_it() -> None:
    chance = Random(2)
    for tick in (MIN_TICK, -1, 0, 1, MAX_TICK - 1, *(chance.randrange(MIN_TICK, MAX_TICK) for _ in range(300))):
        price = sqrt_price_at(tick)
        above = sqrt_price_at(tick + 1)
        assert tick_at(price) == tick
        assert tick_at(above - 1) == tick
        assert tick_at(chance.randrange(price, above)) == tick
    assert tick_at(MAX_SQRT_PRICE) == MAX_TICK


def test_the_parts_of_the_extension_are_ordered_by_their_distance_from_the_middle() -> None:
    def one(size: int, bit: int) -> bytes:
        return (1 << bit).to_bytes(size, "little")

    def array(bitmap: int) -> int:
        return bitmap.bit_length() - 1 - ARRAYS_IN_BITMAP

    assert array(bitmap_of(one(128, 0))) == -512
    assert array(bitmap_of(one(128, 1023))) == 511
    nothing = bytes(128)
    assert array(bitmap_of(nothing, one(896, 0), bytes(896))) == 512
    assert array(bitmap_of(nothing, one(896, 14 * 512 - 1), bytes(896))) == ARRAYS_IN_BITMAP - 1
    # states/tickarray_bitmap_extension.rs: the first part below is that of the arrays -1024 to -513, in this order.
    assert array(bitmap_of(nothing, bytes(896), one(896, 0))) == -1024
    assert array(bitmap_of(nothing, bytes(896), one(896, 511))) == -513
    assert array(bitmap_of(nothing, bytes(896), one(896, 13 * 512))) == -ARRAYS_IN_BITMAP


@pytest.mark.parametrize("a_to_b", [True, False])
def test_a_walk_goes_through_all_ticks_ahead_of_the_price_and_no_others(a_to_b: bool) -> None:
    chance = Random(3)
    for spacing in (1, 10, 60, 120):
        span = 60 * spacing
        most = MAX_TICK // spacing
        indexes = sorted(spacing * chance.randint(-most, most) for _ in range(60))
        near = spacing * chance.randint(-30, 30)
        indexes = sorted({*indexes, *range(near - 5 * spacing, near + 5 * spacing, spacing)})
        arrays: dict[int, TickArray] = {}
        for start in {index // span * span for index in indexes}:
            ticks = tuple(Tick(index, 1) for index in indexes if start <= index < start + span)
            arrays[start] = TickArray(start, ticks)
        bitmap = sum(1 << start // span + ARRAYS_IN_BITMAP for start in arrays)
        for current in (near, near - 1, indexes[0] - 1, indexes[-1], chance.choice(indexes), MIN_TICK, MAX_TICK):
            walk = TickWalk(bitmap, spacing, arrays)
            ticks_ahead = walk.ticks(current, a_to_b=a_to_b)
            expected = [i for i in reversed(indexes) if i <= current] if a_to_b else [i for i in indexes if i > current]
            assert [next(ticks_ahead).at for _ in expected] == expected
            with pytest.raises(CurveError, match="more than the pool's liquidity"):
                next(ticks_ahead)
            starts = [start for start in sorted(arrays, reverse=a_to_b) if _is_ahead(start, current, span, a_to_b)]
            assert walk.ahead(current, len(arrays) + 1, a_to_b=a_to_b) == starts


def _is_ahead(start: int, current: int, span: int, a_to_b: bool) -> bool:
    here = current // span * span
    return start <= here if a_to_b else start >= here

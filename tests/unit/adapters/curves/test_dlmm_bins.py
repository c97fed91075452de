"""The map of arrays finds the nearest one in each direction, and every bin has the program's price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec_adapters.curves.dlmm_bins import (
    BINS_PER_ARRAY,
    INNER_ARRAYS,
    OUTER_ARRAYS,
    ids_of,
    price_of,
)
from dexexec_adapters.curves.integers import Q64
from dexexec_adapters.curves.swap import CurveError, Refusal
from tests.support.dlmm_pools import array_map

FURTHEST = INNER_ARRAYS + OUTER_ARRAYS
indexes = st.one_of(st.integers(-FURTHEST, FURTHEST - 1), st.integers(-515, -509), st.integers(509, 515))
anywhere = st.integers(-(2**31) // BINS_PER_ARRAY, 2**31 // BINS_PER_ARRAY)


@given(st.sets(indexes, max_size=8), st.one_of(indexes, anywhere), st.booleans())
def test_the_nearest_marked_array_is_found(marked: set[int], start: int, x_to_y: bool) -> None:
    ahead = [index for index in marked if (index <= start if x_to_y else index >= start)]
    nearest = (max(ahead) if x_to_y else min(ahead)) if ahead else None
    assert array_map(marked).next(start, x_to_y) == nearest


@pytest.mark.parametrize(
    ("index", "start", "x_to_y", "first", "last"),
    [
        (0, 5, True, 5, 0),
        (0, 5, False, 5, 69),
        (-1, 5, True, -1, -70),
        (1, 5, False, 70, 139),
        (-1, -70, True, -70, -70),
        (-1, -70, False, -70, -1),
    ],
)
def test_the_bins_of_an_array_come_in_the_swaps_direction(
    index: int, start: int, x_to_y: bool, first: int, last: int
) -> None:
    ids = list(ids_of(index, start, x_to_y))
    assert (ids[0], ids[-1]) == (first, last)
    assert len(ids) == abs(first - last) + 1


def test_the_price_of_a_bin_is_a_power_of_the_step() -> None:
    assert price_of(0, 25) == Q64
    assert price_of(1, 10_000) / Q64 == pytest.approx(2)
    assert price_of(1, 25) / Q64 == pytest.approx(1.0025)
    assert price_of(-500, 25) / Q64 == pytest.approx(1.0025**-500)


def test_a_bin_whose_price_the_program_cannot_compute_is_refused() -> None:
    for bin_id in (200_000, -200_000):
        with pytest.raises(CurveError) as refused:
            price_of(bin_id, 400)
        assert refused.value.code is Refusal.MATH_OVERFLOW

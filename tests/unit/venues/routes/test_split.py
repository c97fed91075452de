"""A divided swap adds up exactly, beats each pool alone, and is within one base unit of the best division there is."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain.depth import PoolDepth
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.venues.routes.split import MOST_LEGS, Part, priced, split
from tests.support.pool_depths import depth_of

PROPERTY = settings(deadline=None, max_examples=50)


def request_of(amount: int, mode: Mode = Mode.EXACT_IN) -> SwapRequest:
    return SwapRequest(mint_in=WSOL, mint_out=USDC, amount=amount, mode=mode, slippage_bps=50)


def total(parts: Sequence[Part | Quote]) -> tuple[int, int]:
    quotes = [part.quote if isinstance(part, Part) else part for part in parts]
    return sum(quote.amount_in for quote in quotes), sum(quote.amount_out for quote in quotes)


def table(depth: PoolDepth, request: SwapRequest) -> list[tuple[int, int] | None]:
    """Paid and received for every part of the amount, from 0; None where the pool refuses it."""
    quotes = [priced(depth, replace(request, amount=part)) for part in range(1, request.amount + 1)]
    return [(0, 0), *((quote.amount_in, quote.amount_out) if quote else None for quote in quotes)]


def every_division(depths: Sequence[PoolDepth], request: SwapRequest) -> list[tuple[int, int]]:
    """Paid and received of all divisions into whole base units, those of one pool among them."""
    tables = [table(depth, request) for depth in depths]
    found = []
    for parts in product(range(request.amount + 1), repeat=len(depths) - 1):
        if (last := request.amount - sum(parts)) >= 0:
            chosen = [one[part] for one, part in zip(tables, (*parts, last), strict=True)]
            possible = [one for one in chosen if one is not None]
            if len(possible) == len(chosen):
                found.append((sum(one[0] for one in possible), sum(one[1] for one in possible)))
    return found


small = st.integers(50, 400)


@PROPERTY
@given(st.lists(st.tuples(small, small), min_size=2, max_size=3), st.integers(2, 60), st.sampled_from(Mode))
def test_a_division_of_small_pools_is_within_one_unit_of_the_best_of_all(
    reserves: list[tuple[int, int]], amount: int, mode: Mode
) -> None:
    depths = [depth_of(str(place), *one, fee=(0, 1)) for place, one in enumerate(reserves)]
    request = request_of(amount, mode)
    divisions = every_division(depths, request)
    if not divisions:
        return
    paid, received = zip(*divisions, strict=True)
    parts = split(depths, request)
    alone = [quote for depth in depths if (quote := priced(depth, request))]
    ours = total(parts) if parts else None
    if mode is Mode.EXACT_IN:
        got = ours[1] if ours else max((quote.amount_out for quote in alone), default=0)
        assert got >= max(received) - 1
    else:
        cost = ours[0] if ours else min((quote.amount_in for quote in alone), default=None)
        assert cost is None or cost <= min(paid) + 1


@PROPERTY
@given(
    st.lists(st.tuples(st.integers(10**9, 10**14), st.integers(10**9, 10**14)), min_size=2, max_size=8),
    st.integers(10**4, 10**12),
    st.sampled_from(Mode),
)
def test_the_parts_add_up_and_beat_every_pool_alone(reserves: list[tuple[int, int]], amount: int, mode: Mode) -> None:
    depths = [depth_of(str(place), *one) for place, one in enumerate(reserves)]
    request = request_of(amount, mode)
    if parts := split(depths, request):
        assert 2 <= len(parts) <= MOST_LEGS
        assert len({part.depth.pool for part in parts}) == len(parts)
        paid, received = total(parts)
        assert (paid if mode is Mode.EXACT_IN else received) == amount
        for depth in depths:
            if quote := priced(depth, request):
                assert received > quote.amount_out or paid < quote.amount_in


def test_equal_pools_share_a_large_swap_and_one_takes_a_small_one() -> None:
    depths = [depth_of("one", 10**12, 10**12), depth_of("two", 10**12, 10**12)]
    one, two = split(depths, request_of(10**11))
    assert abs(one.quote.amount_in - two.quote.amount_in) <= 2
    assert split(depths, request_of(300)) == ()


def test_of_many_pools_the_best_few_are_used() -> None:
    depths = [depth_of(str(size), size * 10**11, size * 10**11) for size in range(1, 9)]
    parts = split(depths, request_of(10**11))
    assert {part.depth.pool for part in parts} == {"6", "7", "8"}


@pytest.mark.parametrize("count", [0, 1])
def test_without_two_pools_nothing_is_divided(count: int) -> None:
    assert split([depth_of("one", 10**12, 10**12)] * count, request_of(10**11)) == ()


def test_a_pool_that_shows_no_depth_is_left_out() -> None:
    blind = replace(depth_of("blind", 10**13, 10**13), stretches=())
    assert split([blind, depth_of("one", 10**12, 10**12)], request_of(10**11)) == ()

"""When an order fires is exact, and the bounds of a group's quote hold for each of its orders."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain.quote import BPS, Mode, Quote, SwapRequest
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.resting.conditions import (
    Executable,
    Fires,
    Market,
    executable,
    highest_rate,
    key_of,
    lowest_rate,
    rate_of,
)
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, VenueContext
from dexexec.venues.ranking import net_amount
from dexexec.venues.router import Answer, Routing
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions, MockVenue
from tests.support.scripted import quote_of
from tests.unit.resting.resting_orders import SELL_SOL, resting

AMOUNTS = st.integers(1, 2**64 - 1)
RATES = st.fractions(Fraction(1, 10**12), Fraction(10**12))
MODES = st.sampled_from(list(Mode))


@given(mode=MODES, fires=st.sampled_from(list(Fires)), amount=AMOUNTS, rate=RATES, near=st.integers(-2, 2))
def test_the_amount_that_decides_means_the_same_as_the_rate(
    mode: Mode, fires: Fires, amount: int, rate: Fraction, near: int
) -> None:
    order = resting(1, rate, fires=fires, amount=amount, market=Market(WSOL, USDC, mode))
    other = max(order.other + near, 1)
    exact = rate_of(mode, amount, other)
    assert order.fires_at(other) is (exact >= rate if fires is Fires.AT_OR_ABOVE else exact <= rate)


@given(mode=MODES, amount=AMOUNTS, best=AMOUNTS, bps=st.integers(1, BPS - 1), near=st.integers(-2, 2))
def test_a_trailing_stop_fires_by_its_share_of_the_best_rate(
    mode: Mode, amount: int, best: int, bps: int, near: int
) -> None:
    order = resting(1, None, amount=amount, market=Market(WSOL, USDC, mode), trail_bps=bps)
    assert not order.fires_at(1)  # nothing to trail yet
    order.raise_best(best)
    other = max(order.other + near, 1)
    below = rate_of(mode, amount, other) <= rate_of(mode, amount, best) * (BPS - bps) / BPS
    assert order.fires_at(other) is below
    assert order.is_better(other) is (rate_of(mode, amount, other) > rate_of(mode, amount, best))


@given(first=RATES, second=RATES)
def test_keys_sort_as_their_rates(first: Fraction, second: Fraction) -> None:
    if first <= second:
        assert key_of(first) <= key_of(second)
    if first == second:
        assert key_of(first) == key_of(second)


def test_only_a_quote_within_the_impact_limit_is_executable() -> None:
    request = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=0)
    deep = quote_of("deep", request, 90_000, price_impact_ppm=10)
    shallow = quote_of("shallow", request, 100_000, price_impact_ppm=20_000)
    routing = Routing.of([Answer(venue=quote.venue, quote=quote) for quote in (shallow, deep)])
    assert executable(routing, 1_000_000) == Executable(shallow, net_amount(shallow))
    assert executable(routing, 20_000) == Executable(shallow, net_amount(shallow))
    assert executable(routing, 19_999) == Executable(deep, net_amount(deep))
    assert executable(routing, 9) is None


def test_a_quote_that_the_network_cost_eats_up_is_not_executable() -> None:
    request = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=1_000, mode=Mode.EXACT_IN, slippage_bps=0)
    quote = quote_of("pool", request, 150, network_fee=5_000)
    assert executable(Routing.of([Answer(venue="pool", quote=quote)]), 1_000_000) is None


def mocks() -> list[MockVenue[Any]]:
    clock = ManualClock()
    options = MockOptions(latency_ms=0, landing_ms=0, slippage_ppm=0, drift_ppm=0, offset_ppm=0)
    context = VenueContext(clock, Tokens(KNOWN), SimulatedChain(MemoryLedger(clock)), options)
    return [MockRaydium(context), MockMeteora(context)]


async def quotes_at(*requests: SwapRequest) -> list[list[Quote]]:
    """The quotes of the mock venues for each request."""
    found: list[list[Quote]] = []
    for request in requests:
        found.append([])
        for venue in mocks():
            with suppress(NoRoute):
                found[-1].append(await venue.quote(request, venue.context.clock.monotonic() + 1))
    return found


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(("mint_in", "mint_out"), [(WSOL, USDC), (USDC, WSOL)])
@settings(deadline=None, max_examples=60)
@given(
    small=st.one_of(st.integers(1, 10**6), st.integers(1, 10**13)),
    more=st.integers(0, 10**13),
    between=st.floats(0, 1),
    limit=st.integers(0, 1_000_000),
)
def test_the_edges_of_a_band_bound_every_size_in_it(
    mode: Mode, mint_in: str, mint_out: str, small: int, more: int, between: float, limit: int
) -> None:
    large = small + more
    request = SwapRequest(
        mint_in=mint_in, mint_out=mint_out, amount=small + int(more * between), mode=mode, slippage_bps=0
    )
    quotes, smallest, largest = asyncio.run(
        quotes_at(request, replace(request, amount=small), replace(request, amount=large))
    )
    own = executable(Routing.of([Answer(venue=quote.venue, quote=quote) for quote in quotes]), limit)
    if own is None:
        return
    rate = rate_of(mode, request.amount, own.net)
    assert not smallest or rate <= highest_rate(smallest)
    assert not largest or rate >= lowest_rate(largest, limit, small)


def test_a_rate_of_nothing_is_reached_by_no_stop_above_zero() -> None:
    order = resting(1, Fraction(1, 10), fires=Fires.AT_OR_BELOW, amount=1_000, market=SELL_SOL)
    assert order.fires_at(100)
    assert not order.fires_at(101)

"""The mocks' market is one path that every process agrees on, and their prices are the programs' own."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import UnsignedSwap
from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, Timeout, Unreachable, Unsupported, VenueContext
from dexexec_adapters.curves import cpmm, damm_v2
from dexexec_adapters.curves.swap import ChainTime, TradeDirection
from dexexec_adapters.mock import meteora as mock_meteora
from dexexec_adapters.mock import raydium as mock_raydium
from dexexec_adapters.mock.market import Market, Pair, depth, path_value, reference_value
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions, MockVenue

BONK, WIF = (Token(base58.encode(bytes([n]) * 32), symbol, n) for n, symbol in ((5, "BONK"), (6, "WIF")))
COARSE, FINE = (Token(base58.encode(bytes([30 + n]) * 32), f"T{n}", n) for n in (0, 18))
TOKENS = Tokens((*KNOWN, BONK, WIF, COARSE, FINE))
SOL_USDC = Pair(*KNOWN)
QUIET = MockOptions(latency_ms=0, landing_ms=0, slippage_ppm=0, drift_ppm=0, offset_ppm=0, launches=0)
SOL = 10**9
VENUES: tuple[type[MockVenue[Any]], ...] = (MockRaydium, MockMeteora)

each_venue = pytest.mark.parametrize("venue_class", VENUES)


def venue(
    venue_class: type[MockVenue[Any]], options: MockOptions = QUIET, rng: random.Random | None = None
) -> tuple[ManualClock, MockVenue[Any]]:
    clock = ManualClock()
    return clock, venue_class(VenueContext(clock, TOKENS, SimulatedChain(MemoryLedger(clock)), options), rng=rng)


def spend(amount: int, mint_in: str = WSOL, mint_out: str = USDC, mode: Mode = Mode.EXACT_IN) -> SwapRequest:
    return SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=amount, mode=mode, slippage_bps=50)


async def best(clock: ManualClock, venues: list[MockVenue[Any]], request: SwapRequest) -> str:
    quotes = [await venue.quote(request, clock.monotonic() + 1) for venue in venues]
    return max(quotes, key=lambda quote: quote.amount_out).venue


# ---- the path ------------------------------------------------------------------------------------------------------


@given(st.text(max_size=8), st.integers(0, 10**10))
def test_a_path_stays_within_its_amplitude_and_moves_in_small_steps(key: str, step: int) -> None:
    waves = ((60, 70), (7, 30))
    here = path_value(key, step, waves)
    there = path_value(key, step + 1, waves)
    assert abs(here) <= 1_000_000
    assert abs(there - here) <= 2_000_000 * 70 // 6_000 + 2_000_000 * 30 // 700 + 4


def test_two_processes_with_one_seed_see_one_price_and_with_another_seed_another() -> None:
    steps = range(1_700_000_000, 1_700_000_400, 40)
    one, twin, other = (
        [Market(seed, "v", TOKENS.get, 20_000, 1_000).price(SOL_USDC, step) for step in steps] for seed in (1, 1, 2)
    )
    assert one == twin
    assert one != other
    assert len(set(one)) == len(steps)


def test_prices_wander_within_drift_and_venues_differ_by_no_more_than_the_offset() -> None:
    here, there = (Market(7, name, TOKENS.get, 20_000, 1_000) for name in ("a", "b"))
    gaps = []
    for step in range(1_700_000_000, 1_700_040_000, 37):
        first = here.price(SOL_USDC, step)
        second = there.price(SOL_USDC, step)
        ratio = first.numerator * 10**9 // first.denominator  # micro-USDC per SOL, as the units are 10^9 and 10^6
        assert 150 * 10**6 * 0.9789 <= ratio <= 150 * 10**6 * 1.0211
        gaps.append((first.numerator * second.denominator) / (second.numerator * first.denominator) - 1)
    assert max(map(abs, gaps)) <= 0.00201
    assert min(gaps) < -0.0005
    assert max(gaps) > 0.0005


def test_usdc_is_constant_and_the_other_token_moves() -> None:
    market = Market(7, "v", TOKENS.get, 20_000, 0)
    for step in range(1_700_000_000, 1_700_010_000, 997):
        price = market.price(SOL_USDC, step)
        moved = path_value(f"7:{WSOL}", step, ((3_600, 60), (300, 30), (20, 10)))
        assert price.numerator * SOL * 10**6 == 150 * 10**6 * (10**6 + moved * 20_000 // 10**6) * price.denominator


def test_with_the_knobs_at_zero_the_price_is_the_reference() -> None:
    price = Market(1, "v", TOKENS.get, 0, 0).price(SOL_USDC, 1_700_000_000)
    assert price.numerator * SOL == 150 * 10**6 * price.denominator


def test_other_tokens_have_a_value_of_their_own_that_never_changes() -> None:
    assert (reference_value(WSOL), reference_value(USDC)) == (150_000_000, 1_000_000)
    assert reference_value(BONK.mint) != reference_value(WIF.mint)
    for token in (BONK, WIF, COARSE, FINE):
        assert 10_000 <= reference_value(token.mint) < 100_000_000


def test_a_pool_of_any_pair_fits_a_token_account() -> None:
    assert depth(SOL_USDC, 7_500_000) == (50_000 * SOL, 7_500_000 * 10**6)
    for base in TOKENS:
        for quote in TOKENS:
            if base != quote:
                amounts = depth(Pair(base, quote), 7_500_000)
                assert all(1 <= amount <= 2**62 for amount in amounts)


# ---- the venues ----------------------------------------------------------------------------------------------------


async def test_mock_raydium_prices_to_the_unit_as_cpmm() -> None:
    clock, raydium = venue(MockRaydium)
    pool = cpmm.CpmmPool(amm_config=mock_raydium.CONFIG, vault_0_amount=50_000 * SOL, vault_1_amount=7_500_000 * 10**6)
    for request, price, direction in (
        (spend(3 * SOL), cpmm.quote_exact_in, TradeDirection.A_TO_B),
        (spend(777, USDC, WSOL), cpmm.quote_exact_in, TradeDirection.B_TO_A),
        (spend(10**8, mode=Mode.EXACT_OUT), cpmm.quote_exact_out, TradeDirection.A_TO_B),
        (spend(SOL, USDC, WSOL, Mode.EXACT_OUT), cpmm.quote_exact_out, TradeDirection.B_TO_A),
    ):
        due = price(pool, request.amount, direction, ChainTime(0, 0))
        quote = await raydium.quote(request, clock.monotonic() + 1)
        assert (quote.amount_in, quote.amount_out) == (due.amount_in, due.amount_out)
        assert (quote.fee, quote.fee_mint) == (due.fee_in, request.mint_in)
        assert quote.price_impact_ppm == due.price_impact_ppm


async def test_mock_meteora_prices_to_the_unit_as_damm_v2_and_takes_its_fee_in_the_quote_token() -> None:
    clock, meteora = venue(MockMeteora)
    pool = meteora.pool(SOL_USDC, clock.unix_ms() // 1000)
    assert pool.sqrt_price == damm_v2.sqrt_price_from_amounts(SOL, 150 * 10**6)
    for request, price, direction in (
        (spend(3 * SOL), damm_v2.quote_exact_in, TradeDirection.A_TO_B),
        (spend(10**8, USDC, WSOL), damm_v2.quote_exact_in, TradeDirection.B_TO_A),
        (spend(10**8, mode=Mode.EXACT_OUT), damm_v2.quote_exact_out, TradeDirection.A_TO_B),
        (spend(SOL, USDC, WSOL, Mode.EXACT_OUT), damm_v2.quote_exact_out, TradeDirection.B_TO_A),
    ):
        due = price(pool, request.amount, direction, ChainTime(0, 0))
        quote = await meteora.quote(request, clock.monotonic() + 1)
        assert (quote.amount_in, quote.amount_out) == (due.amount_in, due.amount_out)
        assert (quote.fee, quote.fee_mint) == (due.fee_in + due.fee_out, USDC)


def test_the_surcharge_of_mock_meteora_follows_how_fast_the_market_moves() -> None:
    def surcharges(drift_ppm: int) -> list[int]:
        _, meteora = venue(MockMeteora, replace_options(drift_ppm=drift_ppm))
        return [fee.numerator() for step in range(0, 3_600, 60) if (fee := meteora.pool(SOL_USDC, step).dynamic_fee)]

    motionless = surcharges(0)
    calm = surcharges(5_000)
    wild = surcharges(200_000)
    assert set(motionless) == {0}
    assert 0 < max(calm) < max(wild)
    most = replace(mock_meteora.DYNAMIC_FEE, volatility_accumulator=350_000).numerator()
    assert max(wild) == most
    assert len(set(calm)) > 10


async def test_the_better_venue_changes_with_size() -> None:
    clock = ManualClock()
    venues = [venue(kind)[1] for kind in VENUES]
    assert await best(clock, venues, spend(SOL)) == "mock-meteora"
    assert await best(clock, venues, spend(1_000 * SOL)) == "mock-raydium"


async def test_the_better_venue_changes_with_time() -> None:
    clock = ManualClock()
    chain = SimulatedChain(MemoryLedger(clock))
    options = MockOptions(latency_ms=0)
    venues: list[MockVenue[Any]] = [kind(VenueContext(clock, TOKENS, chain, options)) for kind in VENUES]
    winners = []
    for _ in range(60):
        clock.advance(20)
        winners.append(await best(clock, venues, spend(SOL)))
    assert set(winners) == {"mock-raydium", "mock-meteora"}


@each_venue
async def test_any_pair_of_known_tokens_is_priced_at_its_reference(venue_class: type[MockVenue[Any]]) -> None:
    clock, mock = venue(venue_class)
    for token_in in (*KNOWN, BONK, WIF):
        for token_out in (*KNOWN, BONK, WIF):
            if token_in == token_out:
                continue
            amount = 1_000 * 1_000_000 * 10**token_in.decimals // reference_value(token_in.mint)
            quote = await mock.quote(spend(amount, token_in.mint, token_out.mint), clock.monotonic() + 1)
            dollars = quote.amount_out * reference_value(token_out.mint) / 10**token_out.decimals / 1_000_000
            assert 995 <= dollars <= 998.1


@each_venue
async def test_tokens_whose_units_are_too_far_apart_have_no_route_and_others_have_one(
    venue_class: type[MockVenue[Any]],
) -> None:
    clock, mock = venue(venue_class)
    answered = set()
    for token_in, token_out in ((COARSE, FINE), (FINE, COARSE), (FINE, KNOWN[1]), (COARSE, KNOWN[0])):
        for amount in (1, 10**3, 10**6, 10**17, 2**64 - 1):
            try:
                quote = await mock.quote(spend(amount, token_in.mint, token_out.mint), clock.monotonic() + 1)
            except NoRoute:
                continue
            assert quote.amount_out > 0
            answered.add((token_in.symbol, token_out.symbol))
    assert ("T18", "USDC") in answered
    assert ("T0", "SOL") in answered


@each_venue
@pytest.mark.parametrize(("mint_in", "mint_out"), [(WSOL, WSOL), (WSOL, "1" * 32), ("x", USDC)])
async def test_unknown_tokens_and_a_token_for_itself_are_unsupported(
    venue_class: type[MockVenue[Any]], mint_in: str, mint_out: str
) -> None:
    clock, mock = venue(venue_class)
    with pytest.raises(Unsupported):
        await mock.quote(spend(SOL, mint_in, mint_out), clock.monotonic() + 1)


# ---- the knobs -----------------------------------------------------------------------------------------------------


def replace_options(**changes: object) -> MockOptions:
    return MockOptions.model_validate(QUIET.model_dump() | changes)


@each_venue
async def test_a_quote_takes_its_latency_and_gives_up_at_the_deadline(venue_class: type[MockVenue[Any]]) -> None:
    clock, mock = venue(venue_class, replace_options(latency_ms=300))
    await mock.quote(spend(SOL), clock.monotonic() + 1)
    assert clock.monotonic() == pytest.approx(0.3)
    with pytest.raises(Timeout):
        await mock.quote(spend(SOL), clock.monotonic() + 0.2)
    assert clock.monotonic() == pytest.approx(0.5)
    with pytest.raises(Timeout):
        await mock.quote(spend(SOL), clock.monotonic() - 1)
    assert clock.monotonic() == pytest.approx(0.5)


async def outcomes(mock: MockVenue[Any], times: int) -> list[bool]:
    answered = []
    for _ in range(times):
        try:
            await mock.quote(spend(SOL), 1.0)
            answered.append(True)
        except Unreachable:
            answered.append(False)
    return answered


async def test_quotes_fail_at_their_rate_and_the_same_ones_with_the_same_seed() -> None:
    options = replace_options(failure_rate=0.3)
    first = await outcomes(venue(MockRaydium, options)[1], 400)
    assert 80 <= first.count(False) <= 160
    assert await outcomes(venue(MockRaydium, options)[1], 400) == first
    assert await outcomes(venue(MockMeteora, options)[1], 400) != first
    assert await outcomes(venue(MockRaydium, options, random.Random(5))[1], 400) != first
    assert not any(await outcomes(venue(MockRaydium, replace_options(failure_rate=1))[1], 50))
    assert all(await outcomes(venue(MockRaydium)[1], 50))


async def built(mock: MockVenue[Any], clock: ManualClock, quote: Quote | None = None) -> SimulatedSwap:
    quote = quote or await mock.quote(spend(SOL), clock.monotonic() + 1)
    unsigned = await mock.build(quote, "payer", await mock.context.chain.blockhash())
    assert isinstance(unsigned, UnsignedSwap)
    return SimulatedSwap.decode(unsigned.message)


async def test_price_moves_lost_sends_and_landing_time_are_in_the_bytes() -> None:
    clock, mock = venue(MockRaydium, replace_options(slippage_ppm=1_000, drop_rate=0.5, landing_ms=700))
    swaps = [await built(mock, clock) for _ in range(200)]
    moves = [swap.move_ppm for swap in swaps]
    assert 0 <= min(moves) < 100
    assert 900 < max(moves) <= 1_000
    assert 60 <= sum(swap.dropped for swap in swaps) <= 140
    assert {swap.landing_ms for swap in swaps} == {700}


async def test_one_quote_built_twice_even_by_workers_of_one_seed_gives_different_bytes() -> None:
    options = replace_options(slippage_ppm=1_000_000)
    (clock, mock) = venue(MockRaydium, options)
    (_, twin) = venue(MockRaydium, options)
    first = await built(mock, clock)
    second = await built(twin, clock)
    assert first.move_ppm == second.move_ppm
    quote = await mock.quote(spend(SOL), clock.monotonic() + 1)
    again = [(await built(mock, clock, quote)).nonce for _ in range(2)]
    assert len({first.nonce, second.nonce, *again}) == 4


async def test_a_quote_carries_its_bounds_into_the_bytes() -> None:
    clock, mock = venue(MockMeteora)
    for mode in Mode:
        quote = await mock.quote(spend(10**8, mode=mode), clock.monotonic() + 1)
        swap = await built(mock, clock, quote)
        amounts = (quote.amount_in, quote.amount_out, quote.min_out, quote.max_in)
        assert (swap.amount_in, swap.amount_out, swap.min_out, swap.max_in) == amounts
        assert swap.exact_in is (mode is Mode.EXACT_IN)
        assert swap.blockhash == (await mock.context.chain.blockhash()).hash


async def test_another_venues_quote_cannot_be_built() -> None:
    clock, raydium = venue(MockRaydium)
    _, meteora = venue(MockMeteora)
    quote = await raydium.quote(spend(SOL), clock.monotonic() + 1)
    with pytest.raises(Unsupported, match="mock-raydium"):
        await meteora.build(quote, "payer", await meteora.context.chain.blockhash())

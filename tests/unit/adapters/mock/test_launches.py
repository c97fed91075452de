"""Launches of the mocks follow from seed, mint and time, the same in every process; an open pool is quoted."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain import base58
from dexexec.domain.launch import NewPool
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, Unsupported, VenueContext
from dexexec_adapters.mock.launches import LaunchSchedule
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions, MockVenue

MINT = base58.encode(bytes([77]) * 32)
PERIOD_MS = 20_000
VENUES: tuple[type[MockVenue[Any]], ...] = (MockRaydium, MockMeteora)
MINTS = st.binary(min_size=32, max_size=32).map(base58.encode)

each_venue = pytest.mark.parametrize("venue_class", VENUES)


def schedule(venue: str = "v", seed: int = 1, period_ms: int = PERIOD_MS) -> LaunchSchedule:
    return LaunchSchedule(seed, venue, Tokens(KNOWN), period_ms)


def opened(venue_class: type[MockVenue[Any]], **options: Any) -> tuple[ManualClock, MockVenue[Any]]:
    clock = ManualClock(1_700_000_000_000)
    settings = MockOptions(**{"latency_ms": 0, "launches": PERIOD_MS // 1000, **options})
    return clock, venue_class(VenueContext(clock, Tokens(KNOWN), SimulatedChain(MemoryLedger(clock)), settings))


def followed(venue: MockVenue[Any], pair: tuple[str, str] = (WSOL, MINT)) -> AsyncGenerator[NewPool, None]:
    pools = venue.watch_pools(pair)
    assert pools is not None
    return pools


def spend(amount: int = 10**7, mint_out: str = MINT) -> SwapRequest:
    return SwapRequest(mint_in=WSOL, mint_out=mint_out, amount=amount, mode=Mode.EXACT_IN, slippage_bps=50)


@given(MINTS, st.integers(0, 2**41), st.integers(0, 10**6))
def test_a_launch_is_the_same_whenever_and_wherever_it_is_computed_in_its_period(
    mint: str, now_ms: int, seed: int
) -> None:
    first = schedule(seed=seed).at(mint, now_ms)
    begin = now_ms // PERIOD_MS * PERIOD_MS
    assert schedule(seed=seed).at(mint, begin) == schedule(seed=seed).at(mint, begin + PERIOD_MS - 1) == first
    assert begin <= first.opens_at_ms < begin + PERIOD_MS // 2
    assert schedule(seed=seed).at(mint, begin + PERIOD_MS).number == first.number + 1


@given(MINTS, st.integers(0, 2**41))
def test_a_token_is_the_same_at_every_venue_and_in_every_period(mint: str, now_ms: int) -> None:
    here, there = schedule("a"), schedule("b")
    assert here.token(mint) == there.token(mint)
    assert here.at(mint, now_ms).rules() == there.at(mint, now_ms + PERIOD_MS).rules()


def test_tokens_of_every_kind_are_launched() -> None:
    rules = [schedule().at(base58.encode(number.to_bytes(32, "big")), 0).rules() for number in range(1, 200)]
    for name in ("mint_authority", "freeze_authority"):
        assert {rule[name] is None for rule in rules} == {True, False}
    assert {rule["transfer_fee_bps"] for rule in rules} == {0, 100, 500}


@pytest.mark.parametrize("mint", [WSOL, USDC, "x", "1" * 31, "0" * 40, "1" * 4_000])
def test_neither_a_configured_token_nor_text_that_is_no_mint_is_launched(mint: str) -> None:
    assert not schedule().launches(mint)
    assert not schedule(period_ms=0).launches(MINT)
    assert schedule().token(mint) == Tokens(KNOWN).get(mint)


@each_venue
async def test_a_pool_is_reported_when_it_opens_and_quoted_from_then_on(venue_class: type[MockVenue[Any]]) -> None:
    clock, venue = opened(venue_class)
    async with aclosing(followed(venue)) as pools:
        for _ in range(3):
            while (pool := await anext(pools)).launched_at_ms < clock.unix_ms() - 1_000:
                pass
            assert clock.unix_ms() == pool.launched_at_ms, "at the moment of its launch"
            quote = await venue.quote(spend(), clock.monotonic() + 1)
            assert quote.route == (pool.address,)
            assert quote.amount_out <= pool.token(MINT).reserve
            clock.advance((PERIOD_MS - clock.unix_ms() % PERIOD_MS) / 1000)


@each_venue
async def test_before_its_launch_and_without_launches_there_is_no_pool(venue_class: type[MockVenue[Any]]) -> None:
    clock, venue = opened(venue_class)
    clock.advance((PERIOD_MS - clock.unix_ms() % PERIOD_MS) / 1000)
    with pytest.raises(NoRoute, match="yet"):
        await venue.quote(spend(), clock.monotonic() + 1)
    _, silent = opened(venue_class, launches=0)
    assert silent.watch_pools((WSOL, MINT)) is None
    assert venue.watch_pools((WSOL, USDC)) is None
    with pytest.raises(Unsupported, match="is unknown"):
        await silent.quote(spend(), clock.monotonic() + 1)


@each_venue
async def test_a_pool_is_reported_again_only_when_it_has_changed(venue_class: type[MockVenue[Any]]) -> None:
    _, venue = opened(venue_class)
    async with aclosing(followed(venue, (MINT, WSOL))) as pools:
        reported = [await anext(pools) for _ in range(20)]
    for before, after in pairwise(reported):
        assert (before.address, before.tokens) != (after.address, after.tokens)
    still = opened(venue_class, drift_ppm=0, offset_ppm=0)[1]
    async with aclosing(followed(still)) as pools:
        assert len({(await anext(pools)).address for _ in range(5)}) == 5, "one report per launch"

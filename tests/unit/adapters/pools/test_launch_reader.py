"""Both venues read a new pool from the chain: reserves, launch, and the rules of its tokens."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.launch import NewPool
from dexexec.domain.solana import Account, AccountFilters
from dexexec.domain.token import USDC, WSOL
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, ProgramChanges, RateLimited, Venue
from dexexec_adapters.pools.search import NEW_MAX_AGE
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.spl import TOKEN
from tests.support import meteora_accounts as meteora_at
from tests.support.meteora_accounts import clock_account, meteora
from tests.support.raydium_accounts import (
    MINTS_AT,
    OPEN_MS,
    PROGRAMS_AT,
    VAULT_AMOUNTS,
    RecordedChain,
    address,
    key,
    mint_account,
    patched,
    pool_accounts,
    pool_of,
    quoted,
    raydium,
    token_account,
)

PAIR = (WSOL, USDC)
OWNER = address(50)
NEW = address(60)
"""A mint that is not configured."""


class WatchedChain(RecordedChain):
    """A recorded chain that reports the addresses that a test adds."""

    @property
    def reports(self) -> set[str]:
        """What is to be reported."""
        reports: set[str] = self.__dict__.setdefault("_reports", set())
        return reports

    def watch_program(self, program: str, filters: Sequence[AccountFilters]) -> "WatchedChain":
        return self

    @property
    def live(self) -> bool:
        return True

    async def changes(self, seconds: float) -> ProgramChanges:
        await asyncio.sleep(0)
        found = frozenset(self.reports)
        self.reports.clear()
        return ProgramChanges(found, missed=not self.searched)

    def close(self) -> None:
        pass


def raydium_chain(data: bytes, *, usdc: Account | None = None) -> RecordedChain:
    mints = {key(data, at): mint_account(key(data, program)) for at, program in zip(MINTS_AT, PROGRAMS_AT, strict=True)}
    held = {**pool_accounts(address(1), data), **mints, CLOCK: clock_account()}
    return RecordedChain({**held, USDC: usdc} if usdc else held, slot=77)


async def first_of(venue: Venue[Any], pair: tuple[str, str] = PAIR) -> NewPool:
    pools = venue.watch_pools(pair)
    assert pools is not None
    async with aclosing(pools):
        return await anext(pools)


async def reports_nothing(venue: Venue[Any], pair: tuple[str, str] = PAIR) -> bool:
    """Whether several searches report no pool."""
    pools = venue.watch_pools(pair)
    assert pools is not None
    following = asyncio.ensure_future(anext(pools))
    chain = venue.context.chain
    assert isinstance(chain, RecordedChain)
    while len(chain.searched) < 6:
        await asyncio.sleep(0)
    reported = following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return not reported


async def test_raydium_reports_reserves_without_fees_and_the_opening_time() -> None:
    data = pool_of(PAIR, 1, (373, 1_800_000_123), (341, 11), (357, 5), (397, 4))
    pool = await first_of(raydium(raydium_chain(data), ManualClock(OPEN_MS)))
    fees = [sum(int.from_bytes(data[at : at + 8], "little") for at in (341 + n, 357 + n, 397 + n)) for n in (0, 8)]
    assert (pool.venue, pool.address, pool.slot) == ("raydium", address(1), 77)
    assert pool.launched_at_ms == 1_800_000_123_000
    assert [token.reserve for token in pool.tokens] == [
        amount - fee for amount, fee in zip(VAULT_AMOUNTS, fees, strict=True)
    ]
    assert fees[0] >= 20, "there are fees in the vault"
    assert pool.mints == (key(data, MINTS_AT[0]), key(data, MINTS_AT[1]))


async def test_authorities_and_decimals_are_those_of_the_mints() -> None:
    data = bytes(mint_account(TOKEN).data)
    owned = patched(data, (0, b"\1\0\0\0"), (4, OWNER), (46, b"\1\0\0\0"), (50, address(51)))
    chain = raydium_chain(pool_of(PAIR), usdc=Account(TOKEN, 1, owned))
    pool = await first_of(raydium(chain, ManualClock(OPEN_MS)))
    usdc = pool.token(USDC)
    assert (usdc.mint_authority, usdc.freeze_authority, usdc.decimals) == (OWNER, address(51), 6)
    assert (pool.token(WSOL).mint_authority, pool.token(WSOL).freeze_authority) == (None, None)
    with pytest.raises(KeyError):
        pool.token(OWNER)


@pytest.mark.parametrize(
    ("changes", "launched_at_ms"),
    [
        (((meteora_at.ACTIVATION_TYPE_AT, b"\1"), (meteora_at.ACTIVATION_AT, 1_770_000_050)), 1_770_000_050_000),
        (
            ((meteora_at.ACTIVATION_TYPE_AT, b"\0"), (meteora_at.ACTIVATION_AT, meteora_at.SLOT - 10)),
            meteora_at.UNIX * 1000 - 4_000,
        ),
        (
            ((meteora_at.ACTIVATION_TYPE_AT, b"\0"), (meteora_at.ACTIVATION_AT, meteora_at.SLOT + 10)),
            meteora_at.UNIX * 1000 + 4_000,
        ),
    ],
    ids=["time", "past-slot", "future-slot"],
)
async def test_meteora_reports_its_own_reserves_and_its_activation(
    changes: tuple[tuple[int, Any], ...], launched_at_ms: int
) -> None:
    data = meteora_at.pool_of(PAIR, 1, meteora_at.ONLY_B, *changes)
    pool = await first_of(meteora(meteora_at.chain_of(data)))
    assert (pool.venue, pool.mints, pool.launched_at_ms) == ("meteora", PAIR, launched_at_ms)
    assert all(0 < token.reserve < meteora_at.VAULT_AMOUNT for token in pool.tokens), "not the vaults"


@pytest.mark.parametrize("kind", ["vault", "mint", "clock"])
async def test_a_pool_whose_accounts_cannot_be_read_is_not_reported(kind: str) -> None:
    data = pool_of(PAIR)
    chain = raydium_chain(data)
    bad: Mapping[str, Mapping[str, Account | None]] = {
        "vault": {key(data, 72): token_account(WSOL, OWNER, 5)},
        "mint": {USDC: Account(TOKEN, 1, b"")},
        "clock": {CLOCK: None},
    }
    assert await reports_nothing(raydium(meteora_at.changed(chain, bad[kind]), ManualClock(OPEN_MS)))


async def test_a_pool_of_another_pair_or_outside_of_the_settings_is_not_reported() -> None:
    chain = raydium_chain(pool_of(PAIR))
    assert await reports_nothing(raydium(chain, ManualClock(OPEN_MS)), (WSOL, address(60)))
    assert await reports_nothing(raydium(raydium_chain(pool_of(PAIR)), ManualClock(OPEN_MS), pools=(address(9),)))


async def test_a_new_pool_is_quoted_although_there_was_none_a_moment_before() -> None:
    full = raydium_chain(pool_of(PAIR, 1, (373, 1)))
    empty = RecordedChain({})
    venue = raydium(empty, ManualClock(OPEN_MS))
    request = replace(meteora_at.SELL, mint_in=WSOL, mint_out=USDC, amount=10**6)
    with pytest.raises(NoRoute):
        await quoted(venue, request)
    empty.held = full.held
    with pytest.raises(NoRoute):
        await quoted(venue, request)
    pool = await first_of(venue)
    assert (await quoted(venue, request)).route == (pool.address,)


async def test_that_there_are_no_pools_is_not_remembered_for_long() -> None:
    """Another process may have seen the launch."""
    clock = ManualClock(OPEN_MS)
    chain = RecordedChain({})
    venue = raydium(chain, clock)
    request = replace(meteora_at.SELL, mint_in=WSOL, mint_out=USDC, amount=10**6)
    with pytest.raises(NoRoute):
        await quoted(venue, request)
    chain.held = raydium_chain(pool_of(PAIR, 1, (373, 1))).held
    clock.advance(NEW_MAX_AGE)
    assert (await quoted(venue, request)).route == (address(1),)


async def test_pools_of_a_token_that_is_not_configured_are_not_remembered_for_long() -> None:
    """A worker of another process than the one that watches must find a second pool, too."""
    clock = ManualClock(OPEN_MS)
    chain = raydium_chain(pool_of((WSOL, NEW), 1, (373, 1)))
    venue = raydium(chain, clock)
    request = replace(meteora_at.SELL, mint_in=WSOL, mint_out=NEW, amount=10**6)
    assert (await quoted(venue, request)).route == (address(1),)
    deeper = pool_of((WSOL, NEW), 2, (373, 1), (333, 2**60))
    chain.held = {**chain.held, **pool_accounts(address(2), deeper, (VAULT_AMOUNTS[0] * 9, VAULT_AMOUNTS[1] * 99))}
    clock.advance(NEW_MAX_AGE)
    await quoted(venue, request)
    assert chain.read[-1].count(address(2)) == 1
    assert len(chain.searched) == 2
    known = replace(meteora_at.SELL, mint_in=WSOL, mint_out=USDC, amount=10**6)
    other = raydium_chain(pool_of(PAIR, 1, (373, 1)))
    venue = raydium(other, clock)
    await quoted(venue, known)
    clock.advance(NEW_MAX_AGE)
    await quoted(venue, known)
    assert len(other.searched) == 1, "a configured pair is searched as rarely as the setting allows"


async def test_a_reported_pool_is_quoted_although_the_node_cannot_search_for_it() -> None:
    chain = WatchedChain({})
    venue = raydium(chain, ManualClock(OPEN_MS))
    pools = venue.watch_pools((WSOL, NEW))
    async with aclosing(pools):
        following = asyncio.ensure_future(anext(pools))
        while not chain.searched:
            await asyncio.sleep(0)
        chain.searching = RateLimited("no searches in this plan")
        # At an address of its own, which nothing derives.
        chain.held = raydium_chain(pool_of((WSOL, NEW), 1, (373, 1))).held
        chain.reports.add(address(1))
        assert (await following).address == address(1)
    request = replace(meteora_at.SELL, mint_in=WSOL, mint_out=NEW, amount=10**6)
    assert (await quoted(venue, request)).route == (address(1),)

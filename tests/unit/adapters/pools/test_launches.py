"""Pools of a pair are followed: found at the start, read at once when reported, never believed, and not too often."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from dexexec.domain.launch import NewPool, PoolToken
from dexexec.domain.pace import UNKNOWN_PACE
from dexexec.domain.solana import Account, AccountFilters
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoOptions, ProgramChanges, RateLimited, VenueContext
from dexexec_adapters.pools import launches
from dexexec_adapters.pools.launches import PairSearch, follow_pools
from tests.support.raydium_accounts import RecordedChain, address

PROGRAM = address(200)
FILTERS = AccountFilters(3)
POOL, OTHER = address(1), address(2)


def pool_at(where: str, reserve: int = 5, slot: int = 1) -> NewPool:
    tokens = (PoolToken(mint=WSOL, decimals=9, reserve=reserve), PoolToken(mint=USDC, decimals=6, reserve=7))
    return NewPool(venue="v", address=where, tokens=tokens, slot=slot, launched_at_ms=1)


@dataclass
class Reports:
    """A watch whose reports a test decides; a wait for them takes the clock's time."""

    clock: ManualClock
    live: bool = True
    queued: list[ProgramChanges] = field(default_factory=lambda: [ProgramChanges(frozenset(), missed=True)])
    waits: list[float] = field(default_factory=list)
    closed: bool = False

    def report(self, *addresses: str, missed: bool = False) -> None:
        self.queued.append(ProgramChanges(frozenset(addresses), missed=missed))

    async def changes(self, seconds: float) -> ProgramChanges:
        if self.queued:
            return self.queued.pop(0)
        self.waits.append(seconds)
        await self.clock.sleep(seconds)
        return ProgramChanges(frozenset(), missed=False)

    def close(self) -> None:
        self.closed = True


class WatchedChain(RecordedChain):
    """A recorded chain that reports changes."""

    reports: Reports

    def watch_program(self, program: str, filters: Sequence[AccountFilters]) -> Reports:
        assert (program, list(filters)) == (PROGRAM, [FILTERS])
        return self.reports


@dataclass
class Pools:
    """What the chain has: pools by address. Records what is read, and when."""

    clock: ManualClock
    there: dict[str, NewPool] = field(default_factory=dict)
    read: list[tuple[float, frozenset[str]]] = field(default_factory=list)

    async def __call__(self, addresses: Collection[str]) -> list[NewPool]:
        self.read.append((self.clock.monotonic(), frozenset(addresses)))
        return [self.there[one] for one in addresses if one in self.there]


@dataclass
class Followed:
    """A pair's pools that are followed on a chain."""

    clock: ManualClock
    chain: RecordedChain
    pools: Pools
    reports: Reports

    def follow(self) -> AsyncGenerator[NewPool, None]:
        context: VenueContext[Any] = VenueContext(self.clock, Tokens(KNOWN), self.chain, NoOptions())
        search = PairSearch(chain=self.chain, program=PROGRAM, filters=[FILTERS], derived=())
        return follow_pools(search, self.pools, context)


def followed(*existing: str, reporting: bool = True) -> Followed:
    clock = ManualClock()
    held = {one: Account(PROGRAM, 1, b"abc") for one in existing}
    chain = WatchedChain(held) if reporting else RecordedChain(held)
    reports = Reports(clock)
    if isinstance(chain, WatchedChain):
        chain.reports = reports
    return Followed(clock, chain, Pools(clock, {one: pool_at(one) for one in existing}), reports)


async def test_existing_pools_come_first_and_a_reported_one_as_soon_as_it_is_read() -> None:
    on = followed(POOL)
    async with aclosing(on.follow()) as pools:
        assert await anext(pools) == pool_at(POOL)
        on.pools.there[OTHER] = pool_at(OTHER)
        on.reports.report(OTHER)
        assert await anext(pools) == pool_at(OTHER)
        assert on.clock.monotonic() == 0, "without a pause"
    assert on.reports.closed
    assert len(on.chain.searched) == 1, "a reported address needs no search"


async def test_a_change_is_reported_and_a_new_slot_alone_is_none() -> None:
    on = followed(POOL)
    async with aclosing(on.follow()) as pools:
        await anext(pools)
        on.pools.there[POOL] = pool_at(POOL, slot=9)
        on.reports.report(POOL)
        following = asyncio.ensure_future(anext(pools))
        while len(on.pools.read) < 2:
            await asyncio.sleep(0)
        assert not following.done()
        on.pools.there[POOL] = pool_at(POOL, reserve=6)
        on.reports.report(POOL)
        assert await following == pool_at(POOL, reserve=6)
        times = [at for at, _ in on.pools.read]
        assert all(later - sooner >= UNKNOWN_PACE.seconds(launches.REREAD_SLOTS) for sooner, later in pairwise(times))


async def test_a_node_that_is_not_believed_costs_reads_and_reports_nothing() -> None:
    """An address that is not a pool of the pair is read some times, in case another node has it later."""
    on = followed()
    on.reports.report(OTHER)
    async with aclosing(on.follow()) as pools:
        following = asyncio.ensure_future(anext(pools))
        while len(on.pools.read) < launches.MAX_UNREADABLE:
            await asyncio.sleep(0)
        on.pools.there[POOL] = pool_at(POOL)
        on.reports.report(POOL)
        assert await following == pool_at(POOL)
        assert on.pools.read[-1][1] == {POOL}, "the other address was given up"


async def test_reports_that_may_be_missing_are_replaced_by_a_search() -> None:
    on = followed()
    async with aclosing(on.follow()) as pools:
        following = asyncio.ensure_future(anext(pools))
        while not on.reports.waits:
            await asyncio.sleep(0)
        assert on.reports.waits[0] == launches.CHECK_SECONDS
        on.chain.held = {POOL: Account(PROGRAM, 1, b"abc")}
        on.pools.there[POOL] = pool_at(POOL)
        on.reports.report(missed=True)
        assert await following == pool_at(POOL)


async def test_without_reports_the_chain_is_searched_every_few_seconds() -> None:
    on = followed(reporting=False)
    async with aclosing(on.follow()) as pools:
        following = asyncio.ensure_future(anext(pools))
        while len(on.chain.searched) < 3:
            await asyncio.sleep(0)
        on.chain.held = {POOL: Account(PROGRAM, 1, b"abc")}
        on.pools.there[POOL] = pool_at(POOL)
        assert await following == pool_at(POOL)
        assert on.clock.monotonic() == pytest.approx((len(on.chain.searched) - 1) * launches.SEARCH_SECONDS)


async def test_a_failing_search_matters_only_while_there_are_no_reports() -> None:
    on = followed()
    on.chain.searching = RateLimited("no searches in this plan")
    async with aclosing(on.follow()) as pools:
        following = asyncio.ensure_future(anext(pools))
        while len(on.chain.searched) < 5:
            await asyncio.sleep(0)
        on.reports.live = False
        with pytest.raises(RateLimited):
            await following
    assert on.reports.closed
    silent = followed(reporting=False)
    silent.chain.searching = RateLimited("no searches in this plan")
    with pytest.raises(RateLimited):
        await anext(silent.follow())
    assert len(silent.chain.searched) == launches.MAX_FAILED_SEARCHES


async def test_the_memory_of_pools_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launches, "MAX_KNOWN", 2)
    many = [address(number) for number in range(1, 6)]
    on = followed(*many)
    async with aclosing(on.follow()) as pools:
        assert {(await anext(pools)).address for _ in many} == set(many)
        on.reports.report(many[0])
        assert (await anext(pools)).address == many[0], "it was forgotten, so it is new"

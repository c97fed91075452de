"""The pools of a pair are searched again in the background: before they are too old, and when a node reports one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from dexexec.domain.solana import AccountFilters
from dexexec.domain.token import Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoOptions, ProgramChanges, Unreachable, VenueContext
from dexexec_adapters.pools import keeper as keeper_module
from dexexec_adapters.pools.keeper import CHECK_SECONDS, KEPT_SECONDS, LOOK_SECONDS, MAX_PAIRS, PoolKeeper
from dexexec_adapters.pools.search import Mints, PoolCache

PAIR = Mints(b"a", b"b")
MAX_AGE = 600.0


class SteppedClock(ManualClock):
    """A clock that only `advance` moves."""

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        while self.monotonic() < until:
            await asyncio.sleep(0)


@dataclass
class Reports:
    """What a node reports; a test adds to it."""

    live: bool = True
    missed: bool = True
    addresses: set[str] = field(default_factory=set)
    closed: bool = False

    async def changes(self, seconds: float) -> ProgramChanges:
        changes = ProgramChanges(frozenset(self.addresses), missed=self.missed)
        self.addresses.clear()
        self.missed = False
        return changes

    def close(self) -> None:
        self.closed = True


@dataclass
class Chain:
    """A chain that reports changes, and has nothing else."""

    watches: list[Reports] = field(default_factory=list)

    def watch_program(self, program: str, filters: Sequence[AccountFilters]) -> Reports:
        self.watches.append(Reports())
        return self.watches[-1]


@dataclass
class Setup:
    """A keeper with a cache whose searches return `pools`, or fail."""

    clock: ManualClock
    chain: Any
    keeper: PoolKeeper
    cache: PoolCache[Mints, str]
    pools: list[str]
    searches: list[Mints] = field(default_factory=list)
    fails: bool = False

    async def find(self, pair: Mints) -> Sequence[str]:
        self.searches.append(pair)
        if self.fails:
            raise Unreachable("no node")
        self.keeper.searched(pair, self.pools)
        return list(self.pools)

    async def passes(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.clock.advance(LOOK_SECONDS)
            for _ in range(10):  # a search takes some turns of the event loop
                await asyncio.sleep(0)


@asynccontextmanager
async def setup(*, is_new: bool = False, reports: bool = True) -> AsyncIterator[Setup]:
    clock = SteppedClock()
    chain: Any = Chain() if reports else object()
    context = VenueContext(clock, Tokens(()), cast("Any", chain), NoOptions())
    keeper = PoolKeeper(context, "program", filters=lambda _: (), is_new=lambda _: is_new, max_age=MAX_AGE)
    made = Setup(clock, chain, keeper, cast("Any", None), ["pool"])
    made.cache = PoolCache(made.find, clock.monotonic, MAX_AGE, is_new=lambda _: is_new, followed=keeper.follows)
    keeper.start(made.cache)
    keeper.use(PAIR)
    try:
        assert await made.cache.get(PAIR) == ("pool",)
        yield made
    finally:
        await keeper.aclose()
        await made.cache.aclose()


async def test_pools_are_searched_again_before_they_are_too_old() -> None:
    async with setup(reports=False) as made:
        for _ in range(5):
            await made.passes(MAX_AGE / 2 + 2 * LOOK_SECONDS)
            made.keeper.use(PAIR)
            before = len(made.searches)
            assert await made.cache.get(PAIR) == ("pool",)
            assert len(made.searches) == before, "no order waits for a search"
        assert 4 <= len(made.searches) <= 7


async def test_a_reported_account_that_no_search_found_is_searched_at_once() -> None:
    async with setup() as made:
        await made.passes(2)
        searches = len(made.searches)
        made.chain.watches[0].addresses |= {"pool"}
        await made.passes(2)
        assert len(made.searches) == searches, "a known pool has changed"
        made.pools.append("launched")
        made.chain.watches[0].addresses |= {"launched"}
        await made.passes(2)
        assert len(made.searches) == searches + 1
        assert await made.cache.get(PAIR) == ("pool", "launched")


@pytest.mark.parametrize("missed", [True, False])
async def test_pools_of_new_pairs_are_used_as_long_as_a_node_reports_them(missed: bool) -> None:
    async with setup(is_new=True) as made:
        await made.passes(2)
        assert made.keeper.follows(PAIR)
        made.chain.watches[0].missed = missed
        made.fails = missed
        await made.passes(CHECK_SECONDS / 2)
        assert made.keeper.follows(PAIR) is not missed
        searches = len(made.searches)
        if missed:
            with pytest.raises(Unreachable):
                await made.cache.get(PAIR)
        else:
            assert await made.cache.get(PAIR) == ("pool",)
            assert len(made.searches) == searches


async def test_new_pairs_are_searched_now_and_then_since_reports_get_lost() -> None:
    async with setup(is_new=True) as made:
        await made.passes(2)
        searches = len(made.searches)
        await made.passes(CHECK_SECONDS * 3)
        assert 2 <= len(made.searches) - searches <= 3


async def test_a_failed_search_leaves_the_known_pools() -> None:
    async with setup() as made:
        await made.passes(2)
        made.fails = True
        made.chain.watches[0].addresses |= {"launched"}
        await made.passes(2)
        assert await made.cache.get(PAIR) == ("pool",)
        assert not made.keeper.follows(PAIR), "so pools of a new pair would be searched for the next order"
        made.fails = False
        await made.passes(2)
        assert made.keeper.follows(PAIR)


@pytest.mark.parametrize("fails", [True, False])
async def test_searches_in_vain_become_rare(fails: bool) -> None:
    async with setup() as made:
        await made.passes(2)
        searches = len(made.searches)
        made.fails = fails
        for _ in range(round(4 * CHECK_SECONDS / LOOK_SECONDS)):
            # It changes all the time, and no search finds it.
            made.chain.watches[0].addresses |= {"elsewhere"}
            await made.passes(LOOK_SECONDS)
        assert 4 <= len(made.searches) - searches <= 10
        made.fails = False
        made.pools.append("elsewhere")
        await made.passes(CHECK_SECONDS + 2)
        assert made.keeper.follows(PAIR)
        searches = len(made.searches)
        made.pools.append("launched")
        made.chain.watches[0].addresses |= {"launched"}
        await made.passes(2)
        assert len(made.searches) == searches + 1, "after one that found something the next one is soon again"


async def test_a_pair_that_is_not_used_any_more_is_not_watched() -> None:
    async with setup() as made:
        await made.passes(KEPT_SECONDS + 2)
        assert made.chain.watches[0].closed
        assert not made.keeper.follows(PAIR)


async def test_only_so_many_pairs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "MAX_PAIRS", 2)
    assert MAX_PAIRS > 2
    async with setup() as made:
        for other in (b"c", b"d"):
            made.keeper.use(Mints(b"a", other))
        assert [watch.closed for watch in made.chain.watches] == [True, False, False]


async def test_a_keeper_that_was_not_started_watches_nothing() -> None:
    chain = Chain()
    context = VenueContext(ManualClock(), Tokens(()), cast("Any", chain), NoOptions())
    keeper = PoolKeeper(context, "program", filters=lambda _: (), is_new=lambda _: False, max_age=MAX_AGE)
    keeper.use(PAIR)
    assert chain.watches == []
    await keeper.aclose()
    await asyncio.sleep(0)


def test_launched_pools_are_remembered_up_to_a_limit() -> None:
    context = VenueContext(ManualClock(), Tokens(()), cast("Any", Chain()), NoOptions())
    keeper = PoolKeeper(context, "program", filters=lambda _: (), is_new=lambda _: False, max_age=MAX_AGE)
    for number in range(20):
        keeper.remember(PAIR, f"pool {number}")
    assert keeper.reported(PAIR) == tuple(f"pool {number}" for number in range(4, 20))
    assert keeper.reported(Mints(b"x", b"y")) == ()

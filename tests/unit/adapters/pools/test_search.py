"""Pools are looked for once, remembered for a while, and looked for again when what is known is wrong."""

import asyncio

import pytest

from dexexec.domain.solana import Account, AccountFilters
from dexexec.testing.clock import ManualClock
from dexexec.venue import RateLimited, Timeout, Unreachable
from dexexec_adapters.pools import search as pool_search
from dexexec_adapters.pools.search import PoolCache, discover, read_existing
from tests.support.raydium_accounts import RecordedChain, address

PROGRAM_ID = address(200)
OTHER_ID = address(201)
FILTERS = AccountFilters(3, ((1, b"xy"),))


class Searches:
    """A search that waits until the test opens its gate."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, key: str) -> list[str]:
        self.keys.append(key)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [f"{key} {len(self.keys)}"]


async def test_concurrent_callers_share_one_search_and_later_ones_its_answer() -> None:
    search = Searches()
    clock = ManualClock()
    cache = PoolCache(search, clock.monotonic, 10.0)
    waiting = [asyncio.create_task(cache.get("a")) for _ in range(5)]
    await asyncio.sleep(0)
    search.gate.set()
    assert await asyncio.gather(*waiting) == [("a 1",)] * 5
    clock.advance(9.999)
    assert await cache.get("a") == ("a 1",)
    assert await cache.get("b") == ("b 2",)
    clock.advance(0.001)
    assert await cache.get("a") == ("a 3",), "older than allowed"


async def test_an_error_is_raised_to_all_waiting_callers_and_not_cached() -> None:
    search = Searches()
    search.error = Unreachable("down")
    search.gate.set()
    cache = PoolCache(search, ManualClock().monotonic, 10.0)
    answers = await asyncio.gather(cache.get("a"), cache.get("a"), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["down", "down"]
    search.error = None
    assert await cache.get("a") == ("a 2",)


async def test_a_cancelled_caller_does_not_cancel_the_search_of_the_others() -> None:
    search = Searches()
    cache = PoolCache(search, ManualClock().monotonic, 10.0)
    hurried = asyncio.create_task(cache.get("a"))
    patient = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    hurried.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hurried
    search.gate.set()
    assert await patient == ("a 1",)


async def test_a_forgotten_pair_is_searched_again_but_a_running_search_continues() -> None:
    search = Searches()
    cache = PoolCache(search, ManualClock().monotonic, 10.0)
    first = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    cache.forget("a")
    cache.forget("never asked")
    search.gate.set()
    assert await first == ("a 1",)
    assert await cache.get("a") == ("a 1",)
    cache.forget("a")
    assert await cache.get("a") == ("a 2",)


async def test_only_so_many_are_remembered_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_search, "MAX_CACHED_PAIRS", 2)
    search = Searches()
    search.gate.set()
    cache = PoolCache(search, ManualClock().monotonic, 10.0)
    for key in ("a", "b", "c", "b", "a"):
        await cache.get(key)
    assert search.keys == ["a", "b", "c", "a"]


async def test_closing_ends_searches_that_still_run() -> None:
    search = Searches()
    cache = PoolCache(search, ManualClock().monotonic, 10.0)
    waiting = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await cache.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# ---- on chain --------------------------------------------------------------------------------------------------------

HELD = {
    address(1): Account(PROGRAM_ID, 1, b"axy"),
    address(2): Account(PROGRAM_ID, 1, b"bxy"),
    address(3): Account(PROGRAM_ID, 1, b"bxz"),
    address(4): Account(OTHER_ID, 1, b"axy"),
}


async def test_a_search_gives_the_programs_accounts_that_suit() -> None:
    chain = RecordedChain(HELD)
    assert set(await discover(chain, PROGRAM_ID, [FILTERS], [address(1)])) == {address(1), address(2)}
    both = [FILTERS, AccountFilters(3, ((1, b"xz"),))]
    assert set(await discover(chain, PROGRAM_ID, both, [])) == {address(1), address(2), address(3)}
    assert chain.read == [], "nothing was guessed"


@pytest.mark.parametrize("kind", [Unreachable, RateLimited, Timeout])
async def test_where_nodes_do_not_search_derived_addresses_are_looked_at_with_the_same_care(
    kind: type[Unreachable],
) -> None:
    chain = RecordedChain(HELD, searching=kind("getProgramAccounts is not done here"))
    derived = [address(number) for number in (1, 3, 4, 5)]
    assert set(await discover(chain, PROGRAM_ID, [FILTERS], derived)) == {address(1)}


async def test_without_derived_addresses_a_failed_search_is_an_error() -> None:
    chain = RecordedChain(HELD, searching=Unreachable("no search"))
    with pytest.raises(Unreachable, match="no search"):
        await discover(chain, PROGRAM_ID, [FILTERS], [])


async def test_a_node_that_is_down_is_unavailable() -> None:
    chain = RecordedChain(HELD, searching=Unreachable("no search"), reading=Unreachable("down"))
    with pytest.raises(Unreachable, match="down"):
        await discover(chain, PROGRAM_ID, [FILTERS], [address(1)])


async def test_many_accounts_are_read_in_as_few_questions_as_nodes_allow() -> None:
    chain = RecordedChain(HELD)
    found = await read_existing(chain, [address(number) for number in range(1, 205)])
    assert set(found) == set(HELD)
    assert [len(asked) for asked in chain.read] == [100, 100, 4]

"""Snipers are triggered by a launched pool that fulfils their conditions, once, and learn what stopped them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.event import Event
from dexexec.domain.launch import NewPool
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer, make_logger
from dexexec.resting import launched_pools
from dexexec.resting.launched_pools import LaunchedPools, problem_of
from dexexec.resting.launches import Launches
from dexexec.resting.quotes import OracleQuotes
from dexexec.resting.sniper_trigger import SniperTrigger
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, Unreachable, VenueError
from dexexec.venues.router import Answer, Routing
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.store import MemoryStore
from tests.support.launched import AMOUNT, MINT, PAIR, POOL, launched, quote_in, sniper
from tests.support.waiting import until

NOTHING = Observer(make_logger("critical"))


class Reports:
    """A venue whose reports a test decides. `failures` are raised first, one by each watch."""

    def __init__(self, name: str = "a", *failures: Exception) -> None:
        self.name = name
        self.failures = list(failures)
        self.watched: list[tuple[str, str]] = []
        self.closed = 0
        self.reports: asyncio.Queue[NewPool] = asyncio.Queue()

    def watch_pools(self, pair: tuple[str, str]) -> AsyncGenerator[NewPool, None] | None:
        self.watched.append(pair)
        return self._pools()

    async def _pools(self) -> AsyncGenerator[NewPool, None]:
        if self.failures:
            raise self.failures.pop(0)
        try:
            while True:
                yield await self.reports.get()
        finally:
            self.closed += 1


class Quotes:
    """The venues' quotes by venue: a quote, or the error that a venue raises."""

    def __init__(self) -> None:
        self.by_venue: dict[str, Quote | VenueError] = {"a": quote_in()}
        self.requests: list[SwapRequest] = []

    async def route(self, request: SwapRequest, deadline: float) -> Routing:
        self.requests.append(request)
        return Routing.of([
            Answer(venue=name, quote=one) if isinstance(one, Quote) else Answer.of(name, one)
            for name, one in self.by_venue.items()
        ])  # fmt: skip


class Enqueued:
    """A queue that keeps what is put on it."""

    def __init__(self) -> None:
        self.order_ids: list[UUID] = []

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        self.order_ids += order_ids
        return len(order_ids)


class Fixture:
    """Two processes' launch watches on one store in memory, and a venue that reports what the test launches."""

    def __init__(self, *venues: Reports) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.database = MemoryDatabase()
        self.store = MemoryStore(self.database, self.events.extend)
        self.queue = Enqueued()
        self.quotes = Quotes()
        self.venues = venues or (Reports(),)
        self.launches = self.another()

    def another(self, store: Any = None) -> Launches:
        store = store or self.store
        trigger = SniperTrigger(
            store, self.queue, OracleQuotes(self.quotes, self.clock), max_price_impact_bps=1_000, clock=self.clock
        )
        by_name: Any = {venue.name: venue for venue in self.venues}
        return Launches(store, by_name, trigger, clock=self.clock, observer=NOTHING)

    async def add(self, **conditions: Any) -> UUID:
        """Store a resting sniper."""
        order = sniper(**conditions)
        assert order.rests
        return (await self.store.create(order)).order_id

    async def launch(self, pool: NewPool | None = None, venue: int = 0) -> None:
        """Report a pool, and wait until it has been acted upon."""
        await self.launches.turn()
        self.venues[venue].reports.put_nowait(pool or launched(now_ms=self.clock.unix_ms()))
        await until(self.venues[venue].reports.empty, pause=0)
        await self.settle()

    async def settle(self) -> None:
        """Let running tasks finish their work."""
        for _ in range(50):
            await asyncio.sleep(0)

    def of(self, order_id: UUID, *, after: int = 2) -> list[Event]:
        """The events of an order behind the first two."""
        return [event for event in self.events if event.order_id == order_id and event.seq > after]


async def closing(fixture: Fixture) -> None:
    fixture.launches.resign()
    await fixture.settle()


async def test_promise_23_a_launch_triggers_the_orders_that_wait_for_it_in_the_order_of_their_acceptance() -> None:
    there = Fixture()
    orders = [await there.add() for _ in range(5)]
    other = await there.store.create(sniper("1" * 32))
    await there.launch()
    assert there.queue.order_ids == orders
    assert there.database.orders[other.order_id].resting
    [event] = there.of(orders[0])
    assert event.status is Status.WAITING
    triggered: Any = event.detail["triggered"]
    assert (triggered["pool"], triggered["venue"], triggered["ageMs"]) == (POOL, "a", 1_000)
    assert triggered["liquidity"] == str(100 * 10**9)
    terms = there.database.orders[orders[0]].new.terms
    assert terms is not None
    assert terms.mint_decimals == 5
    assert len(there.quotes.requests) == 1, "orders of one size share a quote"
    assert there.quotes.requests[0].amount == AMOUNT
    assert await there.store.launches_of(PAIR) == [launched(now_ms=there.clock.unix_ms())]
    await closing(there)


async def test_promise_23_whatever_pools_appear_an_order_is_triggered_once_also_by_two_leaders() -> None:
    there = Fixture(Reports("a"), Reports("b"))
    order = await there.add()
    second = there.another()
    await second.turn()
    there.quotes.by_venue["b"] = quote_in("other", venue="b", amount_out=2_000_000)
    now = there.clock.unix_ms()
    await there.launches.turn()
    for venue in there.venues:
        for number in range(8):
            name = POOL if venue.name == "a" and number == 0 else f"{venue.name}{number}"
            venue.reports.put_nowait(launched(name, venue=venue.name, now_ms=now))
    await until(lambda: bool(there.queue.order_ids))
    await there.settle()
    assert there.queue.order_ids == [order]
    assert len(there.of(order)) == 1
    second.resign()
    await closing(there)


async def test_each_condition_that_stops_it_is_an_event_with_the_figure_and_the_limit() -> None:
    there = Fixture()
    order = await there.add(
        min_liquidity=Decimal(500), mint_authority_revoked=True, max_price=Decimal("0.0001"), max_price_impact_bps=5
    )
    now = there.clock.unix_ms()
    await there.launch(launched(mint_authority="somebody", now_ms=now))
    assert [(e.detail["condition"], e.detail["seen"], e.detail["limit"]) for e in there.of(order)] == [
        ("minLiquidity", "100", "500"),
        ("mintAuthorityRevoked", "held by somebody", "revoked"),
    ]
    assert there.quotes.requests == [], "no quote for a pool that is out of the question"
    there.quotes.by_venue["a"] = quote_in("deep", impact_ppm=600)
    await there.launch(launched("deep", reserve=500 * 10**9, now_ms=now))
    assert [(e.detail["condition"], e.detail["seen"], e.detail["pool"]) for e in there.of(order, after=4)] == [
        ("maxPriceImpactBps", "6", "deep"),
        ("maxPrice", "0.001", "deep"),
    ]
    assert {event.detail["reason"] for event in there.of(order)} == {"condition"}
    assert there.queue.order_ids == []
    await closing(there)


async def test_an_unchanged_figure_is_no_event_and_a_changed_one_is_not_written_at_every_look() -> None:
    there = Fixture()
    order = await there.add(min_liquidity=Decimal(500))
    now = there.clock.unix_ms()
    for _ in range(5):
        await there.launch(launched(now_ms=now))
        there.clock.advance(10)
        await there.launches.turn()
    assert len(there.of(order)) == 1
    for number in range(40):
        await there.launch(launched(reserve=(100 + number) * 10**9, slot=number, now_ms=now))
        there.clock.advance(1)
    assert 3 <= len(there.of(order)) <= 7, "40 changes in 40 s"
    await closing(there)


async def test_another_leader_does_not_repeat_what_the_events_have_already() -> None:
    there = Fixture()
    order = await there.add(min_liquidity=Decimal(500), max_age_ms=100)
    now = there.clock.unix_ms()
    await there.launch(launched(now_ms=now))
    assert len(there.of(order)) == 2
    there.launches.resign()
    there.launches = there.another()
    await there.launch(launched(now_ms=now))
    assert len(there.of(order)) == 2
    await there.launch(launched(reserve=7 * 10**9, slot=2, now_ms=now))
    assert [event.detail["seen"] for event in there.of(order, after=4)] == ["7"]
    await closing(there)


async def test_the_events_of_an_order_are_bounded_whatever_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Fixture()
    order = await there.add(min_liquidity=Decimal(500))
    monkeypatch.setattr(launched_pools, "MAX_POOLS", 1_000)
    now = there.clock.unix_ms()
    for number in range(250):
        await there.launch(launched(str(number), now_ms=now))
    assert there.database.orders[order].version == 200
    await closing(there)


async def test_a_price_is_the_orders_bound_from_the_trigger_on() -> None:
    there = Fixture()
    order = await there.add(max_price=Decimal("0.001"))
    await there.launch()
    row = there.database.orders[order]
    # 0.01 SOL at 0.001 SOL a token: ten tokens of five decimals.
    assert (row.bound, row.bound_open) == (Bound(1_000_000, AMOUNT), False)
    await closing(there)


async def test_a_quote_over_another_pool_or_over_several_is_not_taken_for_the_launched_one() -> None:
    there = Fixture()
    order = await there.add()
    for quote in (quote_in("elsewhere"), quote_in(route=(POOL, "second")), replace(quote_in(), venue="b")):
        there.quotes.by_venue = {quote.venue: quote}
        await there.launch()
    assert (there.queue.order_ids, there.of(order)) == ([], [])
    await closing(there)


async def test_a_venue_without_a_quote_is_an_event_and_the_order_is_triggered_when_it_has_one() -> None:
    there = Fixture()
    order = await there.add()
    there.quotes.by_venue["a"] = NoRoute("the pool opens later")
    await there.launch()
    [event] = there.of(order)
    assert (event.detail["reason"], event.detail["pool"]) == ("no-route", POOL)
    assert "the pool opens later" in str(event.detail["detail"])
    there.quotes.by_venue["a"] = quote_in()
    there.clock.advance(31)
    await there.launches.turn()
    assert there.queue.order_ids == [order], "without another report"
    await closing(there)


async def test_a_pool_that_opens_later_is_bought_from_when_it_opens() -> None:
    there = Fixture()
    order = await there.add(max_age_ms=500)
    await there.launch(launched(age_ms=-700, now_ms=there.clock.unix_ms()))
    await there.launches.turn()
    assert (there.queue.order_ids, there.of(order)) == ([], [])
    there.clock.advance(0.7)
    await there.launches.turn()
    assert there.queue.order_ids == [order]
    await closing(there)


async def test_an_order_that_comes_after_the_launch_is_looked_at_in_the_next_turn() -> None:
    there = Fixture()
    await there.add(min_liquidity=Decimal(500))
    await there.launch()
    later = await there.add()
    await there.launches.turn()
    assert there.queue.order_ids == [later]
    await closing(there)


async def test_an_order_whose_trigger_came_to_nothing_is_left_alone_for_a_while() -> None:
    there = Fixture()
    order = await there.add()
    there.database.orders[order].quiet_until = there.database.now() + 3_600_000_000
    await there.launch()
    assert there.queue.order_ids == []
    there.database.orders[order].quiet_until = None
    there.clock.advance(31)
    await there.launches.turn()
    assert there.queue.order_ids == [order]
    await closing(there)


async def test_a_pair_is_watched_once_and_only_while_an_order_waits_for_it() -> None:
    there = Fixture()
    await there.launches.turn()
    assert there.venues[0].watched == []
    order = await there.add()
    for _ in range(3):
        await there.launches.turn()
        await there.settle()
    assert there.venues[0].watched == [PAIR]
    await there.store.cancel(order)
    await there.launches.turn()
    await there.settle()
    assert there.venues[0].closed == 1
    await closing(there)


async def test_a_watch_that_fails_begins_again_and_the_other_venues_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Reports("a", Unreachable("away"), Unreachable("away"), RuntimeError("a bug"), Unreachable("away"))
    there = Fixture(failing, Reports("b"))
    logged: list[str] = []
    monkeypatch.setattr(NOTHING, "launch_watch_failed", lambda venue, mint, why: logged.append(why))
    order = await there.add()
    there.quotes.by_venue = {"b": quote_in(venue="b")}
    await there.launch(launched(venue="b", now_ms=there.clock.unix_ms()), venue=1)
    assert there.queue.order_ids == [order]
    await there.add()
    await there.launches.turn()
    await until(lambda: len(failing.watched) >= 5)
    assert logged == ["away", "RuntimeError: a bug", "away"], "an outage is logged once"
    await closing(there)


async def test_a_report_that_cannot_be_right_is_ignored() -> None:
    there = Fixture()
    order = await there.add()
    now = there.clock.unix_ms()
    await there.launch(launched(venue="b", now_ms=now))
    await there.launch(launched(reserve=-1, now_ms=now))
    assert (there.queue.order_ids, there.of(order), there.database.launches) == ([], [], {})
    await closing(there)


async def test_while_postgres_is_away_nothing_is_lost() -> None:
    there = Fixture()
    order = await there.add()
    await there.launches.turn()

    class Away(MemoryStore):
        is_away = False

        async def record_launches(self, pools: Sequence[NewPool]) -> None:
            if self.is_away:
                raise UnavailableError("Postgres is away")
            await super().record_launches(pools)

    store = Away(there.database, there.events.extend)
    there.launches.resign()
    there.launches = there.another(store)
    store.is_away = True
    await there.launch()
    with pytest.raises(UnavailableError):
        await there.launches.turn()
    assert there.queue.order_ids == []
    store.is_away = False
    await there.launches.turn()
    assert there.queue.order_ids == [order]
    await closing(there)


# The pools of a pair


@pytest.mark.parametrize(
    ("pool", "problem"),
    [
        (launched(), ""),
        (launched(venue="b"), "it is of b"),
        (launched(""), "it is of a"),
        (launched(reserve=2**64), "reserve is"),
        (launched(decimals=256), "decimals is 256"),
        (launched(transfer_fee_bps=-1), "transfer_fee_bps is -1"),
        (launched(slot=2**63), "slot is"),
        (replace(launched(), launched_at_ms=10**18), "launched_at_ms is"),
        (replace(launched(), slot=1.5), "slot is 1.5"),  # type: ignore[arg-type]
    ],
)
def test_impossible_reports_are_named(pool: NewPool, problem: str) -> None:
    found = problem_of(pool, "a", PAIR)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)
    assert problem_of(launched(), "a", ("x", MINT))


def test_the_deepest_pools_of_a_pair_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launched_pools, "MAX_POOLS", 3)
    pools = LaunchedPools(PAIR[0])
    kept = [pools.put(launched(str(reserve), reserve=reserve)) for reserve in (5, 9, 2, 7, 1, 8)]
    assert kept == [True, True, True, True, False, True]
    assert pools.by_address.keys() == {"9", "7", "8"}
    assert {pool.address for pool in pools.unrecorded()} == {"9", "7", "8"}
    changed = launched("9", reserve=10)
    before = pools.unrecorded()
    pools.put(changed)
    pools.recorded(before)
    assert pools.unrecorded() == [changed], "what came while the others were written"

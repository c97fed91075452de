"""Orders that rest: no worker gets them before they are triggered, and the row decides who triggers or cancels."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.cancellation import Cancelled
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms, TriggerWhen
from dexexec.store import Triggering
from dexexec.store.resting import BEFORE_ALL
from tests.support.prepared_orders import ROUTED, Open, claimed_by, step
from tests.support.resting_orders import SEEN, limit_order, rested, stop_order, triggering
from tests.support.waiting import until


async def test_a_limit_order_waits_with_two_events_and_no_worker_gets_it(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order = await rested(store)
        assert [(event.seq, event.status) for event in announced] == [(1, Status.PENDING), (2, Status.WAITING)]
        assert announced[1].detail == {"waitsFor": "price", "detail": "it waits for a price of 150 or more"}
        assert (order.version, order.terms.limit_price, order.triggered) == (2, Decimal(150), False)
        assert order.bound == Bound(1_500_000, 10_000_000)
        worker = await store.begin("w", 20)
        assert await store.claim(worker.id, [order.id]) == []
        assert await store.idle(0, BEFORE_ALL[0], UUID(int=0), 10) == [], "the sweeper leaves it alone"
        await worker.end()


async def test_a_trigger_is_an_event_and_makes_it_work_for_a_worker(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order = await rested(store)
        assert await store.trigger([triggering(order, stop=True)]) == [order.id]
        event = announced[-1]
        assert (event.order_id, event.seq, event.status, event.detail) == (order.id, 3, Status.WAITING, SEEN)
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order.id)
        assert (claimed.order.status, claimed.order.version) == (Status.WAITING, 3)
        assert (claimed.order.triggered, claimed.order.terms) == (True, order.terms)
        assert claimed.order.type is OrderType.LIMIT
        await worker.end()


async def test_of_two_that_trigger_an_order_one_does(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store)
        answers = await asyncio.gather(*(store.trigger([triggering(order)]) for _ in range(8)))
        assert sorted(answers) == [[]] * 7 + [[order.id]]
        assert await store.versions([order.id]) == {order.id: 3}


async def test_a_trigger_by_what_was_read_before_a_change_has_no_effect(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store)
        stale = Triggering(order_id=order.id, version=order.version - 1, detail=SEEN)
        assert await store.trigger([stale]) == []
        assert await store.versions([order.id]) == {order.id: 2}


async def test_a_cancelled_order_is_never_triggered_and_leaves_the_oracle(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store)
        assert await store.cancel(order.id) == Cancelled(order_id=order.id, seq=3)
        assert await store.trigger([triggering(order)]) == []
        assert [one.id for one in await store.rested_page(BEFORE_ALL)] == []


@pytest.mark.parametrize("seed", range(3))
async def test_promise_10_of_a_trigger_and_a_cancel_at_once_the_row_decides(stores: Open, seed: int) -> None:
    rng = random.Random(seed)
    async with stores() as store:
        worker = await store.begin("w", 20)
        for _ in range(10):
            order = await rested(store)
            both = [store.trigger([triggering(order)]), store.cancel(order.id)]
            rng.shuffle(both)
            await asyncio.gather(*both)
            # A triggered order can still be cancelled: whatever came first, nothing is executed afterwards.
            assert (await store.order(order.id) or {})["status"] == "cancelled"
            assert await store.claim(worker.id, [order.id]) == []
        await worker.end()


async def test_an_order_that_rests_again_is_read_again_and_is_quiet_for_a_while(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store)
        since = await store.rested_horizon()
        await store.trigger([triggering(order)])
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order.id)
        waits = (Status.WAITING, {"waitsFor": "price", "detail": "the price is gone", "reason": "slippage"})
        events = (ROUTED[0], waits)
        assert await store.advance(step(claimed, 3, *events, rest_ms=60_000.0)) is not None
        [again], _ = await store.rested_since(since)
        assert (again.id, again.version) == (order.id, 5)
        assert 0 < again.quiet_ms <= 60_000
        assert await store.held(worker.id) == {}
        assert await store.claim(worker.id, [order.id]) == []
        shown = await store.order(order.id)
        assert shown is not None
        assert (shown["status"], (shown["waitingFor"] or {})) == (
            "waiting",
            {"reason": "price", "detail": "the price is gone", "since": shown["events"][-1]["at"]},  # type: ignore[index]
        )
        await worker.end()


async def test_an_order_that_expires_wakes_and_one_without_expiry_does_not(stores: Open) -> None:
    async with stores() as store:
        forever = await rested(store)
        at = datetime.now(UTC) + timedelta(milliseconds=20)
        brief = await rested(store, limit_order(expires_at=at, deadline_ms=20))
        woken: list[UUID] = []

        async def has_woken() -> bool:
            woken.extend(await store.wake())
            return bool(woken)

        await until(has_woken, pause=0.01)
        assert woken == [brief.id]
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, brief.id)
        assert claimed.order.deadline_in_ms <= 0
        assert await store.claim(worker.id, [forever.id]) == []
        await worker.end()


async def test_pages_have_every_resting_order_once_oldest_first(stores: Open) -> None:
    async with stores() as store:
        orders = [await rested(store) for _ in range(5)]
        await store.trigger([triggering(orders[2])])
        page = await store.rested_page(BEFORE_ALL)
        assert [one.id for one in page] == [one.id for one in orders if one is not orders[2]]
        behind = (page[1].created_at, page[1].id)
        assert [one.id for one in await store.rested_page(behind)] == [one.id for one in page[2:]]


async def test_a_change_that_commits_late_is_read_all_the_same(stores: Open) -> None:
    async with stores() as store:
        since = await store.rested_horizon()
        created = await asyncio.gather(*(store.create(limit_order()) for _ in range(20)))
        seen: set[UUID] = set()
        for _ in range(2):
            orders, since = await store.rested_since(since)
            seen |= {order.id for order in orders}
        assert seen == {one.order_id for one in created}


async def test_a_stop_is_read_back_with_its_trigger(stores: Open) -> None:
    terms = Terms(trigger_price=Decimal("120.5"), trigger_when=TriggerWhen.BELOW)
    async with stores() as store:
        order = await rested(store, stop_order("120.5"))
        assert (order.terms, order.type, order.bound) == (terms, OrderType.MARKET, None)
        shown = await store.order(order.id)
        assert shown is not None
        assert (shown["waitingFor"] or {})["detail"] == "it waits for a price of 120.5 or less"  # type: ignore[index]


async def test_the_oldest_living_worker_leads(stores: Open) -> None:
    async with stores() as store:
        first = await store.begin("first", 20)
        second = await store.begin("second", 20)
        assert (await store.leads(first.id), await store.leads(second.id)) == (True, False)
        await first.end()
        assert await store.leads(second.id)
        await second.end()
        assert not await store.leads(second.id)

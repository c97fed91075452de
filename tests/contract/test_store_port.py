"""What the engine relies on of its store, whether it is Postgres or the one in memory that simulations run on: new
orders, claims, and what should be moving. `test_store_steps.py` has what is written about them.

A store joins as a parameter of `stores` (conftest.py). It has a clock of its own: what takes time here takes none, or
longer than a test.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.event import Event
from dexexec.domain.order_filter import OrderFilter
from dexexec.domain.status import Status
from dexexec.domain.worker_trouble import NOT_COMPARED
from dexexec.errors import IdempotencyInFlightError, IdempotencyMismatchError, InvalidOrderError, UnavailableError
from dexexec.execution.sweeper import THE_BEGINNING
from dexexec.store import Claimed, Created, Release
from tests.support.parts import new_order
from tests.support.prepared_orders import (
    HOUR_MS,
    NIL_ID,
    Open,
    began_long_ago,
    claimed_by,
    crashed,
    drop,
    one_order,
    step,
    submitted,
)
from tests.support.waiting import until

# New orders


async def test_a_new_order_has_event_1_and_it_is_announced(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order = new_order()
        assert await store.create(order) == Created(order.id, replayed=False)
        events = (await store.events_after([(order.id, 0)]))[order.id]
        assert [(e.seq, e.status, e.detail["amount"]) for e in events] == [(1, Status.PENDING, "0.01")]
        assert announced == events
        assert await store.versions([order.id, uuid4()]) == {order.id: 1}


async def test_an_unknown_order_is_absent_and_one_with_nothing_new_is_empty(stores: Open) -> None:
    async with stores() as store:
        known, unknown = await one_order(store), uuid4()
        assert await store.events_after([(known, 1), (unknown, 0)]) == {known: []}
        assert await store.order(unknown) is None


async def test_a_key_is_one_order_for_every_client_and_another_body_is_refused(stores: Open) -> None:
    async with stores() as store:
        first = await store.create(new_order(key="k", body_hash=b"1"))
        again = await store.create(new_order(key="k", body_hash=b"1", client="10.0.0.9"))
        assert again == Created(first.order_id, replayed=True)
        with pytest.raises(IdempotencyMismatchError):
            await store.create(new_order(key="k", body_hash=b"2"))
        assert len(await store.orders(10, None)) == 1


async def test_an_order_whose_time_has_passed_repeats_an_earlier_one_with_its_key_and_is_never_stored(
    stores: Open,
) -> None:
    async with stores() as store:
        first = await store.create(new_order(key="k", body_hash=b"1"))
        late = replace(new_order(key="k", body_hash=b"1"), passed=("expiresAt",))
        assert await store.create(late) == Created(first.order_id, replayed=True)
        with pytest.raises(IdempotencyMismatchError):
            await store.create(replace(late, id=uuid4(), body_hash=b"2"))
        with pytest.raises(InvalidOrderError) as refused:
            await store.create(replace(late, id=uuid4(), idempotency_key="another"))
        assert [(one.field, one.problem) for one in refused.value.fields] == [("expiresAt", "is in the past")]
        assert len(await store.orders(10, None)) == 1
        assert not (await store.create(new_order(key="another", body_hash=b"1"))).replayed, "the key is free"


async def test_a_key_posted_many_times_at_once_is_one_order(stores: Open) -> None:
    async with stores() as one, stores() as two:
        posts = ((one, two)[n % 2].create(new_order(key="k", body_hash=b"1")) for n in range(20))
        answers = await asyncio.gather(*posts, return_exceptions=True)
        accepted = {answer.order_id for answer in answers if isinstance(answer, Created)}
        assert len(accepted) == 1
        assert all(isinstance(answer, Created | IdempotencyInFlightError) for answer in answers)
        assert len(await one.orders(10, None)) == 1


async def test_the_list_is_newest_first_and_its_cursor_skips_and_repeats_nothing(stores: Open) -> None:
    async with stores() as store:
        ids = [str(await one_order(store)) for _ in range(5)]
        listed: list[object] = []
        cursor: Any = None
        while page := await store.orders(2, cursor):
            cursor = page[-1]["_cursor"]
            listed += [row["orderId"] for row in page]
        assert listed == ids[::-1]
        assert len(await store.orders(9, None, OrderFilter(statuses=frozenset({Status.PENDING})))) == 5
        assert await store.orders(9, None, OrderFilter(statuses=frozenset({Status.FAILED}))) == []
        assert await store.orders(9, None, OrderFilter(statuses=frozenset({Status.CONFIRMED}))) == []


async def test_a_deadline_counts_from_when_the_request_was_read(stores: Open) -> None:
    async with stores() as store:
        order, clock = new_order(deadline_ms=60_000), SystemClock()
        await store.create(order, read_at=clock.monotonic() - 20, answer_by=clock.monotonic() + HOUR_MS)
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order.id)
        assert 0 < claimed.order.deadline_in_ms <= 40_000
        await worker.end()


async def test_an_order_that_is_too_late_is_refused_and_never_stored(stores: Open) -> None:
    async with stores() as store:
        with pytest.raises(UnavailableError) as caught:
            await store.create(new_order(key="k"), answer_by=SystemClock().monotonic() - 0.001)
        assert caught.value.order_id is None
        assert not (await store.create(new_order(key="k"))).replayed
        assert len(await store.orders(9, None)) == 1


# Claims


async def test_a_claim_shows_the_order_and_raises_its_number(stores: Open) -> None:
    async with stores() as store:
        order = new_order(deadline_ms=HOUR_MS)
        await store.create(order)
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order.id)
        seen = claimed.order
        assert (seen.id, seen.side, seen.amount, seen.amount_base) == (order.id, order.side, order.amount, 10_000_000)
        assert (seen.status, seen.version, seen.claim, seen.claims) == (Status.PENDING, 1, 1, 1)
        assert HOUR_MS - 60_000 < seen.deadline_in_ms <= HOUR_MS
        assert (claimed.attempt, claimed.signatures) == (None, ())
        await worker.end()


async def test_an_order_is_claimed_by_one_worker_only(stores: Open) -> None:
    async with stores() as store:
        ids = [await one_order(store) for _ in range(10)]
        workers = [await store.begin(f"w{n}", 20) for n in range(3)]
        claims = await asyncio.gather(*(store.claim(worker.id, ids) for worker in workers for _ in range(2)))
        assert sorted(claimed.order.id for batch in claims for claimed in batch) == sorted(ids)
        for worker in workers:
            await worker.end()


async def test_worker_trouble_is_reported_when_all_living_workers_have_it(stores: Open) -> None:
    async with stores() as store:
        await store.check_writes()
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        assert await first.renew("no node answers")
        assert await store.worker_trouble() == ""
        assert await second.renew("no node answers")
        assert await store.worker_trouble() == "no node answers"
        third = await store.begin("third", 20, str(NOT_COMPARED))
        assert await store.worker_trouble() == "no node answers", "what a worker that may sign lacks"
        await second.end()
        await first.end()
        assert await store.worker_trouble() == str(NOT_COMPARED), "from its registration on"
        assert await third.renew()
        assert await store.worker_trouble() == ""
        await third.end()
        assert await store.worker_trouble() is None


async def test_a_worker_without_registration_or_valid_lease_claims_nothing(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        over = await store.begin("over", -1)
        assert await store.claim(over.id, [order_id]) == []
        assert await store.claim(over.id + 100, [order_id]) == []
        assert await store.worker_trouble() is None
        worker = await store.begin("w", 20)
        assert await store.worker_trouble() == ""
        assert await store.claim(worker.id, [uuid4(), order_id, order_id]) != []
        await worker.end()
        await over.end()


async def test_the_end_of_a_session_frees_its_orders(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        await claimed_by(store, first, order_id)
        assert await store.claim(second.id, [order_id]) == []
        await first.end()
        assert (await claimed_by(store, second, order_id)).order.claim == 2
        await second.end()


async def test_the_end_of_a_lease_frees_its_orders_and_a_renewal_does_not(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        first, second = await store.begin("first", 0.5), await store.begin("second", 20)
        await claimed_by(store, first, order_id)
        assert await first.renew()
        assert await store.claim(second.id, [order_id]) == []

        async def taken_over() -> list[Claimed]:
            return await store.claim(second.id, [order_id])

        (claimed,) = await until(taken_over, pause=0.02)
        assert claimed.order.claim == 2
        for worker in (first, second):
            await worker.end()


async def test_dead_workers_are_removed_and_the_living_are_not(stores: Open) -> None:
    async with stores() as store:
        held, orphan, free = [await one_order(store) for _ in range(3)]
        living, dying = await store.begin("living", 20), await store.begin("dying", 20)
        await claimed_by(store, living, held)
        await claimed_by(store, dying, orphan)
        assert await store.remove_dead_workers() == []
        await drop(dying)
        assert await until(store.remove_dead_workers) == ["dying"]
        assert [i for i, _ in await store.idle(0, THE_BEGINNING, NIL_ID, 10)] == [orphan, free]
        assert await living.renew()
        late = await store.begin("late", -1)
        assert await store.remove_dead_workers() == ["late"]
        assert not await late.renew()
        for worker in (late, living):
            await worker.end()


async def test_a_worker_reads_the_orders_that_are_claimed_in_its_name_and_have_not_ended(stores: Open) -> None:
    async with stores() as store:
        held, given_back, over, free = [await one_order(store) for _ in range(4)]
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        assert await store.held(first.id) == {}
        claims = {i: await claimed_by(store, first, i) for i in (held, given_back, over)}
        await claimed_by(store, second, free)
        await store.release(Release(given_back, 1, blame=False, resume_in_ms=0))
        assert await store.advance(step(claims[over], 1, (Status.FAILED, {"reason": "x"}), final=True, reason="x"))
        assert await store.held(first.id) == {held: 1}
        for worker in (first, second):
            await worker.end()


# Turns that end in a crash


async def test_crashes_make_an_order_wait(stores: Open) -> None:
    async with stores() as store:
        order_id, worker = await one_order(store), await store.begin("w", 20)
        for n in range(1, 4):
            claimed = await claimed_by(store, worker, order_id)
            assert claimed.order.claims == n
            await store.release(Release(order_id, n, blame=True, resume_in_ms=0))
        await crashed(store, order_id, 10)
        assert await store.claim(worker.id, [order_id]) == [], "the worker must be as old as the pause"
        assert [i for i, _ in await store.idle(0, THE_BEGINNING, NIL_ID, 3)] == [order_id]
        await began_long_ago(store, worker)
        assert (await claimed_by(store, worker, order_id)).order.claims == 11
        await store.release(Release(order_id, 4, blame=True, resume_in_ms=0))
        assert await store.idle(0, THE_BEGINNING, NIL_ID, 3) == []
        await worker.end()


async def test_an_interrupted_claim_is_not_counted_although_another_worker_has_the_order(stores: Open) -> None:
    async with stores() as store:
        order_id, other = await one_order(store), await one_order(store)
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        await claimed_by(store, first, order_id)
        await first.end()
        assert (await claimed_by(store, second, order_id)).order.claims == 2
        await store.uncount_claims([order_id, other, NIL_ID])
        await second.end()
        third = await store.begin("third", 20)
        assert (await claimed_by(store, third, order_id)).order.claims == 2, "the second turn still counts"
        assert (await claimed_by(store, third, other)).order.claims == 1
        await third.end()


async def test_a_normal_end_resets_the_crash_count(stores: Open) -> None:
    async with stores() as store:
        order_id, worker = await one_order(store), await store.begin("w", 20)
        await crashed(store, order_id, 9)
        await began_long_ago(store, worker)
        claimed = await claimed_by(store, worker, order_id)
        await store.release(Release(order_id, claimed.order.claim, blame=False, resume_in_ms=0))
        assert (await claimed_by(store, worker, order_id)).order.claims == 1
        await worker.end()


async def test_only_the_wanted_number_of_suspects_is_claimed_and_all_other_orders(stores: Open) -> None:
    async with stores() as store:
        suspects, innocents = [await one_order(store) for _ in range(3)], [await one_order(store) for _ in range(2)]
        worker = await store.begin("w", 20)
        for order_id in suspects:
            await crashed(store, order_id, 3)
        claimed = await store.claim(worker.id, [*suspects, *innocents], 1)
        assert sorted(one.order.id for one in claimed if not one.suspect) == sorted(innocents)
        (first,) = [one.order.id for one in claimed if one.suspect]
        left = [order_id for order_id in suspects if order_id != first]
        assert await store.claim(worker.id, left, 0) == []
        assert {one.order.id for one in await store.claim(worker.id, left, 5)} == set(left)
        await worker.end()


async def test_an_order_with_an_open_attempt_is_not_a_suspect(stores: Open) -> None:
    async with stores() as store:
        order_id, first = await one_order(store), await store.begin("first", 20)
        await submitted(store, await claimed_by(store, first, order_id), "one")
        await first.end()
        await crashed(store, order_id, 50)
        second = await store.begin("second", 20)
        (claimed,) = await store.claim(second.id, [order_id], 0)
        assert (claimed.order.claims, claimed.suspect) == (51, False)
        await second.end()


# What should be moving


async def test_idle_orders_come_oldest_first_after_the_cursor_and_only_when_long_due(stores: Open) -> None:
    async with stores() as store:
        ids = [await one_order(store) for _ in range(5)]
        rows = await store.idle(0, THE_BEGINNING, NIL_ID, 3)
        assert [i for i, _ in rows] == ids[:3]
        after, since = rows[-1]
        assert [i for i, _ in await store.idle(0, since, after, 3)] == ids[3:]
        assert await store.idle(0, since + timedelta(days=1), NIL_ID, 3) == []
        assert await store.idle(HOUR_MS, THE_BEGINNING, NIL_ID, 3) == []

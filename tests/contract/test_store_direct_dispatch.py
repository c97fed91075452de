"""Direct dispatch: a new order is claimed in the commit that stores it. The tests run on Postgres and on the store in
memory. A `RecordingDispatcher` takes the worker's place: it reserves capacity and records what it is given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import psycopg
import pytest

from dexexec.domain.event import Event
from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.errors import IdempotencyInFlightError, IdempotencyMismatchError, UnavailableError
from dexexec.execution.sweeper import THE_BEGINNING
from dexexec.store import Created, Database
from dexexec.store.database import Connection
from tests.support.fakes.store import MemoryStore
from tests.support.parts import new_order
from tests.support.prepared_orders import NIL_ID, ROUTED, Open, drop, step
from tests.support.recording_dispatcher import RecordingDispatcher
from tests.support.waiting import until

T = TypeVar("T")


class _NoAnswer:
    """A database connection whose answers are lost after the statement was executed."""

    def __init__(self, database: Database | None = None) -> None:
        self._database = database

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        effect()
        raise UnavailableError(f"no answer to {what}")

    @asynccontextmanager
    async def connection(self, passing: tuple[type[Exception], ...] = ()) -> AsyncIterator[Connection]:
        assert self._database is not None
        async with self._database.connection(passing) as connection:
            yield connection
        raise UnavailableError("no answer")


def loses_its_answers(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(store, MemoryStore):
        monkeypatch.setattr(store, "_wire", _NoAnswer())
    else:
        monkeypatch.setattr(store, "_for_orders", _NoAnswer(store._for_orders))


# What is claimed


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_new_order_is_claimed_and_read_as_a_claim_would_read_it(stores: Open, side: Side, mode: Mode) -> None:
    announced: list[Event] = []
    dispatcher = RecordingDispatcher()
    async with stores(announced.extend, dispatcher=dispatcher) as store:
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        dispatcher.serve(first.id)
        order = new_order(side=side, mode=mode, amount="1.250", key="k", deadline_ms=60_000)
        assert await store.create(order) == Created(order.id, replayed=False, taken=True)
        assert dispatcher.in_order
        (event,) = announced
        assert await store.events_after([(order.id, 0)]) == {order.id: [event]}
        (claimed,) = dispatcher.taken
        assert (claimed.order.claim, claimed.order.claims, claimed.order.created_at) == (1, 1, event.at)
        assert 0 < claimed.order.deadline_in_ms <= 60_000
        await first.end()
        (again,) = await store.claim(second.id, [order.id])
        assert 0 < again.order.deadline_in_ms <= 60_000
        as_the_first = replace(again.order, claim=1, claims=1, deadline_in_ms=claimed.order.deadline_in_ms)
        assert replace(again, order=as_the_first) == claimed
        assert str(as_the_first) == str(claimed.order), "and of the same types"
        await second.end()


async def test_a_claimed_order_belongs_to_no_other_worker_while_the_lease_is_valid(stores: Open) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store:
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        dispatcher.serve(first.id)
        order_id = (await store.create(new_order())).order_id
        assert await store.claim(second.id, [order_id]) == []
        assert await store.claim(first.id, [order_id]) == []
        assert await store.idle(0, THE_BEGINNING, NIL_ID, 10) == []
        events = await store.advance(step(dispatcher.taken[0], 1, *ROUTED))
        assert events is not None
        assert [event.seq for event in events] == [2, 3]
        await drop(first)
        assert await until(store.remove_dead_workers) == ["first"]
        assert [i for i, _ in await store.idle(0, THE_BEGINNING, NIL_ID, 10)] == [order_id]
        (again,) = await store.claim(second.id, [order_id])
        assert (again.order.claim, again.order.version) == (2, 3)
        assert await store.advance(step(dispatcher.taken[0], 3, *ROUTED)) is None
        await second.end()


async def test_no_more_are_claimed_than_there_are_reservations(stores: Open) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store:
        worker, other = await store.begin("w", 20), await store.begin("other", 20)
        dispatcher.serve(worker.id, room=3)
        answers = await asyncio.gather(*(store.create(new_order()) for _ in range(8)))
        taken = {one.order_id for one in answers if one.taken}
        assert len(taken) == 3
        assert {one.order.id for one in dispatcher.taken} == taken
        assert dispatcher.in_order
        left = [one.order_id for one in answers if not one.taken]
        assert {one.order.id for one in await store.claim(other.id, [one.order_id for one in answers])} == set(left)
        for each in (worker, other):
            await each.end()


# What is not


async def test_without_reservations_nothing_is_claimed(stores: Open) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store:
        worker = await store.begin("w", 20)
        dispatcher.serve(worker.id, room=0)
        order = new_order()
        assert await store.create(order) == Created(order.id, replayed=False)
        assert (dispatcher.taken, dispatcher.settled) == ([], [])
        (claimed,) = await store.claim(worker.id, [order.id])
        assert claimed.order.claim == 1
        await worker.end()


async def test_a_worker_without_registration_or_valid_lease_gets_no_order(stores: Open) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store:
        over, gone, successor = (
            await store.begin("over", -1),
            await store.begin("gone", 20),
            await store.begin("successor", 20),
        )
        await gone.end()
        ids = []
        for worker in (over.id, gone.id, successor.id + 100):
            dispatcher.serve(worker)
            order = new_order()
            assert await store.create(order) == Created(order.id, replayed=False)
            assert (dispatcher.taken, dispatcher.in_order) == ([], True)
            ids.append(order.id)
        assert [i for i, _ in await store.idle(0, THE_BEGINNING, NIL_ID, 10)] == ids
        claimed = await store.claim(successor.id, ids)
        assert [(one.order.claim, one.order.claims) for one in claimed] == [(1, 1)] * 3
        for each in (over, successor):
            await each.end()


async def test_a_repetition_is_not_claimed_again_and_returns_its_reservation(stores: Open) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store:
        worker = await store.begin("w", 20)
        first = await store.create(new_order(key="k", body_hash=b"1"))
        dispatcher.serve(worker.id)
        again = await store.create(new_order(key="k", body_hash=b"1"))
        assert again == Created(first.order_id, replayed=True)
        with pytest.raises(IdempotencyMismatchError):
            await store.create(new_order(key="k", body_hash=b"2"))
        assert (len(dispatcher.reserved), dispatcher.taken, dispatcher.in_order) == (2, [], True)
        await worker.end()


async def test_a_key_posted_many_times_at_once_is_taken_by_one_worker_once(stores: Open) -> None:
    dispatchers = [RecordingDispatcher(), RecordingDispatcher()]
    async with stores(dispatcher=dispatchers[0]) as one, stores(dispatcher=dispatchers[1]) as two:
        workers = [await store.begin("w", 20) for store in (one, two)]
        for dispatcher, worker in zip(dispatchers, workers, strict=True):
            dispatcher.serve(worker.id)
        posts = ((one, two)[n % 2].create(new_order(key="k", body_hash=b"1")) for n in range(20))
        answers = await asyncio.gather(*posts, return_exceptions=True)
        assert all(isinstance(answer, Created | IdempotencyInFlightError) for answer in answers)
        assert sum(isinstance(answer, Created) and answer.taken for answer in answers) == 1
        (claimed,) = dispatchers[0].taken + dispatchers[1].taken
        assert {answer.order_id for answer in answers if isinstance(answer, Created)} == {claimed.order.id}
        assert all(dispatcher.in_order for dispatcher in dispatchers)
        for worker in workers:
            await worker.end()


async def test_a_refused_order_returns_its_reservation_and_the_others_are_taken(stores: Open) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store:
        worker = await store.begin("w", 20)
        known = new_order()
        await store.create(known)
        dispatcher.serve(worker.id)
        good = [new_order() for _ in range(3)]
        results = await asyncio.gather(*(store.create(o) for o in (known, *good)), return_exceptions=True)
        assert isinstance(results[0], psycopg.IntegrityError)
        assert results[1:] == [Created(order.id, replayed=False, taken=True) for order in good]
        assert sorted(one.order.id for one in dispatcher.taken) == sorted(order.id for order in good)
        assert dispatcher.in_order
        await worker.end()


# What comes too late, and what nobody knows


async def test_an_order_that_is_stored_too_late_is_not_reported_as_taken(stores: Open) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store:
        worker, successor = await store.begin("w", 20), await store.begin("successor", 20)
        dispatcher.serve(worker.id)
        dispatcher.accepts = False
        await worker.end()
        order = new_order()
        assert await store.create(order) == Created(order.id, replayed=False)
        dispatcher.serve(successor.id)
        late = new_order()
        assert await store.create(late) == Created(late.id, replayed=False), "although it was claimed"
        assert [one.order.id for one in dispatcher.taken] == [late.id]
        assert dispatcher.in_order
        await successor.end()


async def test_a_lost_answer_releases_the_reservations_and_the_order_may_be_claimed(
    stores: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store, stores() as near:
        worker, successor = await near.begin("w", 20), await near.begin("successor", 20)
        dispatcher.serve(worker.id)
        loses_its_answers(store, monkeypatch)
        order = new_order()
        with pytest.raises(UnavailableError) as caught:
            await store.create(order)
        assert caught.value.order_id == str(order.id)
        assert (len(dispatcher.reserved), dispatcher.taken, dispatcher.in_order) == (1, [], True)
        assert await near.claim(successor.id, [order.id]) == [], "it is the worker's, who does not know"
        assert await near.held(worker.id) == {order.id: 1}, "until it looks"
        await worker.end()
        assert [one.order.claim for one in await near.claim(successor.id, [order.id])] == [2]
        await successor.end()


async def test_an_order_whose_poster_does_not_wait_is_taken_or_not_stored_at_all(stores: Open) -> None:
    dispatcher = RecordingDispatcher()
    async with stores(dispatcher=dispatcher) as store:
        worker = await store.begin("w", 20)
        dispatcher.serve(worker.id)
        order = new_order()
        posting = asyncio.create_task(store.create(order))
        await until(lambda: dispatcher.reserved)
        posting.cancel()
        await until(lambda: dispatcher.settled)
        stored = await store.versions([order.id])
        assert [one.order.id for one in dispatcher.taken] == list(stored)
        assert dispatcher.in_order
        await worker.end()

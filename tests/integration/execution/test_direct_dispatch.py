"""New orders that the worker of their process takes without the queue, on a real Postgres and a real Valkey."""

import asyncio
from typing import Any

import pytest

from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.execution.lease_loop import BATCH
from dexexec.store import Created
from dexexec.store import orders as statements
from dexexec.store.orders import Stored
from tests.support.direct_dispatch import CREATE, Commits, Leases, Work, counted, has_reservations, intake_of, taking
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order, running
from tests.support.scripted_workers import ALIVE, LANDED, OpenScriptedWorkers
from tests.support.waiting import until


async def test_a_new_order_ends_without_queue_and_sweeper(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        worker = taking(b)
        async with running(worker.run()):
            await has_reservations(worker)
            order = new_order()
            assert await b.store.create(order) == Created(order.id, replayed=False, taken=True)
            events = await b.ended(order.id)
            assert await b.queue.depth() == 0
        assert statuses_of(events) == ["pending", "routing", "building", "submitted", "confirmed"]
        assert len(b.chain.sent) == 1


async def test_intake_puts_on_the_queue_what_is_not_taken_and_nothing_else(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        worker, intake = taking(b), intake_of(b)
        waiting = await intake.accept(new_order())  # nobody works yet
        await intake.close()
        assert (waiting.taken, await b.queue.depth()) == (False, 1)
        leases = Leases(b)
        async with running(worker.run()):
            await b.ended(waiting.order_id)
            await has_reservations(worker)
            taken = [await intake.accept(new_order()) for _ in range(5)]
            await intake.close()
            for created in taken:
                assert created.taken
                await b.ended(created.order_id)
        assert leases.entries == 1


async def test_no_more_orders_are_in_flight_than_allowed_by_both_ways_together(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        queued = [new_order() for _ in range(6)]
        for order in queued:
            await b.store.create(order)
        worker = taking(b, concurrency=4)
        work, intake, leases = Work(worker), intake_of(b), Leases(b)
        async with running(worker.run()):
            await has_reservations(worker)
            first = await intake.accept(new_order())
            assert first.taken
            posts = asyncio.gather(*(intake.accept(new_order()) for _ in range(9)))
            await b.queue.enqueue([order.id for order in queued])
            created = [first, *(await posts)]
            await intake.close()
            await until(lambda: work.now == 4)
            assert worker.direct.reserve(1) is None
            work.go_on.set()
            for order_id in [order.id for order in queued] + [one.order_id for one in created]:
                assert statuses_of(await b.ended(order_id))[-1] == "confirmed"
        assert work.most == 4
        taken = sum(one.taken for one in created)
        assert taken < 4
        assert leases.entries == 16 - taken


async def test_while_nothing_waits_half_of_the_room_is_left_to_the_queue(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        worker = taking(b, concurrency=5)
        work, leases = Work(worker), Leases(b)
        async with running(worker.run()):
            await has_reservations(worker)
            await until(lambda: leases.asked[-1] == 3)
            created = await asyncio.gather(*(b.store.create(new_order()) for _ in range(5)))
            assert sum(one.taken for one in created) == 2
            await b.queue.enqueue([one.order_id for one in created if not one.taken])
            await until(lambda: work.now == 5)
            work.go_on.set()
            for one in created:
                await b.ended(one.order_id)


async def test_the_only_place_is_the_queues(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        worker, leases = taking(b, concurrency=1), Leases(b)
        async with running(worker.run()):
            await leases.found_nothing()
            assert worker.direct.reserve(1) is None


async def test_new_orders_wait_behind_those_on_the_queue(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        old = await asyncio.gather(*(b.post() for _ in range(BATCH + 1)))
        worker = taking(b, concurrency=3 * BATCH)
        intake, leases = intake_of(b), Leases(b, given=BATCH)
        async with running(worker.run()):
            await leases.held.wait()  # one entry is left, and there is room for many
            assert worker.direct.reserve(1) is None
            new = await intake.accept(new_order())
            assert not new.taken
            await intake.close()
            leases.go_on.set()
            for order_id in (*old, new.order_id):
                await b.ended(order_id)
        assert leases.entries == BATCH + 2


async def test_where_the_pace_is_limited_orders_go_over_the_queue(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        worker = taking(b, orders_per_minute=1_000)
        intake, leases = intake_of(b), Leases(b)
        async with running(worker.run()):
            await leases.found_nothing()
            assert worker.direct.reserve(1) is None
            created = await intake.accept(new_order())
            assert not created.taken
            await b.ended(created.order_id)
        assert leases.entries == 1


async def test_who_does_not_run_yet_or_no_longer_takes_nothing(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        worker = taking(b)
        assert not (await b.store.create(new_order())).taken
        task = asyncio.create_task(worker.run())
        await has_reservations(worker)
        worker.stop()
        assert not (await b.store.create(new_order())).taken
        await task
        assert not (await b.store.create(new_order())).taken
        assert b.a.asked == 0


@pytest.mark.parametrize("before", [True, False])
async def test_what_is_stored_while_the_worker_stops_goes_on_the_queue(
    scripted_workers: OpenScriptedWorkers, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """A reservation was available. The commit, or its answer, comes when the session is over."""
    async with scripted_workers() as b:
        worker, intake = taking(b), intake_of(b)
        task = asyncio.create_task(worker.run())
        await has_reservations(worker)
        commits = Commits(monkeypatch, before=before)
        accepting = asyncio.create_task(intake.accept(new_order()))
        await commits.held.wait()
        worker.stop()
        await task
        commits.go_on.set()
        created = await accepting
        assert not created.taken
        await intake.close()
        assert b.a.asked == 0
        async with running(b.worker().run()):
            await b.ended(created.order_id)
        assert len(b.chain.sent) == 1


@pytest.mark.parametrize("before", [True, False])
async def test_what_was_stored_for_a_session_that_is_over_is_not_begun_by_the_next(
    scripted_workers: OpenScriptedWorkers, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    async with scripted_workers() as b:
        worker, intake, sessions = taking(b), intake_of(b), counted(b)
        async with running(worker.run()):
            await has_reservations(worker)
            with monkeypatch.context() as patch:
                commits = Commits(patch, before=before)
                accepting = asyncio.create_task(intake.accept(new_order()))
                await commits.held.wait()
                async with b.store._database.connection() as connection:
                    await connection.execute("DELETE FROM workers")
                await until(lambda: sessions() == 2)
                await has_reservations(worker)
                commits.go_on.set()
                created = await accepting
            assert not created.taken
            assert statuses_of(await b.ended(created.order_id))[-1] == "confirmed"
        assert len(b.chain.sent) == 1


async def test_an_order_whose_answer_was_lost_is_released_by_the_next_looks_and_no_session_ends(
    scripted_workers: OpenScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        worker, sessions = taking(b), counted(b)
        stored: list[Stored] = []

        async def lose_the_answer(*about: Any, **limits: Any) -> Stored:
            stored.append(await CREATE(*about, **limits))
            raise UnavailableError("the answer got lost")

        async with running(worker.run(), b.sweeper().run()):
            await has_reservations(worker)
            in_flight = (await b.store.create(new_order())).order_id
            await b.reached(in_flight, Status.SUBMITTED)
            order = new_order()
            with monkeypatch.context() as patch:
                patch.setattr(statements, "create", lose_the_answer)
                with pytest.raises(UnavailableError):
                    await b.store.create(order)
            assert [one.order.id for one in stored[0].claimed] == [order.id], "it was committed, under the claim"
            assert worker._tasks.order_ids == [in_flight]
            await b.reached(order.id, Status.SUBMITTED)
            b.chain.statuses = [LANDED]
            for order_id in (in_flight, order.id):
                events = await b.ended(order_id)
                assert statuses_of(events) == ["pending", "routing", "building", "submitted", "confirmed"]
            await has_reservations(worker)
        assert sessions() == 1
        assert len({signed.signature for signed in b.chain.sent}) == 2

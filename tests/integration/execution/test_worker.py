"""The worker and the sweeper on a real Postgres and a real Valkey: nothing is lost, doubled or left behind."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.event import Event
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.store import Claimed, Step
from tests.conftest import Servers
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order, open_redis, running
from tests.support.scripted import quote_of
from tests.support.scripted_workers import ALIVE, LANDED, OpenScriptedWorkers, ScriptedWorkers
from tests.support.waiting import until


async def test_promise_2_what_a_killed_worker_held_is_resumed_with_the_same_bytes(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        order_id = await b.post()
        dying = asyncio.create_task(b.worker().run())
        await b.reached(order_id, Status.SUBMITTED)
        await until(lambda: sent(b))
        dying.cancel()  # as dead as a task can be: its session goes without a word to the queue
        await asyncio.wait([dying])
        b.chain.statuses = [LANDED]
        async with running(b.worker().run(), b.sweeper().run()):
            events = await b.ended(order_id)
        assert statuses_of(events) == ["pending", "routing", "building", "submitted", "confirmed"]
        assert len({signed.signature for signed in b.chain.sent}) == 1, "one swap, however often it was sent"


async def sent(b: ScriptedWorkers) -> bool:
    return bool(b.chain.sent)


async def test_promise_6_orders_survive_the_loss_of_the_whole_queue(
    scripted_workers: OpenScriptedWorkers, servers: Servers
) -> None:
    async with scripted_workers() as b, open_redis(servers.redis_url) as client:
        ids = [await b.post() for _ in range(25)]
        await client.delete(b.queue.work, b.queue.queued)
        async with running(b.worker().run(), b.sweeper().run()):
            for order_id in ids:
                await b.ended(order_id)
        assert len({signed.signature for signed in b.chain.sent}) == 25


async def test_promise_11_a_poison_order_is_set_aside_and_the_others_keep_flowing(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        poison = new_order(amount="0.666")

        async def break_on_poison(request: SwapRequest) -> Quote:
            return quote_of("a", request, 1_510_000)

        b.a.on_quote = break_on_poison
        worker = b.worker(max_claims=2)
        run = worker._tasks._pipeline._router.route

        async def route(request: SwapRequest, deadline: float, only: Any = None) -> Any:
            if request.amount == poison.amount_base:
                raise ZeroDivisionError("a bug that only this order meets")
            return await run(request, deadline, only)

        worker._tasks._pipeline._router.route = route  # type: ignore[method-assign]
        async with running(worker.run(), b.sweeper().run()):
            poison_id = await b.post(poison)
            others = [await b.post() for _ in range(20)]
            for order_id in others:
                assert statuses_of(await b.ended(order_id))[-1] == "confirmed"
            events = await b.ended(poison_id)
        assert (events[-1].status, events[-1].detail["reason"]) == (Status.FAILED, "poisoned")


async def test_promise_11_an_order_whose_swap_may_land_is_looked_up_however_often_that_crashes(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        order_id = await b.post()
        first = asyncio.create_task(b.worker().run())
        await b.reached(order_id, Status.SUBMITTED)
        first.cancel()
        await asyncio.wait([first])
        async with b.store._database.connection() as connection:
            statement = "UPDATE orders SET claims = 99, due_at = due_at - interval '1 h' WHERE id = %s"
            await connection.execute(statement, (order_id,))
        b.chain.statuses = [LANDED]
        async with running(b.worker(max_claims=2).run(), b.sweeper().run()):
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        assert len({signed.signature for signed in b.chain.sent}) == 1


async def lost_during_start(b: ScriptedWorkers, order_id: UUID, *, session: bool) -> None:
    """A worker takes the order up and is stopped without time to finish it; with `session`, after Postgres has ended
    its session, as a restart of it does."""
    worker = b.worker(max_claims=2, drain_seconds=0)
    worker._tasks._pipeline._router._timeout = 60
    task = asyncio.create_task(worker.run())
    await b.queue.enqueue([order_id])
    await until(lambda: worker._tasks.order_ids)
    if session:
        async with b.store._database.connection() as connection:
            await connection.execute("DELETE FROM workers")
        await until(lambda: not worker._tasks.order_ids)
    worker.stop()
    await task


@pytest.mark.parametrize("submitted", [True, False])
async def test_promise_11_restarts_by_the_dozen_are_no_orders_fault(
    scripted_workers: OpenScriptedWorkers, submitted: bool
) -> None:
    async with scripted_workers() as b:
        go_on, price = asyncio.Event(), b.a.on_quote

        async def hang(request: SwapRequest) -> Quote:
            await go_on.wait()
            return await price(request)

        b.chain.statuses = [ALIVE]
        if not submitted:
            b.a.on_quote = b.b.on_quote = hang
        order_id = await b.post(new_order(deadline_ms=600_000))
        if submitted:
            async with running(b.worker().run()):
                await b.reached(order_id, Status.SUBMITTED)
        for turn in range(6):
            await lost_during_start(b, order_id, session=turn % 2 == 1)
        go_on.set()
        b.chain.statuses = [LANDED]
        async with running(b.worker(max_claims=2).run(), b.sweeper().run()):
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        assert len({signed.signature for signed in b.chain.sent}) == 1


async def test_promise_15_a_stopping_worker_finishes_what_it_can_and_leases_no_more(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        worker = b.worker()
        task = asyncio.create_task(worker.run())
        in_flight = await b.post()
        await b.reached(in_flight, Status.SUBMITTED)
        worker.stop()
        waiting = await b.post()
        b.chain.statuses = [LANDED]
        async with asyncio.timeout(20):
            await task
        assert (await b.events(in_flight))[-1].status is Status.CONFIRMED
        assert statuses_of(await b.events(waiting)) == ["pending"]


async def test_promise_15_what_does_not_finish_in_time_is_handed_to_the_next_worker(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        worker = b.worker(drain_seconds=0.05)
        task = asyncio.create_task(worker.run())
        order_id = await b.post()
        await b.reached(order_id, Status.SUBMITTED)
        worker.stop()
        async with asyncio.timeout(20):
            await task
        b.chain.statuses = [LANDED]
        async with running(b.worker().run()):  # no sweeper: it was put back on the queue
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        assert len({signed.signature for signed in b.chain.sent}) == 1


async def test_promise_10_a_worker_that_was_declared_dead_drops_its_orders_and_begins_anew(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        order_id = await b.post()
        async with running(b.worker().run(), b.sweeper().run()):
            await b.reached(order_id, Status.SUBMITTED)
            async with b.store._database.connection() as connection:
                await connection.execute("DELETE FROM workers")
            b.chain.statuses = [LANDED]
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        assert len({signed.signature for signed in b.chain.sent}) == 1


async def test_several_workers_share_the_orders_and_the_limit_per_minute(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        ids = [await b.post() for _ in range(30)]
        async with running(*(b.worker(orders_per_minute=12).run() for _ in range(3))):

            async def twelve() -> bool:
                return len(b.chain.sent) >= 12

            await until(twelve)

            async def limited() -> bool:
                return (await b.limiter.take("orders", 12)).granted == 0

            await until(limited)
            confirmed = [i for i in ids if (await b.events(i))[-1].status is not Status.PENDING]
        assert len(confirmed) == 12
        assert len(b.chain.sent) == 12


async def test_no_more_orders_are_in_flight_than_allowed(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        flying, most = 0, 0
        price = b.a.on_quote
        ids = [await b.post() for _ in range(20)]

        async def count(request: SwapRequest) -> Quote:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0.005)
            flying -= 1
            return await price(request)

        b.a.on_quote = count
        async with running(b.worker(concurrency=3).run()):
            for order_id in ids:
                await b.ended(order_id)
        assert most == 3


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "and the limiter fails then, too"])
async def test_a_claim_whose_answer_was_lost_is_not_held_for_ever(
    scripted_workers: OpenScriptedWorkers, paced: bool
) -> None:
    async with scripted_workers() as b:
        give_back = b.limiter.give_back

        async def fail_after_the_loss(key: str, units: Sequence[bytes]) -> None:
            await give_back(key, units)
            if lost:
                raise UnavailableError("Redis does not answer")

        b.limiter.give_back = fail_after_the_loss  # type: ignore[method-assign]
        claim = b.store.claim
        lost: list[object] = []

        async def lose_the_first_answer(*about: Any) -> list[Claimed]:
            claimed = await claim(*about)
            if claimed and not lost:
                lost.append(claimed)
                raise UnavailableError("the answer got lost")
            return claimed

        b.store.claim = lose_the_first_answer  # type: ignore[method-assign, assignment]
        order_id = await b.post()
        pace = 600_000 if paced else None
        async with running(b.worker(orders_per_minute=pace).run(), b.sweeper().run()):
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        assert lost


async def test_an_order_dropped_for_an_overdue_lease_goes_back_although_the_claim_was_still_valid(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        worker = b.worker()
        overdue = iter([False])
        worker._tasks._has_lease = lambda: next(overdue, True)
        order_id = await b.post()
        async with running(worker.run(), b.sweeper().run()):
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        assert len({signed.signature for signed in b.chain.sent}) == 1


async def test_a_step_whose_answer_was_lost_is_neither_repeated_nor_forgotten(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        advance = b.store.advance
        lost: list[int] = []

        async def lose_some_answers(step: Step) -> list[Event] | None:
            events = await advance(step)
            if len(lost) < 4 and step.version not in lost:
                lost.append(step.version)
                raise UnavailableError("the answer got lost")
            return events

        b.store.advance = lose_some_answers  # type: ignore[method-assign]
        order_id = await b.post()
        async with running(b.worker().run(), b.sweeper().run()):
            events = await b.ended(order_id)
        assert len(lost) >= 2  # what is built at once is recorded in the step that tells the quotes
        assert events[-1].status is Status.CONFIRMED
        assert len({signed.signature for signed in b.chain.sent}) == 1

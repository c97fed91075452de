"""The way of a new order over the queue to the worker of its own process, on a real Postgres and a real Valkey."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest

from dexexec.broker.queue import Entry
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.order import NewOrder
from dexexec.execution import early_quotes
from dexexec.execution.worker import Worker
from dexexec.intake.intake import Intake
from dexexec.observe.observer import Observer, make_logger
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order, running
from tests.support.scripted_workers import OpenScriptedWorkers, ScriptedWorkers
from tests.support.waiting import until


def intake_of(b: ScriptedWorkers, worker: Worker) -> Intake:
    """The way in for orders in the process of `worker`."""
    return Intake(
        b.store,
        b.queue,
        b.limiter,
        settings=Settings(_env_file=None),
        clock=SystemClock(),
        observer=Observer(make_logger("critical")),
        accepted=worker.accepted.add,
    )


async def queue_empties(b: ScriptedWorkers) -> None:
    """Wait until no entry is on the stream."""

    async def empty() -> bool:
        return await b.queue.depth() == 0

    await until(empty)


class Claims:
    """Records which orders are claimed, and which of them were known. With `answers` each waits for its answer."""

    def __init__(self, b: ScriptedWorkers, answers: asyncio.Event | None = None) -> None:
        self.requested: list[tuple[list[UUID], list[UUID]]] = []
        self._claim, self._answers = b.store.claim, answers
        claim: Callable[..., Any] = self.claim
        b.store.claim = claim  # type: ignore[method-assign]

    async def claim(
        self, worker: int, order_ids: Sequence[UUID], suspects: int, known: Mapping[UUID, NewOrder]
    ) -> object:
        self.requested.append((list(order_ids), list(known)))
        claimed = await self._claim(worker, order_ids, suspects, known)
        if self._answers is not None:
            await self._answers.wait()
        return claimed


async def test_a_new_order_goes_over_the_queue_and_is_claimed_without_being_read(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        worker, claims = b.worker(), Claims(b)
        intake = intake_of(b, worker)
        async with running(worker.run()):
            created = await intake.accept(new_order())
            events = await b.ended(created.order_id)
            await queue_empties(b)
        assert claims.requested == [([created.order_id], [created.order_id])]
        assert statuses_of(events) == ["pending", "routing", "building", "submitted", "confirmed"]
        assert len(b.chain.sent) == 1
        await intake.close()


async def test_venues_quote_while_the_claim_is_being_committed_and_nothing_is_built_before_its_answer(
    scripted_workers: OpenScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is: the quotes do not become too old.
    monkeypatch.setattr(early_quotes, "FRESH_SECONDS", 3_600.0)
    async with scripted_workers() as b:
        worker, answers = b.worker(), asyncio.Event()
        Claims(b, answers)
        intake = intake_of(b, worker)
        async with running(worker.run()):
            created = await intake.accept(new_order())
            await until(lambda: b.a.asked == 1)
            assert (b.a.built, b.chain.sent) == (0, [])
            answers.set()
            events = await b.ended(created.order_id)
        assert statuses_of(events)[-1] == "confirmed"
        assert b.a.asked == 1, "the quotes were used"
        await intake.close()


async def test_quotes_are_dropped_where_another_worker_has_the_order(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        worker, lease = b.worker(), b.queue.lease
        intake = intake_of(b, worker)
        other = await b.store.begin("other", 20)

        async def lease_what_another_has_claimed(*about: Any) -> list[Entry]:
            entries = await lease(*about)
            await b.store.claim(other.id, [entry.order_id for entry in entries])
            return entries

        b.queue.lease = lease_what_another_has_claimed  # type: ignore[method-assign, assignment]
        async with running(worker.run()):
            created = await intake.accept(new_order())
            await until(lambda: b.a.asked == 1)
            await queue_empties(b)
            assert len(worker._tasks) == 0
        assert await b.store.versions([created.order_id]) == {created.order_id: 1}
        assert (b.a.built, b.chain.sent) == (0, [])
        await intake.close()
        await other.end()


async def test_an_order_that_another_process_accepted_is_read(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        worker, elsewhere = b.worker(), b.worker()
        claims, intake = Claims(b), intake_of(b, elsewhere)
        async with running(worker.run()):
            created = await intake.accept(new_order())
            await b.ended(created.order_id)
        assert claims.requested == [([created.order_id], [])]
        await intake.close()


async def test_a_worker_with_one_place_executes_new_orders_one_after_the_other(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        worker = b.worker(concurrency=1)
        intake = intake_of(b, worker)
        async with running(worker.run()):
            created = await asyncio.gather(*(intake.accept(new_order()) for _ in range(3)))
            for each in created:
                assert statuses_of(await b.ended(each.order_id))[-1] == "confirmed"
            await queue_empties(b)
        await intake.close()

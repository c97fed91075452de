"""The worker on a store and a queue in memory: what it releases that is claimed in its name and not in hand."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

import pytest

from dexexec.broker.queue import Entry
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.clock import SystemClock
from dexexec.domain.worker_trouble import NOT_COMPARED
from dexexec.errors import UnavailableError
from dexexec.execution.early_quotes import EarlyRound
from dexexec.execution.finality_watcher import FinalityWatcher
from dexexec.execution.job import RetryAfter
from dexexec.execution.pipeline import Pipeline
from dexexec.execution.watched_orders import WatchedOrders
from dexexec.execution.worker import Limits, Worker
from dexexec.observe.observer import Observer, make_logger
from dexexec.store import Claimed, Release
from tests.simulation.scenario import Unlimited
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.queue import MemoryQueue, MemoryRedis
from tests.support.fakes.rows import OrderRow
from tests.support.fakes.store import MemoryStore
from tests.support.parts import new_order, running
from tests.support.waiting import until

LIMITS = Limits(
    concurrency=8, orders_per_minute=None, max_claims=10, lease_seconds=20, heartbeat_seconds=0.01, drain_seconds=1
)


class HeldPipeline:
    """Replaces the pipeline: records the orders it gets, and ends their execution when `go_on` is set."""

    def __init__(self) -> None:
        self.given: list[Claimed] = []
        self.go_on = asyncio.Event()
        self.fault: BaseException | None = None

    async def run(
        self, claimed: Claimed, claimed_at: float, may_send: Callable[[], bool], early: EarlyRound | None
    ) -> RetryAfter | None:
        self.given.append(claimed)
        await self.go_on.wait()
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        return None


class WorkerSetup:
    """A worker with one session, and how often it has looked for strays."""

    def __init__(self) -> None:
        self.watched, self.watching = WatchedOrders(SystemClock()), list[int]()
        self.database, self.pipeline, self.looks = MemoryDatabase(), HeldPipeline(), 0
        self.store, self.queue = MemoryStore(self.database), MemoryQueue(MemoryRedis())
        held = self.store.held

        async def count(worker: int) -> dict[UUID, int]:
            found = await held(worker)
            self.looks += 1
            return found

        self.store.held = count  # type: ignore[method-assign]
        self.worker = Worker(
            name="w",
            store=self.store.port,
            queue=self.queue.port,
            limiter=cast("RateLimiter", Unlimited()),
            pipeline=cast("Pipeline", self.pipeline),
            watcher=cast("FinalityWatcher", self),
            limits=LIMITS,
            clock=SystemClock(),
            observer=Observer(make_logger("critical")),
        )

    async def run(self, worker: int) -> None:
        """Where the worker's watcher would be: it is begun and ended."""
        self.watching.append(worker)
        try:
            await asyncio.Event().wait()
        finally:
            self.watching.append(-worker)

    async def post(self) -> OrderRow:
        """A new order, on the queue."""
        order = new_order()
        await self.store.create(order)
        await self.queue.enqueue([order.id])
        return self.database.orders[order.id]

    async def look_again(self, times: int = 3) -> None:
        """Wait for that many more looks."""
        wanted = self.looks + times
        await until(lambda: self.looks >= wanted)


@pytest.fixture
def setup() -> WorkerSetup:
    return WorkerSetup()


def no_answer(call: Callable[..., Any], *, before: bool = False) -> Callable[..., Any]:
    """As `call`, but the first answer is lost; with `before`, its request."""
    lost = False

    async def first_lost(*about: Any) -> Any:
        nonlocal lost
        was_lost, lost = lost, True
        if not was_lost and before:
            raise UnavailableError("the request got lost")
        answer = await call(*about)
        if not was_lost:
            raise UnavailableError("the answer got lost")
        return answer

    return first_lost


async def test_orders_whose_claim_had_no_answer_are_released_unblamed_and_taken_up(setup: WorkerSetup) -> None:
    setup.store.claim = no_answer(setup.store.claim)  # type: ignore[method-assign]
    async with running(setup.worker.run()):
        row = await setup.post()
        await until(lambda: setup.pipeline.given)
    assert (row.claim, setup.pipeline.given[0].order.claims) == (2, 1)
    assert len(setup.database.workers) <= 1, "it is still its first session"


async def test_the_reason_why_no_order_can_be_executed_is_stored_with_the_lease(setup: WorkerSetup) -> None:
    setup.worker._trouble = lambda: "no node answers"
    async with running(setup.worker.run()):
        await until(lambda: setup.database.worker_trouble() == "no node answers")


class Withheld:
    """A permission that is given when a test sets `given`."""

    def __init__(self) -> None:
        self.given = asyncio.Event()

    def identity(self) -> str:
        return "1/00000001" if self.given.is_set() else ""

    async def obtain(self) -> None:
        await self.given.wait()


async def test_promise_3_a_worker_is_ready_once_its_record_is_compared(
    setup: WorkerSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its registration on, in which its row appears, and again in each later session."""
    setup.worker._permission = permission = Withheld()
    states: list[str] = []
    register, renew = setup.database.register, setup.database.renew

    def registered(*about: Any) -> int:
        found = register(*about)
        states.append(setup.database.workers[found].trouble)
        return found

    def renewed(*about: Any) -> bool:
        done = renew(*about)
        states.append(setup.database.workers[about[0]].trouble)
        return done

    monkeypatch.setattr(setup.database, "register", registered)
    monkeypatch.setattr(setup.database, "renew", renewed)
    async with running(setup.worker.run()):
        await until(lambda: len(states) > 3)
        assert set(states) == {str(NOT_COMPARED)}
        permission.given.set()
        await until(lambda: setup.database.worker_trouble() == "")
        permission.given.clear()
        states.clear()
        [worker_id] = setup.database.workers
        setup.database.disconnect(worker_id)
        await until(lambda: len(states) > 3)
        assert set(states) == {str(NOT_COMPARED)}, "its next session compares again"


async def test_a_claim_that_did_not_reach_postgres_is_sent_again(setup: WorkerSetup) -> None:
    setup.store.claim = no_answer(setup.store.claim, before=True)  # type: ignore[method-assign]
    async with running(setup.worker.run()):
        row = await setup.post()
        await until(lambda: setup.pipeline.given)
    assert row.claim == 1


async def test_an_order_that_could_not_be_handed_back_is_released_by_the_looks(setup: WorkerSetup) -> None:
    setup.pipeline.fault = UnavailableError("Postgres does not answer")
    setup.store.release = no_answer(setup.store.release, before=True)  # type: ignore[method-assign]
    async with running(setup.worker.run()):
        row = await setup.post()
        await until(lambda: setup.pipeline.given)
        setup.pipeline.go_on.set()
        await until(lambda: len(setup.pipeline.given) == 2)
    assert [one.order.claims for one in setup.pipeline.given] == [1, 1]
    assert row.claim == 2


async def test_what_is_in_hand_is_left_alone_however_often_the_worker_looks(setup: WorkerSetup) -> None:
    async with running(setup.worker.run()):
        row = await setup.post()
        await until(lambda: setup.pipeline.given)
        await setup.look_again()
        assert (row.claim, row.worker) == (1, 1)


async def test_a_claim_whose_answer_is_on_its_way_during_a_look_is_not_released(setup: WorkerSetup) -> None:
    claim, answers = setup.store.claim, asyncio.Event()

    async def slow(*about: Any) -> list[Claimed]:
        claimed = await claim(*about)
        await answers.wait()
        return claimed

    setup.store.claim = slow  # type: ignore[method-assign, assignment]
    async with running(setup.worker.run()):
        row = await setup.post()
        await until(lambda: row.worker)
        await setup.look_again()
        assert not setup.pipeline.given
        answers.set()
        await until(lambda: setup.pipeline.given)
        await setup.look_again()
        assert (row.claim, row.worker) == (1, 1)


async def test_an_order_claimed_by_a_commit_without_an_answer_is_taken_up(setup: WorkerSetup) -> None:
    async with running(setup.worker.run()):
        await until(lambda: setup.database.workers)
        order = new_order()
        (worker,) = setup.database.workers
        setup.database.create(order, 60_000)
        setup.database.claim(worker, [order.id], 1)
        await until(lambda: setup.pipeline.given)
    assert setup.pipeline.given[0].order.claim == 2


class Panic(BaseException):
    """As the panics of libraries in Rust are: no `Exception`."""


@pytest.mark.parametrize("fault", [ZeroDivisionError("a bug"), Panic()], ids=repr)
async def test_promise_11_a_handler_that_raises_is_counted_and_a_release_is_not(
    setup: WorkerSetup, fault: BaseException
) -> None:
    setup.pipeline.go_on.set()
    async with running(setup.worker.run()):
        setup.pipeline.fault = fault
        row = await setup.post()
        await until(lambda: row.worker is None and setup.pipeline.given)
    assert row.claims == 1
    await setup.store.release(Release(row.new.id, row.claim, blame=False, resume_in_ms=0))
    assert row.claims == 0


async def test_a_cancellation_that_a_look_swallows_ends_the_worker_all_the_same(setup: WorkerSetup) -> None:
    """As psycopg and redis-py do on Python 3.11, when it comes just as an answer has."""
    looking = asyncio.Event()

    async def swallow(worker: int) -> dict[UUID, int]:
        looking.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {}
        return {}

    setup.store.held = swallow  # type: ignore[method-assign]
    working = asyncio.create_task(setup.worker.run())
    await looking.wait()
    working.cancel()
    await asyncio.wait([working], timeout=20)
    assert working.done()


async def test_what_a_failed_lease_did_not_acknowledge_the_next_one_does(setup: WorkerSetup) -> None:
    """Otherwise its orders could not be put on the queue again until it is reclaimed."""
    lease, failed = setup.queue.lease, list[Sequence[Entry]]()

    async def fail_once(name: str, count: int, block_ms: int, done: Sequence[Entry] = ()) -> list[Entry]:
        if done and not failed:
            failed.append(done)
            raise UnavailableError("Redis does not answer")
        return await lease(name, count, block_ms, done)

    setup.queue.lease = fail_once  # type: ignore[method-assign, assignment]
    async with running(setup.worker.run()):
        await setup.post()
        await until(lambda: failed)
        await until(lambda: not setup.queue.redis.entries)
        assert not setup.queue.redis.queued
        setup.pipeline.go_on.set()


async def test_a_stop_leaves_no_claimed_order_on_the_stream_while_others_end(setup: WorkerSetup) -> None:
    """Its id would not be added again, so no other worker could retry the order."""
    claim, wait = setup.store.claim, setup.worker._tasks.wait

    async def claim_while_stopping(*about: Any) -> list[Claimed]:
        claimed = await claim(*about)
        setup.worker.stop()
        return claimed

    async def wait_until_acknowledged(seconds: float) -> None:
        await until(lambda: not setup.queue.redis.entries)
        setup.pipeline.go_on.set()
        await wait(seconds)

    setup.store.claim = claim_while_stopping  # type: ignore[method-assign, assignment]
    setup.worker._tasks.wait = wait_until_acknowledged  # type: ignore[method-assign]
    await setup.post()
    async with asyncio.timeout(20):
        await setup.worker.run()
    assert len(setup.pipeline.given) == 1


async def test_confirmed_orders_are_watched_as_long_as_a_session_lasts(setup: WorkerSetup) -> None:
    async with running(setup.worker.run()):
        await until(lambda: setup.watching == [1])
        setup.database.disconnect(1)
        await until(lambda: setup.watching == [1, -1, 2])
        setup.worker.stop()
        await until(lambda: setup.watching == [1, -1, 2, -2])


async def test_no_watcher_runs_before_the_record_may_be_written_to(setup: WorkerSetup) -> None:
    setup.worker._permission = permission = Withheld()
    async with running(setup.worker.run()):
        await setup.look_again()
        assert setup.watching == []
        permission.given.set()
        await until(lambda: setup.watching == [1])

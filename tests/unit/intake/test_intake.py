"""Taking orders in: what refuses one, in which order, and what is left behind when it does."""

import asyncio
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from dexexec.config.settings import Settings
from dexexec.domain.order import NewOrder
from dexexec.domain.policy import Policy
from dexexec.domain.terms import OrderType
from dexexec.errors import (
    IdempotencyMismatchError,
    QueueFullError,
    TooManyOrdersError,
    UnavailableError,
)
from dexexec.intake.intake import Intake
from dexexec.intake.queue_gate import FRESH_SECONDS, MAX_WAIT_SECONDS, MAX_WAITING, STALE_SECONDS
from dexexec.observe.observer import Observer
from dexexec.operator_errors import PolicyError
from dexexec.store import Created
from dexexec.testing.clock import ManualClock
from tests.support.memory_ports import MemoryLimiter, MemoryQueue, MemoryStore
from tests.support.parts import new_order
from tests.support.resting_orders import limit_order
from tests.support.waiting import until


class Setup:
    """An intake and its neighbours."""

    def __init__(self, **settings: Any) -> None:
        self.queue, self.limiter, self.clock = MemoryQueue(), MemoryLimiter(), ManualClock()
        self.store = MemoryStore(self.clock)
        self.log = CapturingLogger()
        self.accepted: list[tuple[NewOrder, float]] = []
        self.intake = Intake(
            self.store,
            self.queue,
            self.limiter,
            settings=Settings(_env_file=None, **settings),
            clock=self.clock,
            observer=Observer(self.log),
            accepted=lambda order, deadline: self.accepted.append((order, deadline)),
        )

    async def refused(self, error: type[Exception]) -> Exception:
        """Post an order that is refused with `error`, and leaves nothing behind."""
        await self.intake.close()
        before = list(self.store.created), list(self.queue.ids)
        with pytest.raises(error) as caught:
            await self.intake.accept(new_order())
        await self.intake.close()
        assert (self.store.created, self.queue.ids) == before
        return caught.value


async def test_an_accepted_order_is_stored_and_then_enqueued() -> None:
    setup, order = Setup(), new_order()
    created = await setup.intake.accept(order)
    assert (created.order_id, created.replayed) == (order.id, False)
    assert setup.store.created == [order]
    await setup.intake.close()
    assert setup.queue.ids == [order.id]
    assert setup.accepted == [(order, setup.clock.monotonic() + order.deadline_ms / 1000)]


async def test_nothing_is_enqueued_before_it_is_stored() -> None:
    setup = Setup()
    setup.store.switch.hang()
    accepting = asyncio.create_task(setup.intake.accept(new_order()))
    await setup.store.switch.asked.wait()
    await setup.intake.close()
    assert setup.queue.ids == []
    setup.store.switch.go_on.set()
    created = await accepting
    await setup.intake.close()
    assert setup.queue.ids == [created.order_id]


async def test_an_order_that_rests_is_not_enqueued_and_takes_no_room_on_the_queue() -> None:
    setup = Setup(max_queue=1)
    for _ in range(3):
        await setup.intake.accept(limit_order())
    await setup.intake.close()
    assert setup.queue.batches == []
    assert setup.accepted == []


async def test_an_order_is_on_its_way_to_a_worker_before_its_client_is_answered() -> None:
    setup, order = Setup(), new_order()
    answers = asyncio.Event()
    create = setup.store.create

    async def answer_late(*about: Any, **limits: Any) -> Created:
        created = await create(*about, **limits)
        await answers.wait()
        return created

    setup.store.create = answer_late  # type: ignore[method-assign]
    accepting = asyncio.create_task(setup.intake.accept(order))
    await until(lambda: setup.queue.ids)
    assert (setup.queue.ids, len(setup.accepted), accepting.done()) == ([order.id], 1, False)
    answers.set()
    assert (await accepting).order_id == order.id


async def test_an_order_whose_client_goes_after_the_commit_is_enqueued_all_the_same() -> None:
    setup, order = Setup(), new_order()
    create = setup.store.create

    async def never_answer(*about: Any, **limits: Any) -> Created:
        await create(*about, **limits)
        await asyncio.Event().wait()
        raise AssertionError

    setup.store.create = never_answer  # type: ignore[method-assign]
    accepting = asyncio.create_task(setup.intake.accept(order))
    await until(lambda: setup.queue.ids)
    accepting.cancel()
    await asyncio.wait([accepting])
    await setup.intake.close()
    assert setup.queue.ids == [order.id]
    gate = setup.intake._gate
    assert (gate._entered, gate._left) == (1, 1), "it leaves the gate once"


async def test_an_order_whose_client_goes_before_the_commit_makes_the_queue_no_longer() -> None:
    setup, order = Setup(max_queue=1), new_order()
    create = setup.store.create
    committing, storing = asyncio.Event(), asyncio.Event()
    batches: list[asyncio.Task[Created]] = []

    async def go_on_without_client(*about: Any, **limits: Any) -> Created:
        async def commit() -> Created:
            storing.set()
            await committing.wait()
            return await create(*about, **limits)

        batches.append(asyncio.create_task(commit()))
        return await asyncio.shield(batches[0])

    setup.store.create = go_on_without_client  # type: ignore[method-assign]
    accepting = asyncio.create_task(setup.intake.accept(order))
    await storing.wait()
    accepting.cancel()
    await asyncio.wait([accepting])
    committing.set()
    await batches[0]
    await setup.intake.close()
    assert setup.queue.ids == [order.id]
    gate = setup.intake._gate
    assert gate._entered == gate._left, "as often as it entered"
    setup.clock.advance(STALE_SECONDS + 1)
    await setup.refused(QueueFullError)


async def test_orders_that_come_while_redis_is_busy_share_the_next_command() -> None:
    setup = Setup()
    first = await setup.intake.accept(new_order())
    setup.queue.enqueue_switch.hang()
    await setup.queue.enqueue_switch.asked.wait()
    rest = await asyncio.gather(*(setup.intake.accept(new_order()) for _ in range(20)))
    setup.queue.enqueue_switch.go_on.set()
    await setup.intake.close()
    assert setup.queue.batches == [[first.order_id], [one.order_id for one in rest]]


async def test_a_repeated_request_gives_the_first_order_and_is_not_enqueued_again() -> None:
    setup = Setup()
    first = await setup.intake.accept(new_order(key="k", body_hash=b"1"))
    again = await setup.intake.accept(new_order(key="k", body_hash=b"1"))
    assert (again.order_id, again.replayed) == (first.order_id, True)
    with pytest.raises(IdempotencyMismatchError):
        await setup.intake.accept(new_order(key="k", body_hash=b"2"))
    await setup.intake.close()
    assert setup.queue.ids == [first.order_id]


# The client's limit


async def test_a_client_over_its_limit_gets_a_retry_after_and_others_are_served() -> None:
    setup = Setup(client_orders_per_minute=2)
    for _ in range(2):
        await setup.intake.accept(new_order())
    error = await setup.refused(TooManyOrdersError)
    assert isinstance(error, TooManyOrdersError)
    assert error.retry_after == 12.3
    await setup.intake.accept(new_order(client="10.0.0.2"))
    assert set(setup.limiter.taken) == {"client:127.0.0.1", "client:10.0.0.2"}


async def test_without_a_limit_the_limiter_is_not_used() -> None:
    setup = Setup()
    setup.limiter.switch.up = False
    await setup.intake.accept(new_order())


# The queue


async def test_a_full_queue_refuses_until_workers_have_made_room() -> None:
    setup = Setup(max_queue=3)
    setup.queue.others = 2
    await setup.intake.accept(new_order())
    error = await setup.refused(QueueFullError)
    assert str(error) == "3 orders wait already: post again shortly"
    setup.queue.others = 0
    await setup.intake.accept(new_order())


async def test_a_full_queue_is_waited_for_a_while() -> None:
    """So a client that posts one order after the other is slowed to the pace of execution, and not refused."""
    setup = Setup(max_queue=3)
    setup.queue.others = 3
    posting = [asyncio.create_task(setup.intake.accept(new_order())) for _ in range(3)]
    while setup.clock.monotonic() < MAX_WAIT_SECONDS / 2:
        await asyncio.sleep(0)
    assert setup.store.created == []
    setup.queue.others = 1
    await asyncio.wait(posting, return_when=asyncio.FIRST_EXCEPTION)
    assert [task.exception() is None for task in posting] == [True, True, False], "in the order in which they came"


async def test_more_than_a_line_is_refused_at_once() -> None:
    setup = Setup(max_queue=3)
    await setup.intake.accept(new_order())
    setup.queue.others = 3
    setup.clock.advance(STALE_SECONDS * 2)
    line = [asyncio.create_task(setup.intake.accept(new_order())) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    since = setup.clock.monotonic()
    with pytest.raises(QueueFullError):
        await setup.intake.accept(new_order())
    with pytest.raises(QueueFullError):
        setup.intake.check_capacity()
    assert setup.clock.monotonic() - since < MAX_WAIT_SECONDS / 10
    assert not any(task.done() for task in line)
    await asyncio.gather(*line, return_exceptions=True)
    assert len(setup.store.created) == 1
    setup.intake.check_capacity()


async def test_orders_that_a_full_queue_refuses_are_one_log_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dexexec.intake.intake.REFUSALS_LOG_SECONDS", 0.2)
    setup = Setup(max_queue=1)
    setup.queue.others = 1
    for _ in range(5):
        await setup.refused(QueueFullError)
    await until(lambda: bool(setup.log.calls))
    counts = [call.kwargs["count"] for call in setup.log.calls]
    assert all(call.method_name == "warning" for call in setup.log.calls)
    assert len(counts) < 5
    await until(lambda: sum(call.kwargs["count"] for call in setup.log.calls) == 5)


@pytest.mark.parametrize("taken", [0, 2])
async def test_no_more_pass_than_fit_however_many_come_at_once(taken: int) -> None:
    """Nor do those count that are not on the queue yet, or those twice that are."""
    setup = Setup(max_queue=5 + taken)
    for _ in range(taken):
        await setup.intake.accept(new_order())
    await setup.intake.close()
    setup.clock.advance(STALE_SECONDS * 2)
    results = await asyncio.gather(*(setup.intake.accept(new_order()) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(one, QueueFullError) for one in results) == 45
    assert len(setup.store.created) == 5 + taken


async def test_orders_that_are_refused_after_the_gate_do_not_fill_the_queue() -> None:
    setup = Setup(max_queue=3)
    await setup.intake.accept(new_order(key="k", body_hash=b"1"))
    for _ in range(10):
        assert (await setup.intake.accept(new_order(key="k", body_hash=b"1"))).replayed
        with pytest.raises(IdempotencyMismatchError):
            await setup.intake.accept(new_order(key="k", body_hash=b"2"))
    await setup.intake.accept(new_order())


async def test_a_crowd_costs_one_question_and_an_idle_service_none() -> None:
    setup = Setup()
    await asyncio.gather(*(setup.intake.accept(new_order()) for _ in range(100)))
    assert setup.queue.depth_asked == 1
    setup.clock.advance(3_600)
    await setup.intake.close()
    assert setup.queue.depth_asked == 1


async def test_an_order_does_not_wait_for_a_depth_that_is_merely_not_fresh() -> None:
    setup = Setup()
    await setup.intake.accept(new_order())
    setup.clock.advance(FRESH_SECONDS * 2)
    setup.queue.depth_switch.hang()
    await setup.intake.accept(new_order())
    await setup.queue.depth_switch.asked.wait()
    setup.queue.depth_switch.go_on.set()
    assert len(setup.store.created) == 2


# Redis or Postgres down


async def test_promise_nothing_is_stored_when_redis_does_not_answer() -> None:
    setup = Setup()
    setup.queue.depth_switch.up = False
    await setup.refused(UnavailableError)
    setup.queue.depth_switch.up = True
    await setup.intake.accept(new_order())


async def test_redis_going_down_is_noticed_by_the_order_after_the_failed_question() -> None:
    setup = Setup()
    await setup.intake.accept(new_order())
    setup.queue.depth_switch.up = False
    setup.clock.advance(FRESH_SECONDS * 2)
    setup.queue.depth_switch.asked.clear()
    await setup.intake.accept(new_order())  # believes the last answer, and starts the question that fails
    await setup.queue.depth_switch.asked.wait()
    await setup.refused(UnavailableError)


async def test_a_redis_that_hangs_holds_no_order_longer_than_the_timeout() -> None:
    setup = Setup(request_timeout_ms=100)
    setup.queue.depth_switch.hang()
    results = await asyncio.gather(*(setup.intake.accept(new_order()) for _ in range(10)), return_exceptions=True)
    assert {type(one) for one in results} == {UnavailableError}
    assert setup.store.created == []
    assert setup.queue.depth_asked == 2, "once for all of them, and once more over another connection"
    setup.queue.depth_switch.go_on.set()
    await setup.intake.accept(new_order())


async def test_a_limiter_that_hangs_is_redis_not_answering() -> None:
    setup = Setup(request_timeout_ms=100, client_orders_per_minute=5)
    setup.limiter.switch.hang()
    error = await setup.refused(UnavailableError)
    assert isinstance(error, UnavailableError)
    assert (str(error), error.order_id) == ("Redis does not answer in time", None)


async def test_a_store_that_hangs_leaves_the_outcome_unknown_and_names_the_order() -> None:
    setup, order = Setup(request_timeout_ms=100), new_order()
    setup.store.switch.hang()
    with pytest.raises(UnavailableError) as caught:
        await setup.intake.accept(order)
    assert caught.value.order_id == str(order.id)
    await setup.intake.close()
    assert setup.queue.ids == []


async def test_time_counts_from_when_the_request_was_read() -> None:
    """A tenth of a second is left of a request's time that is longer than a test may take."""
    setup = Setup(request_timeout_ms=60_000)
    read_at = setup.clock.monotonic()
    setup.clock.advance(59.9)
    setup.store.switch.hang()
    with pytest.raises(UnavailableError):
        await setup.intake.accept(new_order(deadline_ms=900_000), read_at)
    setup.store.switch.go_on.set()
    await setup.intake.accept(new_order(deadline_ms=900_000), read_at)
    assert setup.store.read_at == read_at
    setup.clock.advance(0.1)
    with pytest.raises(UnavailableError) as caught:
        await setup.intake.accept(new_order(deadline_ms=900_000), read_at)
    assert caught.value.order_id is None
    assert len(setup.store.created) == 1


async def test_an_order_is_given_up_at_its_own_deadline_if_that_comes_first() -> None:
    setup = Setup(request_timeout_ms=60_000)
    setup.store.switch.hang()
    with pytest.raises(UnavailableError):
        await setup.intake.accept(new_order(deadline_ms=50))


async def test_who_waits_for_room_until_its_time_is_over_hears_that_the_queue_is_full() -> None:
    setup = Setup(max_queue=1, request_timeout_ms=100)
    setup.queue.others = 1
    await setup.intake.close()
    setup.clock.sleep = asyncio.sleep  # type: ignore[method-assign, assignment]
    await setup.refused(QueueFullError)


def refuses(intake: Intake) -> bool:
    """Whether not even the line has room."""
    try:
        intake.check_capacity()
    except QueueFullError:
        return True
    return False


async def test_who_goes_while_waiting_for_room_leaves_the_line_and_nothing_is_stored() -> None:
    setup = Setup(max_queue=1)
    setup.queue.others = 1
    setup.clock.sleep = asyncio.sleep  # type: ignore[method-assign, assignment]
    line = [asyncio.create_task(setup.intake.accept(new_order())) for _ in range(MAX_WAITING)]
    await until(lambda: refuses(setup.intake))
    for task in line:
        task.cancel()
    await asyncio.gather(*line, return_exceptions=True)
    setup.intake.check_capacity()
    setup.queue.others = 0
    await setup.intake.accept(new_order())
    assert len(setup.store.created) == 1


@pytest.mark.parametrize("failure", ["refuses", "hangs"])
async def test_an_order_is_accepted_although_redis_is_lost_after_the_commit(failure: str) -> None:
    """The sweeper finds it in Postgres; the log reports it."""
    setup = Setup(request_timeout_ms=100, max_queue=2)
    if failure == "refuses":
        setup.queue.enqueue_switch.up = False
    else:
        setup.queue.enqueue_switch.hang()
    order = new_order()
    assert (await setup.intake.accept(order)).order_id == order.id
    await setup.intake.close()
    assert setup.queue.ids == []
    assert [(call.method_name, call.kwargs) for call in setup.log.calls] == [("warning", {"count": 1})]
    setup.queue.enqueue_switch.up = True
    setup.queue.enqueue_switch.go_on.set()
    for _ in range(2):
        await setup.intake.accept(new_order())
    await setup.intake.close()
    assert len(setup.queue.ids) == 2


async def test_what_breaks_a_limit_by_itself_is_refused_before_it_takes_a_turn() -> None:
    setup, policy = Setup(), Policy(kinds=frozenset({OrderType.LIMIT}))
    with pytest.raises(PolicyError) as caught:
        await setup.intake.accept(new_order(), policy=policy)
    assert caught.value.about == {"policy": "kinds", "limit": "limit", "given": "market"}
    assert setup.store.asked == 0


async def test_with_a_key_only_the_store_decides_since_the_order_may_be_there() -> None:
    setup, policy = Setup(), Policy(kinds=frozenset({OrderType.LIMIT}))
    await setup.intake.accept(new_order(key="k"), policy=policy)
    assert setup.store.asked == 1

"""Timers of orders that rest: on virtual time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import cast
from uuid import UUID

import pytest

from dexexec.broker.queue import Queue
from dexexec.errors import UnavailableError
from dexexec.execution import retry_timers
from dexexec.execution.retry_timers import RetryTimers
from tests.simulation.clock import VirtualClock
from tests.simulation.loop import VirtualLoop

FIRST, SECOND, THIRD = (UUID(int=n) for n in (1, 2, 3))


class NotedQueue:
    """Writes down what is put on it, and when; the next command fails if `down`."""

    def __init__(self) -> None:
        self.noted: list[tuple[float, list[UUID]]] = []
        self.down = False

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        if self.down:
            self.down = False
            raise UnavailableError("Redis does not answer")
        self.noted.append((round(asyncio.get_running_loop().time(), 3), list(order_ids)))
        return len(order_ids)


Scenario = Callable[[RetryTimers, NotedQueue], Awaitable[None]]


@pytest.fixture
def run_scenario() -> Iterator[Callable[[Scenario], NotedQueue]]:
    """Runs a scenario in virtual time, with timers at work beside it."""
    loop = VirtualLoop(random.Random(1))

    def run(scenario: Scenario) -> NotedQueue:
        queue = NotedQueue()
        timers = RetryTimers(cast("Queue", queue), VirtualClock(loop))

        async def main() -> None:
            task = asyncio.create_task(timers.run())
            await scenario(timers, queue)
            task.cancel()
            await asyncio.wait([task])

        loop.run(main())
        return queue

    yield run
    loop.close()


def test_each_order_is_put_on_the_queue_when_it_is_due_in_any_order_of_arrival(
    run_scenario: Callable[[Scenario], NotedQueue],
) -> None:
    async def scenario(timers: RetryTimers, queue: NotedQueue) -> None:
        timers.add(FIRST, 5_000)
        await asyncio.sleep(1)
        timers.add(SECOND, 1_000)
        timers.add(THIRD, 0)
        await asyncio.sleep(10)
        assert len(timers) == 0

    assert run_scenario(scenario).noted == [(1.0, [THIRD]), (2.0, [SECOND]), (5.0, [FIRST])]


def test_what_is_due_at_once_goes_in_one_command(run_scenario: Callable[[Scenario], NotedQueue]) -> None:
    async def scenario(timers: RetryTimers, queue: NotedQueue) -> None:
        for order_id in (SECOND, FIRST, THIRD):
            timers.add(order_id, 20)
        await asyncio.sleep(1)

    assert run_scenario(scenario).noted == [(0.02, [FIRST, SECOND, THIRD])]


def test_an_outage_costs_the_orders_that_are_due_then_and_no_others(
    run_scenario: Callable[[Scenario], NotedQueue],
) -> None:
    """The sweeper finds those."""

    async def scenario(timers: RetryTimers, queue: NotedQueue) -> None:
        queue.down = True
        timers.add(FIRST, 10)
        timers.add(SECOND, 20)
        await asyncio.sleep(1)

    assert run_scenario(scenario).noted == [(0.02, [SECOND])]


def test_no_more_timers_are_kept_than_fit(
    run_scenario: Callable[[Scenario], NotedQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_timers, "MAX_TIMERS", 2)

    async def scenario(timers: RetryTimers, queue: NotedQueue) -> None:
        for order_id in (FIRST, SECOND, THIRD):
            timers.add(order_id, 10)
        assert len(timers) == 2
        await asyncio.sleep(1)
        timers.add(THIRD, 10)
        await asyncio.sleep(1)

    assert run_scenario(scenario).noted == [(0.01, [FIRST, SECOND]), (1.01, [THIRD])]


def test_a_cancellation_that_the_queue_swallows_ends_the_timers(
    run_scenario: Callable[[Scenario], NotedQueue],
) -> None:
    """As redis-py does on Python 3.11, when it comes just as a command has been sent."""

    async def scenario(timers: RetryTimers, queue: NotedQueue) -> None:
        asked = asyncio.Event()

        async def swallow(order_ids: Sequence[UUID]) -> int:
            asked.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return len(order_ids)
            return 0

        queue.enqueue = swallow  # type: ignore[method-assign]
        timers.add(FIRST, 0)
        await asked.wait()

    assert run_scenario(scenario).noted == []

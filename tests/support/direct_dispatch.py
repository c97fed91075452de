"""What the tests of new orders without the queue look at, hold and count: leases, work, commits and sessions."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dexexec.broker.queue import Entry
from dexexec.clock import Clock, SystemClock
from dexexec.config.settings import Settings
from dexexec.execution.worker import Worker
from dexexec.intake.intake import Intake
from dexexec.observe.observer import Observer, make_logger
from dexexec.store import CapacityReservation, Database
from dexexec.store import orders as statements
from dexexec.store.orders import CreateRequest, Stored
from tests.support.scripted_workers import ScriptedWorkers
from tests.support.waiting import until

CREATE = statements.create


def taking(b: ScriptedWorkers, **limits: Any) -> Worker:
    """A worker in one process with the store: new orders may go to it directly."""
    worker = b.worker(**limits)
    b.dispatcher.target = worker.direct
    return worker


async def has_reservations(worker: Worker) -> None:
    """Wait until it runs and has found the queue empty."""

    def offered() -> bool:
        reservation = worker.direct.reserve(1)
        return reservation is not None and worker.direct.take(reservation, ())

    await until(offered)


def intake_of(b: ScriptedWorkers) -> Intake:
    """The way in for orders in the same process."""
    return Intake(
        b.store,
        b.queue,
        b.limiter,
        settings=Settings(_env_file=None),
        clock=SystemClock(),
        observer=Observer(make_logger("critical")),
    )


class Leases:
    """Counts the requests to the queue. A request after `given` entries waits for `go_on`."""

    def __init__(self, b: ScriptedWorkers, given: int | None = None) -> None:
        self.asked: list[int] = []
        self.entries = 0
        self.held, self.go_on = asyncio.Event(), asyncio.Event()
        self._lease, self._given = b.queue.lease, given
        b.queue.lease = self.lease  # type: ignore[method-assign]

    async def lease(self, consumer: str, count: int, block_ms: int) -> list[Entry]:
        self.asked.append(count)
        if self._given is not None and self.entries >= self._given:
            self.held.set()
            await self.go_on.wait()
        entries = await self._lease(consumer, count, block_ms)
        self.entries += len(entries)
        return entries

    async def found_nothing(self) -> None:
        """Wait for the worker's next request, which shows that it has processed the first answer."""
        await until(lambda: len(self.asked) > 1)


class Work:
    """Counts the orders that a worker has in hand at once. None goes on before `go_on` is set."""

    def __init__(self, worker: Worker) -> None:
        self.now = self.most = 0
        self.go_on = asyncio.Event()
        self._run = worker._tasks._pipeline.run
        worker._tasks._pipeline.run = self.run  # type: ignore[assignment, method-assign]

    async def run(self, *about: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go_on.wait()
            return await self._run(*about)
        finally:
            self.now -= 1


class Commits:
    """Holds the statement that stores new orders, before or after its commit, until `go_on`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, before: bool) -> None:
        self._before, self.held, self.go_on = before, asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(statements, "create", self.create)

    async def create(
        self,
        database: Database,
        requests: Sequence[CreateRequest],
        reservation: CapacityReservation | None,
        clock: Clock,
        **limits: Any,
    ) -> Stored:
        assert reservation is not None
        if self._before:
            self.held.set()
            await self.go_on.wait()
        stored = await CREATE(database, requests, reservation, clock, **limits)
        if not self._before:
            self.held.set()
            await self.go_on.wait()
        return stored


def counted(b: ScriptedWorkers) -> Callable[[], int]:
    """How many sessions began."""
    begin, begun = b.store.begin, []

    async def count(name: str, lease_seconds: float) -> Any:
        begun.append(name)
        return await begin(name, lease_seconds)

    b.store.begin = count  # type: ignore[method-assign]
    return lambda: len(begun)

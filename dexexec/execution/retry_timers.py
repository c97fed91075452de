"""Puts orders that rest back on the queue when they are due.

Only a shortcut: a timer ends with its process, and the sweeper finds every order that is due, a second later.
"""

import asyncio
import contextlib
from heapq import heappop, heappush
from uuid import UUID

from dexexec.broker.queue import Queue
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import UnavailableError
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints

MOST = 10_000
"""Timers of one process. Orders beyond that are left to the sweeper."""
BATCH = 500
"""Ids that one command puts on the queue at most."""


class RetryTimers:
    """Timers of one worker."""

    def __init__(self, queue: Queue, clock: Clock, failpoints: Failpoints = NO_FAILPOINTS) -> None:
        self._queue, self._clock, self._failpoints = queue, clock, failpoints
        self._timers: list[tuple[float, UUID]] = []  # a heap, by when they are due (monotonic seconds)
        self._sooner = asyncio.Event()  # there is a timer that is due before all others

    def __len__(self) -> int:
        return len(self._timers)

    def add(self, order_id: UUID, delay_ms: float) -> None:
        """Put an order on the queue after `delay_ms`."""
        if len(self._timers) < MOST:
            timer = self._clock.monotonic() + delay_ms / 1000, order_id
            heappush(self._timers, timer)
            if self._timers[0] is timer:
                self._sooner.set()

    async def run(self) -> None:
        """Wait for timers, until cancelled."""
        while True:
            self._sooner.clear()
            seconds = self._timers[0][0] - self._clock.monotonic() if self._timers else None
            if seconds is None or seconds > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._sooner.wait()
                continue
            due = self._due()
            await self._failpoints.reach(Failpoint.RETRYING)
            with contextlib.suppress(UnavailableError):  # then the sweeper finds them
                await self._queue.enqueue(due)
            raise_if_cancelled()
            await self._failpoints.reach(Failpoint.RETRIED)

    def _due(self) -> list[UUID]:
        now, due = self._clock.monotonic(), list[UUID]()
        while self._timers and self._timers[0][0] <= now and len(due) < BATCH:
            due.append(heappop(self._timers)[1])
        return due

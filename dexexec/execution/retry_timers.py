"""Puts orders that wait for a retry back on the queue when they are due.

Only a shortcut: timers end with their process, and the sweeper finds every due order about a second later.
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

MAX_TIMERS = 10_000
"""Timers of one process. Orders beyond that are left to the sweeper."""
BATCH = 500
"""Ids that one command puts on the queue at most."""


class RetryTimers:
    """The timers of one worker."""

    def __init__(self, queue: Queue, clock: Clock, failpoints: Failpoints = NO_FAILPOINTS) -> None:
        self._queue = queue
        self._clock = clock
        self._failpoints = failpoints
        self._timers: list[tuple[float, UUID]] = []  # a heap, by when they are due (monotonic seconds)
        self._first_changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._timers)

    def add(self, order_id: UUID, delay_ms: float) -> None:
        """Put an order on the queue after `delay_ms`."""
        if len(self._timers) >= MAX_TIMERS:
            return
        timer = (self._clock.monotonic() + delay_ms / 1000, order_id)
        heappush(self._timers, timer)
        # `run` sleeps until the first timer: only a new first one has to wake it.
        if self._timers[0] is timer:
            self._first_changed.set()

    async def run(self) -> None:
        """Wait for timers, until cancelled."""
        while True:
            # Cleared before the heap is read: a timer that is added in between must not be missed.
            self._first_changed.clear()
            seconds = self._timers[0][0] - self._clock.monotonic() if self._timers else None
            if seconds is None or seconds > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._first_changed.wait()
                continue
            due = self._pop_due()
            await self._failpoints.reach(Failpoint.RETRYING)
            with contextlib.suppress(UnavailableError):  # then the sweeper finds them
                await self._queue.enqueue(due)
            raise_if_cancelled()
            await self._failpoints.reach(Failpoint.RETRIED)

    def _pop_due(self) -> list[UUID]:
        now = self._clock.monotonic()
        due: list[UUID] = []
        while self._timers and self._timers[0][0] <= now and len(due) < BATCH:
            due.append(heappop(self._timers)[1])
        return due

"""Decides whether the queue can take one more order, without a request to Redis for each order."""

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from dexexec.clock import Clock
from dexexec.errors import QueueFullError, UnavailableError

FRESH_SECONDS = 0.1
"""A depth older than this is read again, beside the orders that arrive meanwhile."""
STALE_SECONDS = 0.3
"""A depth older than this is not used: orders wait for a newer one."""
DEPTH_TIMEOUT_SECONDS = 1.0
MAX_WAITING = 256
"""Orders that wait for room in a full queue; more are refused at once."""
MAX_WAIT_SECONDS = 1.0
"""How long an order waits for room."""
RECHECK_SECONDS = 0.01
"""Pause before the first waiting order reads the depth again."""


class OrderQueue(Protocol):
    """The part of `dexexec.broker.queue.Queue` that intake uses."""

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Put ids on the queue; returns how many were not on it yet."""

    async def depth(self) -> int:
        """How many orders wait on the queue."""


class QueueGate:
    """Lets orders in while fewer than `max_queue` wait.

    The depth is the last one that Redis returned, plus the orders that passed here since. It is read again only when an
    order arrives and the last answer is older than `FRESH_SECONDS`. Orders of other processes count from the next
    answer on, so several processes together may exceed `max_queue` by what they accept within `FRESH_SECONDS`.
    """

    def __init__(self, queue: OrderQueue, max_queue: int, timeout: float, clock: Clock) -> None:
        self._queue = queue
        self._max_queue = max_queue
        self._timeout = timeout
        self._clock = clock
        self._reading: asyncio.Task[None] | None = None
        # When the last answered read was sent, not when it was answered: the depth is at least that old.
        self._depth_at = -math.inf
        self._depth = 0
        # Counters only ever grow, so a read can compare its answer with what had left when it was sent.
        self._entered = 0
        self._left = 0  # on the queue by now, or given up
        self._left_before_read = 0
        # `asyncio.Lock` is handed over in the order of arrival, so orders get room in the order in which they came.
        self._turn = asyncio.Lock()
        self._waiting = 0

    def check_capacity(self) -> None:
        """Raises `QueueFullError` when an order could not even wait for room."""
        if self._waiting >= MAX_WAITING:
            raise self.refusal()

    async def enter(self) -> None:
        """Let one order in; `leave` must follow. Raises `UnavailableError` or `QueueFullError`."""
        age = self._clock.monotonic() - self._depth_at
        if age > STALE_SECONDS:
            await self._read_depth()
        elif age > FRESH_SECONDS:
            self._start_reading()
        # While others wait, a new order waits behind them, even if there is room by now.
        if self._waiting or self.full():
            await self._wait_for_room()
        else:
            self._entered += 1

    def leave(self) -> None:
        """The order is on the queue, or was given up."""
        self._left += 1

    def enter_after_all(self) -> None:
        """An order that was given up has been stored, and goes on the queue; `leave` must follow once more."""
        self._entered += 1

    async def _wait_for_room(self) -> None:
        """Enter when it is this order's turn and there is room.

        A client that posts faster than orders are executed is slowed down here, instead of being refused.
        """
        self.check_capacity()
        until = self._clock.monotonic() + MAX_WAIT_SECONDS
        self._waiting += 1
        try:
            # Only the first in line reads the depth: the others would learn the same.
            async with self._turn:
                while self.full():
                    await self._read_depth()
                    if self.full():
                        if self._clock.monotonic() >= until:
                            raise self.refusal()
                        await self._clock.sleep(RECHECK_SECONDS)
                self._entered += 1
        finally:
            self._waiting -= 1

    def refusal(self) -> QueueFullError:
        """The error for an order that finds no room."""
        return QueueFullError(f"{self._max_queue} orders wait already: post again shortly")

    def full(self) -> bool:
        """Whether there is no room, by the last depth and what passed here since."""
        # Orders that left before the read are part of `_depth`. Those that left after it may be, and then count twice
        # until the next read: too careful for a moment, but never too many.
        return self._depth + self._entered - self._left_before_read >= self._max_queue

    async def _read_depth(self) -> None:
        """Wait for a depth. All who wait at the same time share one read."""
        # Shielded: the read is shared, so an order that gives up must not cancel it for the others.
        await asyncio.shield(self._start_reading())
        if self._depth_at == -math.inf:
            raise UnavailableError("Redis does not answer")

    def _start_reading(self) -> asyncio.Task[None]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="queue depth")
        return self._reading

    async def _read(self) -> None:
        try:
            try:
                await self._read_once()
            except TimeoutError:
                # The connection may have died while it was idle. The second try is on a new one.
                await self._read_once()
        except (UnavailableError, TimeoutError):
            self._depth_at = -math.inf
        finally:
            self._reading = None

    async def _read_once(self) -> None:
        sent_at = self._clock.monotonic()
        left = self._left
        async with asyncio.timeout(self._timeout):
            self._depth = await self._queue.depth()
        self._depth_at = sent_at
        self._left_before_read = left

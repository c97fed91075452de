"""Finds orders in Postgres that should make progress and do not, and puts them back on the queue.

An order whose worker died, whose queue entry was lost with Redis, or whose pause is over looks the same: its row is
unfinished and due, and no live worker holds it. An entry too many is harmless, so every worker process sweeps.
"""

import asyncio
import contextlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from dexexec.broker.queue import Entry, Queue
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import UnavailableError
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import Store

PAGE = 500
GRACE_MS = 1_000
"""An order is left alone for this long after it was due: its entry is probably on the queue, or on its way there."""
RECLAIM_MS = 5_000
"""A stream entry is pending for milliseconds, from its lease to the claim's commit. After this time its worker has
died, and the process that removed that worker could not take its entries over."""
REMOVE_CONSUMERS_SECONDS = 60.0
"""How often consumers are removed that a dead process left on the stream."""
LEAVE_SECONDS = 1.0
"""How long a stop waits for Redis."""
THE_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def consumers_of(worker: str) -> tuple[str, str]:
    """The stream's consumers of a worker process: the worker, and the sweeper beside it."""
    return worker, f"{worker}-sweeper"


async def leave(worker: str, queue: Queue) -> None:
    """Remove the consumers of a process that ends from the stream. If that fails, another process does it later."""
    with contextlib.suppress(UnavailableError, TimeoutError):
        async with asyncio.timeout(LEAVE_SECONDS):
            await queue.remove_consumers(*consumers_of(worker))


class Sweeper:
    """Sweeps every `interval` seconds, beside the worker `worker`."""

    def __init__(
        self,
        worker: str,
        store: Store,
        queue: Queue,
        interval: float,
        *,
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        _, self._name = consumers_of(worker)
        self._store = store
        self._queue = queue
        self._interval = interval
        self._clock = clock
        self._observer = observer
        self._failpoints = failpoints
        self._remove_consumers_at = -math.inf

    async def run(self) -> None:
        """Sweep until cancelled."""
        is_down = False
        while True:
            try:
                await self.sweep()
                is_down = False
            except UnavailableError as error:
                if not is_down:
                    self._observer.server_unavailable("sweeping", error)
                is_down = True
            raise_if_cancelled()
            await asyncio.sleep(self._interval)

    async def sweep(self) -> int:
        """Sweep once. Returns how many orders were put back. Raises `UnavailableError`."""
        dead = await self._store.remove_dead_workers()
        if dead:
            self._observer.dead_workers_removed(dead)
        count = await self._requeue(await self._abandoned_entries(dead))
        await self._remove_consumers(dead)
        count += await self._enqueue_idle_orders()
        if count:
            self._observer.orders_requeued(count)
        return count

    async def _abandoned_entries(self, dead: Sequence[str]) -> list[Entry]:
        """Stream entries that were leased and will not be acknowledged."""
        entries = await self._queue.reclaim(self._name, RECLAIM_MS)
        for worker in dead:
            for consumer in consumers_of(worker):
                entries += await self._queue.take_over_pending(self._name, consumer)
        return entries

    async def _requeue(self, entries: Sequence[Entry]) -> int:
        if entries:
            await self._failpoints.reach(Failpoint.RECLAIMED)
        # Acknowledged first: an id that is on the queue already is not added again. A crash in between loses only the
        # entries, and the orders are found in Postgres.
        await self._queue.ack(entries)
        if entries:
            await self._failpoints.reach(Failpoint.REMOVED)
        return await self._queue.enqueue([entry.order_id for entry in entries])

    async def _remove_consumers(self, dead: Sequence[str]) -> None:
        now = self._clock.monotonic()
        if not dead and now < self._remove_consumers_at:
            return
        await self._queue.remove_consumers(*(name for worker in dead for name in consumers_of(worker)))
        self._remove_consumers_at = now + REMOVE_CONSUMERS_SECONDS

    async def _enqueue_idle_orders(self) -> int:
        """Put due orders on the queue that no worker holds, from the oldest on."""
        count = 0
        since = THE_BEGINNING
        after = UUID(int=0)
        while rows := await self._store.idle(GRACE_MS, since, after, PAGE):
            added = await self._queue.enqueue([order_id for order_id, _ in rows])
            count += added
            # The oldest orders are all on the queue, so it was not lost: a long backlog need not be read each second.
            if not added or len(rows) < PAGE:
                break
            after, since = rows[-1]
        return count

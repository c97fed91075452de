"""The sweeper: Postgres -> queue. It finds orders that should be moving and are not, and puts them back on the queue.

That is all there is to recovery: an order whose worker died, whose queue entry was lost with Redis, or whose pause is
over looks the same here: a row that is not finished, whose time has come and which nobody alive holds. One entry more
than needed is harmless, so every worker process sweeps.
"""

import asyncio
import contextlib
import math
from datetime import UTC, datetime
from uuid import UUID

from dexexec.broker.queue import Queue
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
"""A stream entry is pending for milliseconds, from its lease to the claim's commit; past this its worker died, and
whoever removed it could not take its entries over."""
FORGET_SECONDS = 60.0
"""How often consumers are looked for that nobody said farewell for."""
FAREWELL_SECONDS = 1.0
"""How long a stop waits for Redis."""
THE_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def consumers_of(worker: str) -> tuple[str, str]:
    """The stream's consumers of a worker's process: the worker, and the sweeper beside it."""
    return worker, f"{worker}-sweeper"


async def leave(worker: str, queue: Queue) -> None:
    """Take the consumers of a process that ends off the stream; where that fails, another process does it later."""
    with contextlib.suppress(UnavailableError, TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
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
        self._failpoints = failpoints
        _, self._name = consumers_of(worker)
        self._store, self._queue, self._interval = store, queue, interval
        self._clock, self._observer = clock, observer
        self._forget_at = -math.inf

    async def run(self) -> None:
        """Sweep until cancelled."""
        failing = False
        while True:
            try:
                await self.sweep()
                failing = False
            except UnavailableError as error:
                if not failing:
                    self._observer.server_unavailable("sweeping", error)
                failing = True
            raise_if_cancelled()
            await asyncio.sleep(self._interval)

    async def sweep(self) -> int:
        """One pass; how many orders it put back. Raises `UnavailableError`."""
        dead = await self._store.remove_dead_workers()
        if dead:
            self._observer.dead_workers_removed(dead)
        entries = await self._queue.reclaim(self._name, RECLAIM_MS)
        for name in (one for worker in dead for one in consumers_of(worker)):
            entries += await self._queue.take_over_pending(self._name, name)
        if entries:
            await self._failpoints.reach(Failpoint.RECLAIMED)
        await self._queue.ack(entries)
        if entries:
            await self._failpoints.reach(Failpoint.REMOVED)
        swept = await self._queue.enqueue([entry.order_id for entry in entries])
        now = self._clock.monotonic()
        if dead or now >= self._forget_at:
            await self._queue.remove_consumers(*(one for name in dead for one in consumers_of(name)))
            self._forget_at = now + FORGET_SECONDS
        since, after = THE_BEGINNING, UUID(int=0)
        while rows := await self._store.idle(GRACE_MS, since, after, PAGE):
            added = await self._queue.enqueue([order_id for order_id, _ in rows])
            swept += added
            if not added or len(rows) < PAGE:
                break  # the oldest are all on the queue, so it has not lost its beginning
            after, since = rows[-1]
        if swept:
            self._observer.orders_requeued(swept)
        return swept

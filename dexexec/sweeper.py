"""The sweeper: Postgres -> queue. It finds orders that should be moving and are not, and puts them back on the queue.

That is all there is to recovery: an order whose worker died, whose queue entry was lost with Redis, or whose pause is
over looks the same here: a row that is not finished, whose time has come and which nobody alive holds. One entry more
than needed is harmless, so every worker process sweeps.
"""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from dexexec.cancellation import raise_if_cancelled
from dexexec.clock import Clock, Failpoint
from dexexec.errors import UnavailableError
from dexexec.observe import Observer
from dexexec.queue import Queue
from dexexec.store import Store

PAGE = 500
GRACE_MS = 1_000
"""An order is left alone for this long after it was due: its entry is probably on the queue, or on its way there."""
RECLAIM_MS = 5_000
"""A stream entry is pending for milliseconds, from its lease to the claim's commit; past this its worker died, and
whoever removed it could not take its entries over."""
THE_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Sweeper:
    """Sweeps every `interval` seconds, as the stream's consumer `name`."""

    def __init__(
        self, name: str, store: Store, queue: Queue, interval: float, *, clock: Clock, observer: Observer
    ) -> None:
        self._name, self._store, self._queue, self._interval = name, store, queue, interval
        self._clock, self._observer = clock, observer

    async def run(self) -> None:
        """Sweep until cancelled."""
        failing = False
        while True:
            try:
                await self.sweep()
                failing = False
            except UnavailableError as error:
                if not failing:
                    self._observer.waiting_for("sweeping", error)
                failing = True
            raise_if_cancelled()
            await asyncio.sleep(self._interval)

    async def sweep(self) -> int:
        """One pass; how many orders it put back. Raises `UnavailableError`."""
        dead = await self._store.remove_dead_workers()
        if dead:
            self._observer.dead_workers_removed(dead)
        entries = await self._queue.reclaim(self._name, RECLAIM_MS)
        for name in dead:
            entries += await self._queue.take_over_pending(self._name, name)
        if entries:
            await self._clock.failpoint(Failpoint.RECLAIMED)
        await self._queue.ack(entries)
        if entries:
            await self._clock.failpoint(Failpoint.REMOVED)
        swept = await self._queue.enqueue([entry.order_id for entry in entries])
        for name in dead:
            await self._queue.forget(name)
        since, after = THE_BEGINNING, UUID(int=0)
        while rows := await self._store.idle(GRACE_MS, since, after, PAGE):
            added = await self._queue.enqueue([order_id for order_id, _ in rows])
            swept += added
            if not added or len(rows) < PAGE:
                break  # the oldest are all on the queue, so it has not lost its beginning
            after, since = rows[-1]
        if swept:
            self._observer.orders_swept(swept)
        return swept

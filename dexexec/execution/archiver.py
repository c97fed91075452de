"""Retention: finished orders go into the archive, and what is too old goes from there, a partition at a time, with its
idempotency keys and its swaps on the simulated chain.

Runs beside the sweeper in every worker process; whoever gets the lock (`dexexec.store.archive`) does the round.
Behind on its work, it rests as long as it works, so that it never takes more than half of one connection.
"""

from datetime import timedelta

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.store import ArchiveSession, Database
from dexexec.store.archive import BATCH, REST, THE_BEGINNING

INTERVAL = 60.0


class Retention:
    """Keeps finished orders for at least `days`, and all others for as long as they take. `rest` is how long an order
    that has ended stays in the hot tables."""

    def __init__(
        self, database: Database, days: int, *, clock: Clock, observer: Observer, rest: timedelta = REST
    ) -> None:
        self._database, self._days, self._rest = database, days, rest
        self._clock, self._observer = clock, observer
        self._kept: set[str] = set()  # partitions that were told of

    async def run(self) -> None:
        """A round each minute, until cancelled."""
        failing = False
        while True:
            try:
                await self.round()
                failing = False
            except UnavailableError as error:
                if not failing:
                    self._observer.server_unavailable("archiving finished orders", error)
                failing = True
            raise_if_cancelled()
            await self._clock.sleep(INTERVAL)

    async def round(self) -> bool:
        """Archive and drop what is due; False when another process is at it. Raises `UnavailableError`."""
        async with ArchiveSession.begin(self._database, self._days) as session:
            if session is None:
                return False
            await self._archive(session)
            await self._drop(session)
            return True

    async def _archive(self, session: ArchiveSession) -> None:
        place, count = THE_BEGINNING, 0
        while True:
            begun = self._clock.monotonic()
            moved = await session.archive(place, self._rest)
            count += len(moved)
            if len(moved) < BATCH:
                break
            place = moved[-1]
            raise_if_cancelled()
            await self._clock.sleep(self._clock.monotonic() - begun)
        if count:
            self._observer.orders_archived(count)

    async def _drop(self, session: ArchiveSession) -> None:
        """What an earlier round took out of the archive and could not clear goes as well, and first: its name may be
        needed again."""
        gone = await session.clear()
        may_go, must_stay = await session.expired()
        for partition in may_go:
            if not await session.detach(partition):
                self._observer.archive_drop_deferred(partition.name)
        gone += await session.clear()
        if gone:
            self._observer.archive_partitions_dropped(gone)
        for partition in must_stay:
            if partition.name not in self._kept:
                self._observer.partition_kept(partition.name)
        self._kept = {partition.name for partition in must_stay}

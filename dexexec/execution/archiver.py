"""Moves finished orders into the archive and drops archive partitions that are old enough.

Runs beside the sweeper in every worker process; the process that gets the lock does the round. Idempotency keys and
swaps on the simulated chain go with their orders. `docs/adr/0009-an-archive-with-partitions.md` has the reasons.
"""

from datetime import timedelta

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.store import ArchiveSession, Database
from dexexec.store.archive import BATCH, REST, THE_BEGINNING

INTERVAL_SECONDS = 60.0


class Archiver:
    """Keeps finished orders for at least `days`, and unfinished ones as long as they take. A finished order stays in
    the main tables for `rest`."""

    def __init__(
        self, database: Database, days: int, *, clock: Clock, observer: Observer, rest: timedelta = REST
    ) -> None:
        self._database = database
        self._days = days
        self._rest = rest
        self._clock = clock
        self._observer = observer
        self._reported_as_kept: set[str] = set()

    async def run(self) -> None:
        """Do a round each minute, until cancelled."""
        is_down = False
        while True:
            try:
                await self.round()
                is_down = False
            except UnavailableError as error:
                if not is_down:
                    self._observer.server_unavailable("archiving finished orders", error)
                is_down = True
            raise_if_cancelled()
            await self._clock.sleep(INTERVAL_SECONDS)

    async def round(self) -> bool:
        """Archive and drop what is due. False if another process holds the lock. Raises `UnavailableError`."""
        async with ArchiveSession.begin(self._database, self._days) as session:
            if session is None:
                return False
            await self._archive(session)
            await self._drop(session)
            return True

    async def _archive(self, session: ArchiveSession) -> None:
        place = THE_BEGINNING
        count = 0
        while True:
            begun = self._clock.monotonic()
            moved = await session.archive(place, self._rest)
            count += len(moved)
            if len(moved) < BATCH:
                break
            place = moved[-1]
            raise_if_cancelled()
            # Rest as long as the batch took: a large backlog then uses half of one connection, and orders go first.
            await self._clock.sleep(self._clock.monotonic() - begun)
        if count:
            self._observer.orders_archived(count)

    async def _drop(self, session: ArchiveSession) -> None:
        # First what an earlier round detached and could not clear: a new partition may need its name.
        cleared = await session.clear()
        expired, kept = await session.expired()
        for partition in expired:
            if not await session.detach(partition):
                self._observer.archive_drop_deferred(partition.name)
        cleared += await session.clear()
        if cleared:
            self._observer.archive_partitions_dropped(cleared)
        for partition in kept:
            if partition.name not in self._reported_as_kept:
                self._observer.partition_kept(partition.name)
        self._reported_as_kept = {partition.name for partition in kept}

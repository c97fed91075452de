"""Worker sessions and their leases: one row per worker, which covers all orders that the worker holds.

A worker holds a session lock on its id. Postgres frees it when the process dies, so the next sweep removes the worker.
The lease covers the other case: a worker that is cut off or frozen while Postgres still has its session
(docs/adr/0002).
"""

import asyncio

from dexexec.domain.worker_trouble import TroubleKind
from dexexec.errors import UnavailableError
from dexexec.store.database import Connection, Database
from dexexec.store.postgres_errors import OUTAGES, translate_postgres_errors
from dexexec.store.rows import fetch_row, fetch_rows
from dexexec.store.session_locks import SessionLock, lock_class

END_SECONDS = 1.0

REGISTER = """
INSERT INTO workers (name, lease_until, trouble) VALUES (%s, clock_timestamp() + %s * interval '1 s', nullif(%s, ''))
RETURNING id, pg_advisory_lock(%s, id)
"""

RENEW = """
UPDATE workers SET lease_until = clock_timestamp() + %s * interval '1 s', trouble = nullif(%s, '') WHERE id = %s
RETURNING id
"""

# If the lock of a worker can be taken, its session has ended. The lock is freed again at the end of the statement.
REMOVE_DEAD = """
DELETE FROM workers WHERE id IN (
    SELECT id FROM workers WHERE lease_until < clock_timestamp() OR pg_try_advisory_xact_lock(%s, id))
RETURNING name
"""

# Only workers whose session lock is held: a row may remain from a process that was killed. Workers without trouble come
# first, so that one of them is enough, and those that still compare record and chain last: they hide nobody's trouble.
TROUBLE = f"""
SELECT coalesce(trouble, '') AS trouble FROM workers w
WHERE lease_until > clock_timestamp() AND EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.classid = %s AND l.objid = w.id
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY trouble IS NOT NULL, starts_with(trouble, '{TroubleKind.COMPARISON}: '), trouble LIMIT 1
"""  # noqa: S608 - a constant

# The living worker with the lowest id leads. When a lease has just run out, two may lead for a moment. This is
# harmless, since a row decides each effect.
LEADS = """
SELECT coalesce((SELECT min(id) FROM workers WHERE lease_until > clock_timestamp()) = %s, false) AS leads
"""


class WorkerSession:
    """The registration of a worker. Its claims carry `id`."""

    def __init__(self, worker_id: int, connection: Connection, lease_seconds: float, timeout: float) -> None:
        self.id = worker_id
        self._connection = connection
        self._lease = lease_seconds
        self._timeout = timeout

    @classmethod
    async def begin(cls, database: Database, name: str, lease_seconds: float, trouble: str = "") -> "WorkerSession":
        """Register a worker on a connection of its own. From its first moment it has the `trouble`, if any. Raises
        `UnavailableError`."""
        connection = await database.dedicated()
        try:
            with (
                translate_postgres_errors()
            ):  # the time limit also ends a commit that waits for a lost synchronous standby
                async with asyncio.timeout(database.timeout):
                    row = await fetch_row(connection, REGISTER, (name, lease_seconds, trouble, _locks(database)))
            if row is None:
                raise UnavailableError("Postgres did not register the worker")
        except BaseException:
            await connection.close()
            raise
        return cls(row.id, connection, lease_seconds, database.timeout)

    async def renew(self, trouble: str = "") -> bool:
        """Renew the lease, and store why this worker cannot execute orders now, if so. Returns False when the session
        was removed as dead. Raises `UnavailableError`."""
        with translate_postgres_errors():
            async with asyncio.timeout(self._timeout):
                await self._connection.check_if_due()  # the session lock ends with the connection
                return await fetch_row(self._connection, RENEW, (self._lease, trouble, self.id)) is not None

    async def end(self) -> None:
        """Delete the row and close the connection, which frees the lock and with it all orders."""
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._connection.execute("DELETE FROM workers WHERE id = %s", (self.id,))
        except OUTAGES:
            pass  # the connection is lost; the next sweep removes the row
        finally:
            await self._connection.close()


async def remove_dead_workers(database: Database) -> list[str]:
    """Delete the rows of dead workers, which frees their orders; returns the workers' names."""
    async with database.connection() as connection:
        return [row.name for row in await fetch_rows(connection, REMOVE_DEAD, (_locks(database),))]


def _locks(database: Database) -> int:
    return lock_class(database.address.schema, SessionLock.WORKER)


async def trouble(database: Database) -> str | None:
    """Return why no living worker can execute orders now: empty when one can, None without a living worker."""
    async with database.connection() as connection:
        row = await fetch_row(connection, TROUBLE, (_locks(database),))
        return None if row is None else str(row.trouble)


async def leads(database: Database, worker: int) -> bool:
    """Return whether this worker session is the one that looks after resting orders."""
    async with database.connection() as connection:
        row = await fetch_row(connection, LEADS, (worker,))
    return row is not None and bool(row.leads)

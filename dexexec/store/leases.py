"""Workers and their leases. One row per worker; renewing it renews the lease of every order the worker holds.

A session is one session of a worker with Postgres: a row in `workers` and a session lock on its id. The lock
dies with the session, so a killed process is noticed by the next sweep; the lease is for a partition, where the
session seems alive. When a session ends for any reason, its orders are free at once and its claims are worthless:
there is nothing to clean up but the row.
"""

import asyncio

from dexexec.errors import UnavailableError
from dexexec.store.database import OUTAGES, Connection, Database, fetch_row, fetch_rows, translate_postgres_errors
from dexexec.store.session import lock_class

LOCK_CLASS = 1
END_SECONDS = 1.0

REGISTER = """
INSERT INTO workers (name, lease_until) VALUES (%s, clock_timestamp() + %s * interval '1 s')
RETURNING id, pg_advisory_lock(%s, id)
"""

RENEW = """
UPDATE workers SET lease_until = clock_timestamp() + %s * interval '1 s', trouble = nullif(%s, '') WHERE id = %s
RETURNING id
"""

# A lock that can be taken has no living holder.
REMOVE_DEAD = """
DELETE FROM workers WHERE id IN (
    SELECT id FROM workers WHERE lease_until < clock_timestamp() OR pg_try_advisory_xact_lock(%s, id))
RETURNING name
"""

# A session lock is held by whoever lives. One that can execute orders comes first.
TROUBLE = """
SELECT coalesce(trouble, '') AS trouble FROM workers w
WHERE lease_until > clock_timestamp() AND EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.classid = %s AND l.objid = w.id
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY trouble NULLS FIRST LIMIT 1
"""


class WorkerSession:
    """A registered worker. `id` is what its claims carry."""

    def __init__(self, worker_id: int, connection: Connection, lease_seconds: float, timeout: float) -> None:
        self.id = worker_id
        self._connection, self._lease, self._timeout = connection, lease_seconds, timeout

    @classmethod
    async def begin(cls, database: Database, name: str, lease_seconds: float) -> "WorkerSession":
        """Register under a session of its own. Raises `UnavailableError`."""
        connection = await database.dedicated()
        try:
            with translate_postgres_errors():  # a commit that waits for a lost synchronous standby is given up, too
                async with asyncio.timeout(database.timeout):
                    row = await fetch_row(connection, REGISTER, (name, lease_seconds, _locks(database)))
            if row is None:
                raise UnavailableError("Postgres did not register the worker")
        except BaseException:
            await connection.close()
            raise
        return cls(row.id, connection, lease_seconds, database.timeout)

    async def renew(self, trouble: str = "") -> bool:
        """Renew every lease, and tell why orders cannot be executed now, if so; False when this session was declared
        dead. Raises `UnavailableError`."""
        with translate_postgres_errors():
            async with asyncio.timeout(self._timeout):
                await self._connection.check_if_due()  # the session lock is only ours while the session is
                return await fetch_row(self._connection, RENEW, (self._lease, trouble, self.id)) is not None

    async def end(self) -> None:
        """Give everything back: the row goes, and with the session its lock."""
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._connection.execute("DELETE FROM workers WHERE id = %s", (self.id,))
        except OUTAGES:
            pass  # the session is gone already: the next sweep removes the row
        finally:
            await self._connection.close()


async def remove_dead_workers(database: Database) -> list[str]:
    """Remove the rows of dead workers, which frees their orders; returns their names."""
    async with database.connection() as connection:
        return [row.name for row in await fetch_rows(connection, REMOVE_DEAD, (_locks(database),))]


def _locks(database: Database) -> int:
    return lock_class(database.address.schema, LOCK_CLASS)


async def trouble(database: Database) -> str | None:
    """Why no living worker can execute orders now; nothing when one can, None without one."""
    async with database.connection() as connection:
        row = await fetch_row(connection, TROUBLE, (_locks(database),))
        return None if row is None else str(row.trouble)

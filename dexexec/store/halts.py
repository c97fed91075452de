"""Halts: for whom nothing may be signed (docs/adr/0031).

The statement that records attempts reads this table with a row lock, so it holds a ROW SHARE lock of the table from
before its snapshot until its commit. A halt is committed first, and then waits until it gets a lock that excludes
those: every attempt that did not see the halt is committed by then.
"""

import asyncio

import psycopg

from dexexec.clock import Clock
from dexexec.domain.halt import Halt
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row, fetch_rows

READ = "SELECT owner, since, reason FROM halts"
HALT = """
INSERT INTO halts (owner, reason) VALUES (%(owner)s, %(reason)s)
ON CONFLICT (owner) DO UPDATE SET reason = excluded.reason RETURNING owner, since, reason
"""
RESUME = "DELETE FROM halts WHERE owner = %(owner)s RETURNING owner"

# Not ACCESS EXCLUSIVE: a backup holds ACCESS SHARE locks of all tables for as long as it runs.
BARRIER = "LOCK TABLE halts IN EXCLUSIVE MODE"
BARRIER_TIMEOUT = "SET LOCAL lock_timeout = '200ms'"
"""While the lock is waited for, new attempts wait behind it: this bounds how long."""
BARRIER_PAUSE = 0.05
BUSY = (psycopg.errors.LockNotAvailable,)

# What waited because of a halt is due when every process has read that it has ended: one that has not would let it wait
# for another pause. An order that a worker has in its hands is not touched.
WAKE = """
UPDATE orders o SET due_at = least(due_at, clock_timestamp() + interval '2 s')
WHERE o.finished_at IS NULL AND NOT o.resting AND o.created_at > '-infinity' AND o.status = 'waiting'
  AND o.worker IS NULL AND o.due_at > clock_timestamp() AND (%(owner)s = 0 OR o.owner = %(owner)s)
"""

KEY = "SELECT id FROM api_keys WHERE name = %(name)s ORDER BY revoked_at IS NULL DESC, id DESC LIMIT 1"
NAMED = """
SELECT h.owner, h.since, h.reason, k.name FROM halts h LEFT JOIN api_keys k ON k.id = h.owner ORDER BY h.owner
"""


async def read(database: Database) -> list[Halt]:
    """Return all halts."""
    async with database.connection() as connection:
        return [Halt(row.owner, row.since, row.reason) for row in await fetch_rows(connection, READ)]


async def read_named(database: Database) -> list[tuple[Halt, str]]:
    """Return all halts, each with the name of its key (empty: all)."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, NAMED)
    return [(Halt(row.owner, row.since, row.reason), row.name or "") for row in rows]


async def owner_of(database: Database, name: str) -> int | None:
    """Return the number of the key with this name, of a revoked one only if no other has it; None without one."""
    async with database.connection() as connection:
        row = await fetch_row(connection, KEY, {"name": name})
    return None if row is None else int(row.id)


async def halt(database: Database, owner: int, reason: str) -> Halt:
    """Halt signing for `owner`. It holds for everything that begins from now on; `wait_for_attempts` waits for the
    rest."""
    async with database.connection() as connection:
        row = await fetch_row(connection, HALT, {"owner": owner, "reason": reason})
    return Halt(row.owner, row.since, row.reason)


async def wait_for_attempts(database: Database, clock: Clock, seconds: float) -> bool:
    """Wait until every attempt that did not see the halts of now is committed, or never will be. Returns False if that
    takes longer than `seconds`: a transaction of a worker is still open then."""
    # Several short waits instead of a long one: while this lock is waited for, new attempts wait behind it, and with
    # them the steps that settle others.
    until = clock.monotonic() + seconds
    while True:
        try:
            async with database.connection(BUSY) as connection, connection.transaction():
                await connection.execute(BARRIER_TIMEOUT)
                await connection.execute(BARRIER)
        except BUSY:
            if clock.monotonic() >= until:
                return False
            await asyncio.sleep(BARRIER_PAUSE)
        else:
            return True


async def resume(database: Database, owner: int) -> bool:
    """End a halt; returns whether there was one. Orders that waited because of it are due two seconds later."""
    async with database.connection() as connection, connection.transaction():
        row = await fetch_row(connection, RESUME, {"owner": owner})
        await connection.execute(WAKE, {"owner": owner})
    return row is not None

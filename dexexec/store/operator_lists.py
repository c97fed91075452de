"""What an operator looks at and corrects: workers with the orders that they hold, dead letters, and releasing orders.

Used by commands beside a running service, as `stuck_orders` is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from dexexec.domain.failure_reason import FailureReason
from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows
from dexexec.store.session_locks import SessionLock, lock_class
from dexexec.store.steps import SUSPECT_AFTER

# A session lock that is held shows that the worker's process lives. Its lease alone does not: it goes on for up to 20 s
# after a kill.
WORKERS = """
SELECT w.id, w.name, w.started_at, w.lease_until, coalesce(w.trouble, '') AS trouble,
       w.lease_until > clock_timestamp() AND EXISTS (
           SELECT FROM pg_locks l
           WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.classid = %s AND l.objid = w.id
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS alive,
       extract(epoch FROM clock_timestamp() - w.started_at)::float8 AS age_seconds,
       extract(epoch FROM w.lease_until - clock_timestamp())::float8 AS lease_seconds,
       coalesce(o.held, 0) AS orders, o.oldest
FROM workers w LEFT JOIN (
    SELECT worker, count(*) AS held, min(created_at) AS oldest FROM orders
    WHERE finished_at IS NULL AND NOT resting AND created_at > '-infinity' AND worker IS NOT NULL GROUP BY worker
) o ON o.worker = w.id
ORDER BY w.id
"""

# An order that ended as poisoned, in the main tables or the archive, and one that crashes workers now or was set aside.
# The last event of the first kind has what was given up; of the others it is the last step before the crash.
DEAD_LETTERS = f"""
SELECT * FROM (
    (SELECT o.id, 'poisoned' AS state, o.status, o.claims, o.created_at, o.finished_at AS at, o.venue, o.tx_hash,
            e.detail ->> 'detail' AS detail
     FROM orders o LEFT JOIN order_events e ON e.order_id = o.id AND e.seq = o.version
     WHERE o.ended_reason = %(poisoned)s ORDER BY o.created_at DESC, o.id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT id, 'poisoned', status, NULL, created_at, finished_at, venue, tx_hash, events -> -1 -> 'detail' ->> 'detail'
     FROM archived_orders
     WHERE failure_reason = %(poisoned)s ORDER BY created_at DESC, id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT o.id, CASE WHEN o.set_aside_at IS NOT NULL THEN 'set-aside' ELSE 'crashing' END, o.status, o.claims,
            o.created_at, coalesce(o.set_aside_at, o.due_at), o.venue, o.tx_hash,
            concat('after event ', o.version, ' (', o.status, ')', ': ' || coalesce(e.detail ->> 'detail',
                   e.detail ->> 'reason'))
     FROM orders o LEFT JOIN order_events e ON e.order_id = o.id AND e.seq = o.version
     WHERE o.finished_at IS NULL AND NOT o.resting AND o.created_at > '-infinity'
       AND (o.set_aside_at IS NOT NULL OR o.claims > {SUSPECT_AFTER})
     ORDER BY o.created_at DESC, o.id DESC LIMIT %(limit)s)
) letters ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608 - a constant

# The claim is raised, as a cancel does (docs/adr/0026): the former holder can record and end nothing any more. What it
# has recorded before is taken over with the order, and the next worker sends the same bytes. The claim that is taken
# away was no crash.
RELEASE = """
UPDATE orders o SET worker = NULL, claim = o.claim + 1, claims = greatest(o.claims - 1, 0), due_at = clock_timestamp()
FROM (SELECT id, worker FROM orders WHERE id = ANY(%s) AND ended IS NULL AND NOT resting AND worker IS NOT NULL
      ORDER BY id FOR UPDATE) held
LEFT JOIN workers w ON w.id = held.worker
WHERE o.id = held.id
RETURNING o.id, coalesce(w.name, 'a worker that is gone') AS worker
"""
EXISTING = "SELECT id, status, finished_at IS NOT NULL AS ended FROM orders WHERE id = ANY(%s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedWorker:
    """A registered worker. `alive`: its process lives and its lease is valid. `oldest` is when the oldest of the
    `orders` that it holds was created, `trouble` why it cannot execute orders now."""

    id: int
    name: str
    started_at: datetime
    lease_until: datetime
    trouble: str
    alive: bool
    age_seconds: float
    lease_seconds: float
    orders: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An order that crashed its workers. `state` is `poisoned` (it has failed for good), `set-aside` or `crashing`.
    `claims` is how many claims in a row ended in a crash (None: no longer known), `at` and `detail` describe the last
    one."""

    id: UUID
    state: str
    status: str
    claims: int | None
    created_at: datetime
    at: datetime
    venue: str | None
    tx_hash: str | None
    detail: str | None


async def list_workers(database: Database) -> list[ListedWorker]:
    """Return all registered workers. Raises `UnavailableError`."""
    locks = lock_class(database.address.schema, SessionLock.WORKER)
    async with database.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(ListedWorker))
        return await (await cursor.execute(WORKERS, (locks,))).fetchall()


async def list_dead_letters(database: Database, limit: int) -> list[DeadLetter]:
    """Return orders that crashed their workers, newest first. Raises `UnavailableError`."""
    values = {"poisoned": FailureReason.POISONED.value, "limit": limit}
    async with database.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(DeadLetter))
        return await (await cursor.execute(DEAD_LETTERS, values, prepare=False)).fetchall()


async def release(database: Database, order_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Take orders away from the workers that hold them, and return the names of those workers. Another worker takes
    them up at the next sweep. Raises `UnavailableError`."""
    async with database.connection() as connection:
        return {row.id: row.worker for row in await fetch_rows(connection, RELEASE, (list(order_ids),))}


async def open_orders(database: Database, order_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the statuses of those orders that have not ended. Raises `UnavailableError`."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, EXISTING, (list(order_ids),))
    return {row.id: row.status for row in rows if not row.ended}

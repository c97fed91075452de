"""Moves finished orders into the archive, and drops archive partitions that are too old (docs/adr/0009).

One process at a time does this, under a session lock. Each step is a commit of its own, so another process can go on
after any of them. Orders that have not ended (open, set aside, or not finalized) stay in the main tables at any age.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from uuid import UUID

import psycopg
from psycopg import sql

from dexexec.store.database import Connection, Database
from dexexec.store.postgres_errors import translate_postgres_errors
from dexexec.store.rows import fetch_row, fetch_rows
from dexexec.store.session_locks import SessionLock, lock_class

BATCH = 500
CLEARED = 1_000
"""For how many orders at once idempotency keys and swaps on the simulated chain are deleted."""
REST = timedelta(hours=1)
"""How long an order stays in the main tables after it ended: nearly all reads of it come within this time."""
PAST = timedelta(hours=1)
"""How long a swap on the simulated chain must have expired before it is deleted: more than clocks of servers differ."""
MOST_DAYS = 92
"""Up to this many kept days a partition holds a day, above it a month: so there are at most about a hundred."""
THE_BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

Place = tuple[datetime, UUID]

# While an order of a group has not ended, the others stay here: their attempts decide whether it may be swapped
# (`store.oco_groups`).
#
# In the order of the index `orders_newest`. The condition on `created_at` follows from the one on `finished_at`; it is
# there since it bounds the scan of that index.
ENDED = """
SELECT created_at, id FROM orders o
WHERE created_at >= %(since)s AND (created_at, id) > (%(since)s, %(after)s)
  AND created_at < clock_timestamp() - %(rest)s::interval AND finished_at < clock_timestamp() - %(rest)s::interval
  AND NOT EXISTS (SELECT FROM attempts a WHERE a.order_id = o.id AND a.outcome IS NULL)
  AND (followed_up_at IS NOT NULL OR oco_group IS NULL AND parent IS NULL AND (terms ? 'bracket') IS NOT TRUE
       AND type <> 'recurring')
  AND (SELECT true FROM orders s WHERE s.oco_group = o.oco_group AND s.finished_at IS NULL LIMIT 1) IS NULL
  -- The planner of webhooks does not find the events of an order that is here no more. For a week at most: it may be
  -- that no worker plans any.
  AND finished_at < coalesce((SELECT min(planned_until) - interval '10 minutes' FROM webhooks
      WHERE disabled_at IS NULL AND planned_until > clock_timestamp() - interval '7 days'), 'infinity')
  -- What the slices of a cancelled order still fill is counted in its row.
  AND (progress IS NULL OR progress -> 'endedSlices' = progress -> 'madeSlices')
ORDER BY created_at, id LIMIT %(limit)s
"""

# In one statement, so that an order is never in both places or in neither. A finished order never changes again, so
# these row locks delay no other statement.
MOVE = """
WITH o AS (
    DELETE FROM orders WHERE id = ANY(%(ids)s) AND finished_at IS NOT NULL RETURNING *
), e AS (
    DELETE FROM order_events d USING o WHERE d.order_id = o.id RETURNING d.*
), h AS (
    -- Left behind by a cancel, which does not write steps.
    DELETE FROM handouts WHERE order_id = ANY(ARRAY(SELECT id FROM o))
), a AS (
    DELETE FROM attempts d USING o WHERE d.order_id = o.id RETURNING d.*
), w AS (
    -- Readers of the stream of all events that have not come this far cannot go on: see `store.event_positions`.
    INSERT INTO archived_events AS w (position, order_id, seq, at)
    SELECT position, order_id, seq, at FROM e WHERE position IS NOT NULL
    ORDER BY position DESC, order_id DESC, seq DESC LIMIT 1
    ON CONFLICT (one_row) DO UPDATE
    SET position = excluded.position, order_id = excluded.order_id, seq = excluded.seq, at = excluded.at
    WHERE (excluded.position, excluded.order_id, excluded.seq) > (w.position, w.order_id, w.seq)
), p AS (
    UPDATE policy_spending s
    SET amount = CASE WHEN o.status = 'confirmed' THEN coalesce(o.amount_in, s.amount) ELSE 0 END
    FROM o WHERE s.order_id = o.id AND s.order_id = ANY(%(ids)s)
)
INSERT INTO archived_orders (
    id, side, amount, venue, tx_hash, status, failure_reason, created_at, mode, input_mint, output_mint, amount_base,
    slippage_bps, deadline_at, client, amount_in, amount_out, version, rounds, attempts, finished_at, finalized_at,
    min_out, max_in, quoted_in, quoted_out, max_price_impact_bps, type, terms, tag, dry_run, parent, oco_group,
    progress, owner, wallet, request_id, events, tries)
SELECT o.id, side, amount, venue, tx_hash, status, failure_reason, created_at, mode, input_mint, output_mint,
       amount_base, slippage_bps, deadline_at, client, amount_in, amount_out, version, rounds, attempts, finished_at,
       finalized_at, min_out, max_in, quoted_in, quoted_out, max_price_impact_bps, type, terms, tag, dry_run, parent,
       oco_group, progress, owner, wallet, request_id, coalesce(ee.events, '[]'), coalesce(aa.tries, '[]')
FROM o
LEFT JOIN (SELECT order_id, json_agg(e ORDER BY seq) AS events FROM e GROUP BY 1) ee
    ON ee.order_id = o.id
LEFT JOIN (SELECT order_id, json_agg(a ORDER BY n) AS tries FROM a GROUP BY 1) aa
    ON aa.order_id = o.id
"""

PARTITIONS = r"""
SELECT c.relname AS name, bounds[1]::timestamptz AS start, bounds[2]::timestamptz AS end
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
     regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') AS bounds
WHERE i.inhparent = 'archived_orders'::regclass AND bounds IS NOT NULL
ORDER BY 2
"""

DETACHED = r"""
SELECT relname AS name FROM pg_class
WHERE relkind = 'r' AND relname LIKE 'dropping\_orders\_%' AND pg_table_is_visible(oid)
"""

ENDED_SINCE = "SELECT EXISTS (SELECT FROM {} WHERE finished_at >= clock_timestamp() - %s) AS any_order"

NEXT = """
SELECT id, ARRAY(SELECT t ->> 'signature' FROM json_array_elements(tries) t) AS signatures
FROM {} WHERE id > %s ORDER BY id LIMIT %s
"""

DROP_RECORDS = """
WITH r AS (DELETE FROM restored_keys WHERE order_id = ANY(%(ids)s)),
     p AS (DELETE FROM policy_spending WHERE order_id = ANY(%(ids)s)),
     g AS (DELETE FROM oco_groups WHERE filled_by = ANY(%(ids)s)),
     c AS (DELETE FROM attempt_costs WHERE order_id = ANY(%(ids)s))
DELETE FROM idempotency_keys WHERE order_id = ANY(%(ids)s)
"""

# Only expired swaps: the ledger refuses them even if a worker still sends them, so a deleted swap cannot land again.
DROP_SWAPS = """
DELETE FROM simulated_swaps
WHERE signature = ANY(%s) AND valid_until_ms < extract(epoch FROM clock_timestamp() - %s::interval) * 1000
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of the archive: orders that were created from `start` to before `end`."""

    name: str
    start: datetime
    end: datetime


def new_partition(at: datetime, there: Sequence[Partition], days_kept: int) -> Partition:
    """Return the partition to make for an order that was created `at` (UTC): its day, or its month if orders are kept
    for long, without the times that other partitions hold."""
    start = at.replace(hour=0, minute=0, second=0, microsecond=0)
    end = start + timedelta(days=1)
    if days_kept > MOST_DAYS:
        start = start.replace(day=1)
        end = (start + timedelta(days=31)).replace(day=1)
    start = max([start, *(p.end for p in there if p.end <= at)])
    end = min([end, *(p.start for p in there if p.start > at)])
    return Partition(f"archived_orders_{start:%Y%m%d%H%M%S}".removesuffix("000000"), start, end)


class ArchiveSession:
    """Archives orders while it holds the lock. Every method raises `UnavailableError`."""

    def __init__(self, connection: Connection, days_kept: int) -> None:
        self._connection = connection
        self._days_kept = days_kept

    @classmethod
    @asynccontextmanager
    async def begin(cls, database: Database, days_kept: int) -> AsyncIterator["ArchiveSession | None"]:
        """Take the lock for the block, on a connection of its own; None if another process has it."""
        connection = await database.dedicated()
        try:
            with translate_postgres_errors():
                lock = (lock_class(database.address.schema, SessionLock.ARCHIVE),)
                row = await fetch_row(connection, "SELECT pg_try_advisory_lock(%s, 0) AS locked", lock)
            yield cls(connection, days_kept) if row and row.locked else None
        finally:
            await connection.close()

    async def archive(self, after: Place = THE_BEGINNING, rest: timedelta = REST, limit: int = BATCH) -> list[Place]:
        """Move up to `limit` orders that ended `rest` ago or earlier, oldest first, from behind `after`; returns the
        positions where they were."""
        values = {"since": after[0], "after": after[1], "rest": rest, "limit": limit}
        with translate_postgres_errors():
            ended = await fetch_rows(self._connection, ENDED, values)
            if ended:
                async with self._connection.transaction():
                    await self._make_partitions([row.created_at for row in ended])
                    await self._connection.execute(MOVE, {"ids": [row.id for row in ended]})
        return [(row.created_at, row.id) for row in ended]

    async def _make_partitions(self, times: Sequence[datetime]) -> None:
        there = await self._partitions()
        for at in times:
            if not any(p.start <= at < p.end for p in there):
                made = new_partition(at.astimezone(UTC), there, self._days_kept)
                await self._make(made)
                there.append(made)

    async def _make(self, partition: Partition) -> None:
        """Create a partition. It is attached afterwards, since CREATE ... PARTITION OF would block readers of the
        archive."""
        name = sql.Identifier(partition.name)
        bounds = (sql.Literal(partition.start), sql.Literal(partition.end))
        # A table of this name may exist: an operator may have detached it to keep it.
        name_check = await fetch_row(self._connection, "SELECT to_regclass(%s) IS NOT NULL AS taken", (partition.name,))
        if name_check.taken:
            name = sql.Identifier(f"{partition.name}_{token_hex(4)}")
        await self._connection.execute(sql.SQL("CREATE TABLE {} (LIKE archived_orders)").format(name))
        attach = sql.SQL("ALTER TABLE archived_orders ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
        await self._connection.execute(attach.format(name, *bounds))

    async def _partitions(self) -> list[Partition]:
        rows = await fetch_rows(self._connection, PARTITIONS)
        return [Partition(name=row.name, start=row.start, end=row.end) for row in rows]

    async def expired(self) -> tuple[list[Partition], list[Partition]]:
        """Return the partitions that are too old: those that may be dropped, and those that must stay because an order
        of theirs ended late."""
        kept = timedelta(days=self._days_kept)
        may_go: list[Partition] = []
        must_stay: list[Partition] = []
        with translate_postgres_errors():
            oldest = await fetch_row(self._connection, "SELECT clock_timestamp() - %s AS at", (kept,))
            for partition in await self._partitions():
                if partition.end <= oldest.at:
                    query = sql.SQL(ENDED_SINCE).format(sql.Identifier(partition.name))
                    late = await fetch_row(self._connection, query, (kept,))
                    (must_stay if late.any_order else may_go).append(partition)
        return may_go, must_stay

    async def detach(self, partition: Partition) -> bool:
        """Take a partition out of the archive: its orders cannot be read from then on. Returns False if the lock was
        not free within a second; then it must be tried again later."""
        name = partition.name.replace("archived", "dropping")
        old = sql.Identifier(partition.name)
        new = sql.Identifier(name)
        with translate_postgres_errors():
            try:
                async with self._connection.transaction():
                    # While this statement waits for its lock, all readers of the archive wait behind it.
                    await self._connection.execute("SET LOCAL lock_timeout = '1s'")
                    await self._connection.execute(
                        sql.SQL("ALTER TABLE archived_orders DETACH PARTITION {}").format(old)
                    )
                    await self._connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(old, new))
            except psycopg.errors.LockNotAvailable:
                return False
        return True

    async def clear(self) -> list[str]:
        """Drop the detached partitions, after the idempotency keys, costs and simulated swaps of their orders; returns
        the tables' names."""
        with translate_postgres_errors():
            names = [row.name for row in await fetch_rows(self._connection, DETACHED)]
            for name in names:
                # The table goes last: it lists the orders, so an interrupted run can go on from it.
                table = sql.Identifier(name)
                query = sql.SQL(NEXT).format(table)
                after = UUID(int=0)
                while rows := await fetch_rows(self._connection, query, (after, CLEARED)):
                    signatures = [signature for row in rows for signature in row.signatures]
                    await self._connection.execute(DROP_RECORDS, {"ids": [row.id for row in rows]})
                    await self._connection.execute(DROP_SWAPS, (signatures, PAST))
                    after = rows[-1].id
                await self._connection.execute(sql.SQL("DROP TABLE {}").format(table))
        return names

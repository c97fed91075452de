"""Moving finished orders into the archive, and dropping the partitions of it that are too old.

One process at a time does this, under a session lock. Each step is a commit of its own and may be the last: what moved
has moved, and whoever comes next goes on. An order that has ended never changes again, so nobody waits for us, and we
for nobody. An order that has not ended (open, set aside, or not finalized) stays in the hot tables, however old it is.

Its swaps on the simulated chain go with an order, and not before: then it is in no table any more, and nobody asks.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from uuid import UUID

import psycopg
from psycopg import sql

from dexexec.store.database import Connection, Database, fetch_row, fetch_rows, translate_postgres_errors
from dexexec.store.session import lock_class

LOCK_CLASS = 3
BATCH = 500
CLEARED = 1_000
"""Orders whose idempotency keys, and whose swaps on the simulated chain, go at once."""
REST = timedelta(hours=1)
"""How long an order stays in the hot tables after it ended: nearly all that ask for it come in this time."""
PAST = timedelta(hours=1)
"""For how long a swap on the simulated chain can land no more, at least: further than the servers' clocks are apart."""
MOST_DAYS = 92
"""Up to this many days a partition is a day, past it a month: so there are never more than about a hundred."""
THE_BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

Place = tuple[datetime, UUID]

# In the order of `orders_newest`. What has ended was created before, so the first condition bounds the search.
ENDED = """
SELECT created_at, id FROM orders o
WHERE created_at >= %(since)s AND (created_at, id) > (%(since)s, %(after)s)
  AND created_at < clock_timestamp() - %(rest)s::interval AND finished_at < clock_timestamp() - %(rest)s::interval
  AND NOT EXISTS (SELECT FROM attempts a WHERE a.order_id = o.id AND a.outcome IS NULL)
ORDER BY created_at, id LIMIT %(limit)s
"""

MOVE = """
WITH o AS (
    DELETE FROM orders WHERE id = ANY(%s) AND finished_at IS NOT NULL RETURNING *
), e AS (
    DELETE FROM order_events d USING o WHERE d.order_id = o.id RETURNING d.*
), a AS (
    DELETE FROM attempts d USING o WHERE d.order_id = o.id RETURNING d.*
)
INSERT INTO archived_orders (
    id, side, amount, venue, tx_hash, status, failure_reason, created_at, mode, input_mint, output_mint, amount_base,
    slippage_bps, deadline_at, client, amount_in, amount_out, version, rounds, attempts, finished_at, finalized_at,
    min_out, max_in, quoted_in, quoted_out, max_price_impact_bps, events, tries)
SELECT o.id, side, amount, venue, tx_hash, status, failure_reason, created_at, mode, input_mint, output_mint,
       amount_base, slippage_bps, deadline_at, client, amount_in, amount_out, version, rounds, attempts, finished_at,
       finalized_at, min_out, max_in, quoted_in, quoted_out, max_price_impact_bps, coalesce(ee.events, '[]'),
       coalesce(aa.tries, '[]')
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

ENDED_SINCE = "SELECT EXISTS (SELECT FROM {} WHERE finished_at >= clock_timestamp() - %s) AS found"

NEXT = """
SELECT id, ARRAY(SELECT t ->> 'signature' FROM json_array_elements(tries) t) AS signatures
FROM {} WHERE id > %s ORDER BY id LIMIT %s
"""

DROP_KEYS = """
WITH r AS (DELETE FROM restored_keys WHERE order_id = ANY(%(ids)s))
DELETE FROM idempotency_keys WHERE order_id = ANY(%(ids)s)
"""

# The ledger takes nothing whose time is over, whoever still sends it: so what is forgotten never lands anew.
DROP_SWAPS = """
DELETE FROM simulated_swaps
WHERE signature = ANY(%s) AND valid_until_ms < extract(epoch FROM clock_timestamp() - %s::interval) * 1000
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """A table of the archive: orders that were created from `start` to before `end`."""

    name: str
    start: datetime
    end: datetime


def new_partition(at: datetime, there: Sequence[Partition], days_kept: int) -> Partition:
    """The partition to make for an order of `at` (UTC) that has none: its day, or its month where orders are kept for
    long, without what others hold of that."""
    start = at.replace(hour=0, minute=0, second=0, microsecond=0)
    end = start + timedelta(days=1)
    if days_kept > MOST_DAYS:
        start = start.replace(day=1)
        end = (start + timedelta(days=31)).replace(day=1)
    start = max([start, *(p.end for p in there if p.end <= at)])
    end = min([end, *(p.start for p in there if p.start > at)])
    return Partition(f"archived_orders_{start:%Y%m%d%H%M%S}".removesuffix("000000"), start, end)


class ArchiveSession:
    """What one process does while it holds the lock. Every method raises `UnavailableError`."""

    def __init__(self, connection: Connection, days_kept: int) -> None:
        self._connection, self._days_kept = connection, days_kept

    @classmethod
    @asynccontextmanager
    async def begin(cls, database: Database, days_kept: int) -> AsyncIterator["ArchiveSession | None"]:
        """Take the lock for the block, on a session of its own; None when another process has it."""
        connection = await database.dedicated()
        try:
            with translate_postgres_errors():
                lock = (lock_class(database.address.schema, LOCK_CLASS),)
                row = await fetch_row(connection, "SELECT pg_try_advisory_lock(%s, 0) AS locked", lock)
            yield cls(connection, days_kept) if row and row.locked else None
        finally:
            await connection.close()

    async def archive(self, after: Place = THE_BEGINNING, rest: timedelta = REST, limit: int = BATCH) -> list[Place]:
        """Move up to `limit` orders that ended `rest` ago, oldest first, behind `after`; where they stood."""
        values = {"since": after[0], "after": after[1], "rest": rest, "limit": limit}
        with translate_postgres_errors():
            ended = await fetch_rows(self._connection, ENDED, values)
            if ended:
                async with self._connection.transaction():
                    await self._make_partitions([row.created_at for row in ended])
                    await self._connection.execute(MOVE, ([row.id for row in ended],))
        return [(row.created_at, row.id) for row in ended]

    async def _make_partitions(self, times: Sequence[datetime]) -> None:
        there = await self._partitions()
        for at in times:
            if not any(p.start <= at < p.end for p in there):
                made = new_partition(at.astimezone(UTC), there, self._days_kept)
                await self._make(made)
                there.append(made)

    async def _make(self, partition: Partition) -> None:
        """Made aside and attached, because that lets readers of the archive go on."""
        name, bounds = sql.Identifier(partition.name), (sql.Literal(partition.start), sql.Literal(partition.end))
        # A table that somebody detached to keep it is not in the way.
        exists = await fetch_row(self._connection, "SELECT to_regclass(%s) IS NOT NULL AS found", (partition.name,))
        if exists.found:
            name = sql.Identifier(f"{partition.name}_{token_hex(4)}")
        await self._connection.execute(sql.SQL("CREATE TABLE {} (LIKE archived_orders)").format(name))
        attach = sql.SQL("ALTER TABLE archived_orders ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
        await self._connection.execute(attach.format(name, *bounds))

    async def _partitions(self) -> list[Partition]:
        rows = await fetch_rows(self._connection, PARTITIONS)
        return [Partition(name=row.name, start=row.start, end=row.end) for row in rows]

    async def expired(self) -> tuple[list[Partition], list[Partition]]:
        """Partitions whose time is over: those that may go, and those that an order which ended late still keeps."""
        kept = timedelta(days=self._days_kept)
        may_go: list[Partition] = []
        must_stay: list[Partition] = []
        with translate_postgres_errors():
            oldest = await fetch_row(self._connection, "SELECT clock_timestamp() - %s AS at", (kept,))
            for partition in await self._partitions():
                if partition.end <= oldest.at:
                    query = sql.SQL(ENDED_SINCE).format(sql.Identifier(partition.name))
                    late = await fetch_row(self._connection, query, (kept,))
                    (must_stay if late.found else may_go).append(partition)
        return may_go, must_stay

    async def detach(self, partition: Partition) -> bool:
        """Take a partition out of the archive: from here on its orders are unknown. False when readers of the archive
        would have to wait for it: later, then."""
        name = partition.name.replace("archived", "dropping")
        old, new = sql.Identifier(partition.name), sql.Identifier(name)
        with translate_postgres_errors():
            try:
                async with self._connection.transaction():
                    await self._connection.execute("SET LOCAL lock_timeout = '1s'")
                    await self._connection.execute(
                        sql.SQL("ALTER TABLE archived_orders DETACH PARTITION {}").format(old)
                    )
                    await self._connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(old, new))
            except psycopg.errors.LockNotAvailable:
                return False
        return True

    async def clear(self) -> list[str]:
        """Drop what was taken out of the archive, after its idempotency keys and its swaps on the simulated chain; the
        tables' names."""
        with translate_postgres_errors():
            names = [row.name for row in await fetch_rows(self._connection, DETACHED)]
            for name in names:
                table = sql.Identifier(name)
                query = sql.SQL(NEXT).format(table)
                after = UUID(int=0)
                while rows := await fetch_rows(self._connection, query, (after, CLEARED)):
                    signatures = [signature for row in rows for signature in row.signatures]
                    await self._connection.execute(DROP_KEYS, {"ids": [row.id for row in rows]})
                    await self._connection.execute(DROP_SWAPS, (signatures, PAST))
                    after = rows[-1].id
                await self._connection.execute(sql.SQL("DROP TABLE {}").format(table))
        return names

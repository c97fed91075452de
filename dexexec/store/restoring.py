"""Fills an empty schema with the tables of a backup, in one transaction.

The schema is made by the migrations that the backup had, and migrated on to this version after the rows are in it. A
restored record is older than the chain, so no worker signs anything before both are compared (docs/adr/0015).
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

from psycopg import sql

from dexexec.errors import BackupError
from dexexec.store.database import Connection, Database
from dexexec.store.event_positions import settle_positions
from dexexec.store.migrate import LOCK, TABLE, apply_migrations
from dexexec.store.postgres_errors import translate_postgres_errors
from dexexec.store.rows import fetch_row, fetch_rows
from dexexec.store.schema import OLDEST, explain_refusals, migrations, unusable_error
from dexexec.store.snapshots import LEFT_OUT, CopiedTable, lift_time_limits, list_tables

# An extension's views and tables are no obstacle: many servers have them in each new database.
OCCUPANTS = """
SELECT c.relname AS name FROM pg_class c
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1 LIMIT 1
"""
SERVER = "SELECT current_setting('server_version_num')::int / 10000 AS version"

COPY_IN = "COPY {} ({}) FROM STDIN"
ATTACH = "ALTER TABLE archived_orders ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})"
COUNT_ON = "SELECT setval(pg_get_serial_sequence(quote_ident(%s), %s), %s)"

# A backup that is restored into the Postgres that it was made of has the right identity, and is too old all the same.
# Without an identity that any Postgres has, each worker compares before it signs.
NOT_COMPARED = """
UPDATE chain_comparisons SET identity = 'restored', pending = NULL, dead_height = NULL, back_to = NULL,
                             begun_at = NULL, stopped_at = NULL
"""
OF_NO_POSTGRES = "UPDATE installation SET identity = 'restored'"

# Transactions of another Postgres are numbered differently. The oracle reads what was changed since a number, and would
# never see an order whose number is far ahead.
RESTED_NOW = "UPDATE orders SET rested_xid = pg_current_xact_id() WHERE rested_xid IS NOT NULL"

# The workers of the original did not crash on these orders.
FREE = """
UPDATE orders SET worker = NULL, claims = greatest(claims - 1, 0) WHERE worker IS NOT NULL AND finished_at IS NULL
"""

RESTORED = """
SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM archived_orders) AS orders,
       (SELECT count(*) FROM orders WHERE finished_at IS NULL) AS open
"""


class Restoring:
    """The transaction that restores. Nothing of it is visible before `begin`'s block ends without an error."""

    def __init__(self, connection: Connection, applied: Sequence[str], doing: list[str]) -> None:
        self._connection = connection
        self._applied = applied
        self._doing = doing

    @classmethod
    @asynccontextmanager
    async def begin(cls, database: Database, applied: Sequence[str]) -> AsyncIterator[Self]:
        """Make the tables as the migrations in `applied` left them. Raises `UnusableError` if the schema is not empty
        or Postgres refuses something, and `UnavailableError`."""
        doing = ["to list its tables"]
        connection = await database.dedicated()
        try:
            with (
                translate_postgres_errors(),
                explain_refusals(database.address, doing),
                connection.without_time_limits(),
            ):
                async with connection.transaction():
                    await lift_time_limits(connection)
                    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                    await _check_empty(connection, database)
                    doing.append("to create tables")
                    schema = sql.Identifier(database.address.schema)
                    await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
                    await connection.execute(TABLE.encode())
                    chosen = [(name, text) for name, text in migrations() if name in set(applied)]
                    await apply_migrations(connection, chosen, doing)
                    yield cls(connection, applied, doing)
        finally:
            await connection.close()

    async def check_tables(self, tables: Sequence[CopiedTable]) -> None:
        """Raise `BackupError` unless these are all tables that the record has at this version of the schema, and
        empty them: some migrations insert rows."""
        there = {row.name for row in await list_tables(self._connection)} - LEFT_OUT
        given = {table.name for table in tables if table.kind == "table"}
        if there != given:
            [odd, *_] = sorted(there ^ given)
            raise BackupError(f"its tables are not those of its schema's version ({odd})")
        for table in reversed(tables):
            if table.kind == "table":
                await self._connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))

    async def fill(self, table: CopiedTable, blocks: Iterable[bytes]) -> int:
        """Store the rows of a table, and return how many there were. What `blocks` raises is passed on."""
        self._doing.append(f"the rows of {table.name}")
        name = sql.Identifier(table.name)
        if table.kind != "table":
            await self._connection.execute(sql.SQL("CREATE TABLE {} (LIKE archived_orders)").format(name))
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        cursor = self._connection.cursor()
        async with cursor.copy(sql.SQL(COPY_IN).format(name, columns)) as copy:
            for block in blocks:
                await copy.write(block)
        rows = cursor.rowcount
        if table.kind == "partition":
            bounds = (sql.Literal(table.start), sql.Literal(table.end))
            await self._connection.execute(sql.SQL(ATTACH).format(name, *bounds))
        return rows

    async def finish(self, numbers: Mapping[str, int]) -> tuple[int, int]:
        """Migrate to this version, and make the record one that is not compared with the chain. Returns how many
        orders there are, and how many of them have not ended."""
        await apply_migrations(
            self._connection, [one for one in migrations() if one[0] not in set(self._applied)], self._doing
        )
        self._doing.append("to complete the record")
        for row in await list_tables(self._connection):
            if row.counter is not None and numbers.get(row.name):
                await self._connection.execute(COUNT_ON, (row.name, row.counter, numbers[row.name]))
        for statement in (NOT_COMPARED, OF_NO_POSTGRES, RESTED_NOW, FREE):
            await self._connection.execute(statement)
        await settle_positions(self._connection)
        # The planner would take the tables for empty until autovacuum has read them.
        await self._connection.execute("ANALYZE orders, order_events, attempts, archived_orders, idempotency_keys")
        counts = await fetch_row(self._connection, RESTORED)
        return counts.orders, counts.open


async def _check_empty(connection: Connection, database: Database) -> None:
    address = database.address
    server = await fetch_row(connection, SERVER)
    if server.version < OLDEST:
        raise unusable_error(address, f"it is Postgres {server.version}, and {OLDEST} or newer is needed")
    if occupants := await fetch_rows(connection, OCCUPANTS, (address.schema,)):
        raise unusable_error(
            address,
            f"a backup is only restored into an empty schema, and {address.schema} has {occupants[0].name}: set"
            " PG_SCHEMA or PG_DATABASE to a new one, or without PG_HOST another DEXEXEC_DATA_DIR",
        )

"""Reads the whole record as of one moment, for a backup: every table in the text format of COPY.

All tables are read in one transaction, so they fit each other although orders go on meanwhile. Nothing that executes
orders waits for it.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from psycopg import sql

from dexexec.errors import UnavailableError
from dexexec.store.database import Connection, Database
from dexexec.store.postgres_errors import translate_postgres_errors
from dexexec.store.rows import fetch_row, fetch_rows
from dexexec.store.schema import MIGRATIONS, inspect_schema, table_names, unusable_error

Kind = Literal["table", "partition", "detached"]

LEFT_OUT = frozenset({MIGRATIONS, "workers", "write_probes"})
"""Tables that a copy of the record does not need: the names of migrations are in the manifest, and no worker of the
original works on the copy."""
BLOCK = 1 << 18
"""Bytes that are written at once."""
TRIES = 5
"""How often the list of tables may change just when they are locked."""

# A referenced table was created before the table that refers to it, so the order of creation is one in which they can
# be filled again.
TABLES = r"""
SELECT c.relname AS name,
       CASE WHEN i.inhparent IS NOT NULL THEN 'partition' WHEN c.relname = ANY(%(names)s) THEN 'table' ELSE 'detached'
       END AS kind,
       ARRAY(SELECT attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
             AND attgenerated = '' ORDER BY attnum) AS columns,
       (SELECT attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND attidentity <> '') AS counter,
       bounds[1] AS start, bounds[2] AS end
FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = to_regclass('archived_orders')
LEFT JOIN LATERAL
    regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') AS bounds ON true
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind = 'r'
  AND (c.relname = ANY(%(names)s) OR i.inhparent IS NOT NULL OR c.relname LIKE 'dropping\_orders\_%%')
ORDER BY c.oid
"""

FACTS = """
SELECT clock_timestamp() AS taken_at, current_setting('server_version') AS postgres,
       (SELECT name FROM installation) AS record,
       ARRAY(SELECT name FROM schema_migrations ORDER BY 1) AS migrations
"""

NUMBERS = """
SELECT name, coalesce(pg_sequence_last_value(pg_get_serial_sequence(quote_ident(name), counter)::regclass), 0) AS last
FROM unnest(%s::text[], %s::text[]) AS t(name, counter)
"""

# A copy runs as long as it takes. Between two blocks of it the file is written, which may take a while too.
NO_LIMITS = ("SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0")
ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
COPY_OUT = "COPY {} ({}) TO STDOUT"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedTable:
    """A table of the record. A partition of the archive has bounds, `start` and `end`; a detached one is about to be
    dropped, and lists the orders whose keys go with it."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFacts:
    """What a snapshot is of. `numbers` has the last number that the counter of each table has given out."""

    taken_at: datetime
    postgres: str
    record: str
    migrations: tuple[str, ...]
    numbers: Mapping[str, int]
    tables: tuple[CopiedTable, ...]


class Snapshot:
    """The record as of one moment, while the transaction that reads it lasts."""

    def __init__(self, connection: Connection, facts: SnapshotFacts) -> None:
        self._connection = connection
        self.facts = facts

    @classmethod
    @asynccontextmanager
    async def begin(cls, database: Database) -> AsyncIterator[Self]:
        """Take one for the block. Raises `UnusableError` if there is no record, or one of a newer version, and
        `UnavailableError`."""
        connection = await database.dedicated()
        try:
            with translate_postgres_errors(), connection.without_time_limits():
                state = await inspect_schema(connection, database.address)
                state.refuse_newer()
                if not state.applied:
                    raise unusable_error(database.address, f"its schema {database.address.schema} has no record")
                for _ in range(TRIES):
                    tables = await list_tables(connection)
                    async with connection.transaction():
                        await _fix_moment(connection, tables)
                        if await list_tables(connection) == tables:
                            yield cls(connection, await _read_facts(connection, tables))
                            return
                raise UnavailableError("partitions of the archive are made and dropped all the time")
        finally:
            await connection.close()

    async def copy(self, table: CopiedTable, write: Callable[[bytes], None]) -> int:
        """Pass the rows of a table to `write`, in blocks, and return how many there were. Raises
        `UnavailableError`."""
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        statement = sql.SQL(COPY_OUT).format(sql.Identifier(table.name), columns)
        rows: list[bytes] = []
        size = 0
        cursor = self._connection.cursor()
        with translate_postgres_errors():
            async with cursor.copy(statement) as copy:
                async for row in copy:
                    rows.append(bytes(row))
                    size += len(row)
                    if size >= BLOCK:  # one call for many rows: a row has some hundred bytes
                        write(b"".join(rows))
                        rows.clear()
                        size = 0
        write(b"".join(rows))
        return cursor.rowcount


async def list_tables(connection: Connection) -> list[Any]:
    """Return the tables that hold the record, in an order in which they can be filled."""
    return await fetch_rows(connection, TABLES, {"names": sorted(table_names() - {MIGRATIONS})})


async def lift_time_limits(connection: Connection) -> None:
    """Let the current transaction take as long as it needs."""
    for statement in NO_LIMITS:
        await connection.execute(statement)


async def _fix_moment(connection: Connection, tables: Sequence[Any]) -> None:
    await connection.execute(ONE_MOMENT)
    await lift_time_limits(connection)
    # Before the first query, which fixes the moment: from here on no table can be changed or dropped. Statements that
    # read or write rows are not blocked.
    names = sql.SQL(", ").join(sql.Identifier(row.name) for row in tables)
    await connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))


async def _read_facts(connection: Connection, rows: Sequence[Any]) -> SnapshotFacts:
    facts = await fetch_row(connection, FACTS)
    counted = [row for row in rows if row.counter is not None]
    numbers = ([row.name for row in counted], [row.counter for row in counted])
    return SnapshotFacts(
        taken_at=facts.taken_at,
        postgres=facts.postgres,
        record=facts.record,
        migrations=tuple(facts.migrations),
        numbers={row.name: row.last for row in await fetch_rows(connection, NUMBERS, numbers)},
        tables=tuple(
            CopiedTable(name=row.name, kind=row.kind, columns=tuple(row.columns), start=row.start, end=row.end)
            for row in rows
            if row.name not in LEFT_OUT
        ),
    )

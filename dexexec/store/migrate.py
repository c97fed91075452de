"""Migrates the schema: applies the numbered files in `sql/`, each once, all under one lock."""

from collections.abc import Callable, Sequence

from psycopg import sql

from dexexec.store.database import Connection, Database
from dexexec.store.event_positions import positions_are_ahead, settle_positions
from dexexec.store.permissions import check_rights
from dexexec.store.schema import (
    MIGRATIONS,
    ORDERS,
    TAKEN_OVER,
    count_taken_over,
    explain_refusals,
    inspect_schema,
    migrations,
)

__all__ = ["apply_migrations", "migrate", "migrations"]

LOCK = 0x64657865  # "dexe": any number that other users of the database are unlikely to take

TABLE = f"""
CREATE TABLE IF NOT EXISTS {MIGRATIONS} (
    name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
"""


async def migrate(database: Database, report: Callable[[str], None] = lambda _: None) -> list[str]:
    """Apply the missing migrations and return their names. If one fails, none is applied.

    Several processes may call this at once: one applies, the others wait. If none is missing, no right to change the
    schema is needed. `report` is called with a line if an older table of orders was taken over. Raises `UnusableError`
    with what prevents the migration.
    """
    address = database.address
    doing = ["to list its tables"]
    async with database.connection() as connection:
        with explain_refusals(address, doing):
            state = await inspect_schema(connection, address)
            state.check()
            if not state.pending:
                await check_rights(connection, address)
                if not await positions_are_ahead(connection):
                    return []
            async with connection.transaction():
                with connection.without_time_limits():
                    # A migration may copy a long history, and the lock may be held by a process that does so.
                    await connection.execute("SET LOCAL statement_timeout = 0")
                    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                    state = await inspect_schema(connection, address)  # another process may have migrated meanwhile
                    state.check()
                    if not state.schema_exists:
                        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(address.schema)))
                    if state.has_older_table:
                        doing.append(f"to rename its table {ORDERS}")
                        rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
                        await connection.execute(rename.format(sql.Identifier(ORDERS), sql.Identifier(TAKEN_OVER)))
                    doing.append("to create tables")
                    if not state.applied:
                        await connection.execute(TABLE.encode())
                    await apply_migrations(connection, state.pending, doing)
                    # A dump of another Postgres was restored here by hand: see `store.event_positions`.
                    doing.append("to replace its function event_base()")
                    await settle_positions(connection)
                    taken_over = await count_taken_over(connection) if state.has_older_table else None
    if taken_over:
        rows, copied = taken_over
        report(
            f"the existing table {ORDERS} was renamed to {TAKEN_OVER}: {copied} of its {rows} rows were copied as"
            " orders that can be read and are not executed"
        )
    return [name for name, _ in state.pending]


async def apply_migrations(connection: Connection, pending: Sequence[tuple[str, str]], doing: list[str]) -> None:
    """Apply migrations in the current transaction, which has the lock. The last item of `doing` names the current
    action."""
    for name, text in pending:
        doing.append(f"the statements of sql/{name}")
        await connection.execute(text.encode())  # bytes: a file is trusted text, but not a literal
        await connection.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (name,))

"""Brings the schema up to date: numbered files in `sql/`, each applied once, all under one lock."""

from collections.abc import Callable

from psycopg import sql

from dexexec.store.database import Database
from dexexec.store.permissions import check_rights
from dexexec.store.schema import (
    MIGRATIONS,
    ORDERS,
    TAKEN_OVER,
    count_taken_over,
    explained,
    look,
    migrations,
)

__all__ = ["migrate", "migrations"]

LOCK = 0x64657865  # "dexe": any number that other users of the database are unlikely to take

TABLE = f"""
CREATE TABLE IF NOT EXISTS {MIGRATIONS} (
    name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
"""


async def migrate(database: Database, tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """Apply what is missing and return its names. Several processes may call this at once: one applies, the others
    wait for it. A file that fails leaves everything as it was. Where nothing is missing, no right to change the schema
    is needed. `tell` is handed a line when a table of before was taken over. Raises `UnusableError` with what stands in
    the way."""
    address = database.address
    doing = ["to tell what its tables are"]
    async with database.connection() as connection:
        with explained(address, doing):
            state = await look(connection, address)
            state.check()
            if not state.pending:
                await check_rights(connection, address)
                return []
            async with connection.transaction():
                with connection.without_time_limits():
                    await connection.execute("SET LOCAL statement_timeout = 0")  # a long history takes its time
                    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                    state = await look(connection, address)  # somebody else may have done it meanwhile
                    state.check()
                    if not state.there:
                        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(address.schema)))
                    if state.takes_over:
                        doing.append(f"to rename its table {ORDERS}")
                        rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
                        await connection.execute(rename.format(sql.Identifier(ORDERS), sql.Identifier(TAKEN_OVER)))
                    doing.append("to make tables")
                    if not state.applied:
                        await connection.execute(TABLE.encode())
                    for name, text in state.pending:
                        doing.append(f"what sql/{name} does")
                        await connection.execute(text.encode())  # bytes: a file is trusted text, but not a literal
                        await connection.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (name,))
                    taken_over = await count_taken_over(connection) if state.takes_over else None
    if taken_over:
        rows, copied = taken_over
        tell(
            f"the table {ORDERS} that was there before is {TAKEN_OVER} now: {copied} of its {rows} rows can be read as"
            " orders, and none is executed"
        )
    return [name for name, _ in state.pending]

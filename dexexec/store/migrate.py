"""Brings the schema up to date: numbered files in `sql/`, each applied once, all under one lock."""

from importlib.resources import files

from dexexec.store.database import Database

LOCK = 0x64657865  # "dexe": any number that other users of the database are unlikely to take

TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
"""


def migrations() -> list[tuple[str, str]]:
    """(file name, SQL) in order."""
    folder = files("dexexec") / "sql"
    return sorted((file.name, file.read_text()) for file in folder.iterdir() if file.name.endswith(".sql"))


async def migrate(database: Database) -> list[str]:
    """Apply what is missing and return its names. Several processes may call this at once: one applies, the others
    wait for it. A file that fails leaves everything as it was."""
    applied = []
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")  # a long history takes its time
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute(TABLE)
        rows = await connection.execute("SELECT name FROM schema_migrations")
        done = {name for (name,) in await rows.fetchall()}
        for name, sql in migrations():
            if name not in done:
                await connection.execute(sql.encode())  # bytes: a file is trusted text, but not a literal
                await connection.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (name,))
                applied.append(name)
    return applied

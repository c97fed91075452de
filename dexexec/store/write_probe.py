"""Checks that Postgres takes writes, by a write that needs room on the disk.

Used by readiness (docs/adr/0022).
"""

from dexexec.store.database import Database

# TRUNCATE makes a new file, so it fails on a full disk. An update of an existing row needs no room and would pass,
# although each order is refused. It is left out if another process has done it within a second, and if the lock is
# taken (a backup reads the table): the INSERT alone shows everything but a full disk.
PROBE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM write_probes WHERE at > clock_timestamp() - interval '1 s') THEN
        BEGIN
            LOCK TABLE write_probes IN ACCESS EXCLUSIVE MODE NOWAIT;
            TRUNCATE write_probes;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END IF;
    INSERT INTO write_probes VALUES (clock_timestamp());
END $$
"""


async def write(database: Database) -> None:
    """Commit a row. Raises `UnavailableError`."""
    async with database.connection() as connection:
        await connection.execute(PROBE.encode())

"""Whether Postgres takes writes: only a write tells, and only one that asks the file system for room.

An update of a row that is there needs no room, and passes on a full disk that refuses each order. So the table of the
probe is emptied first, which makes a new file of it.
"""

from dexexec.store.database import Database

# A probe of another process that is a second old at most has shown that there is room. Whoever reads the table, such as
# a backup, is not waited for: then a row is added to it, which shows all but that.
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

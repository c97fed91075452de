"""Finds out whether a standby of Postgres may lack the last commits when it is promoted."""

from dexexec.store.database import Database
from dexexec.store.rows import fetch_row

# All receivers of the log except backups and logical replication, which are not standbys. A role without
# pg_read_all_stats sees how many there are but not their state (it is null); then only the setting can be used.
LOOK = """
SELECT unnamed, EXISTS (
    SELECT FROM pg_stat_replication r
    WHERE (unnamed OR sync_state = 'async') AND state IS DISTINCT FROM 'backup'
      AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
) AS connected
FROM (SELECT btrim(current_setting('synchronous_standby_names')) = '' AS unnamed) s
"""


async def has_asynchronous_standby(database: Database) -> bool:
    """Whether there is a standby that commits do not wait for: one that is connected now, or another host of our
    address while no synchronous standby is configured. Raises `UnavailableError`."""
    async with database.connection() as connection:
        row = await fetch_row(connection, LOOK)
    return bool(row.connected or (row.unnamed and len(database.address.hosts) > 1))

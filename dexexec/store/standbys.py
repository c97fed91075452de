"""Whether a standby of Postgres may lack the last commits when it is promoted."""

from dexexec.store.database import Database, fetch_row

# Who receives the log, but for a backup that is being made and for logical replication, which is no standby. A role
# without pg_read_all_stats sees how many there are and not their state: then it is the setting that tells.
LOOK = """
SELECT unnamed, EXISTS (
    SELECT FROM pg_stat_replication r
    WHERE (unnamed OR sync_state = 'async') AND state IS DISTINCT FROM 'backup'
      AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
) AS connected
FROM (SELECT btrim(current_setting('synchronous_standby_names')) = '' AS unnamed) s
"""


async def has_asynchronous_standby(database: Database) -> bool:
    """Whether there is a standby that commits do not wait for: connected now, or named among our hosts where they wait
    for none. Raises `UnavailableError`."""
    async with database.connection() as connection:
        row = await fetch_row(connection, LOOK)
    return bool(row.connected or (row.unnamed and len(database.address.hosts) > 1))

"""Reads how well the newest attempts landed, for each endpoint that they were sent to."""

from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows

NEWEST_ATTEMPTS = 1_000
"""Attempts that count at most."""
RECENT_HOURS = 24
"""Their age at most. Orders that are archived have left the table."""

# The limit makes this a bounded read of `attempts_sent`, however many attempts there are. A swap that is confirmed and
# not final has no outcome yet, and is in a block.
FIGURES = f"""
WITH recent AS MATERIALIZED (
    SELECT sends, outcome IS NULL OR outcome IN ('landed', 'failed') AS landed FROM attempts
    WHERE sends IS NOT NULL AND created_at > clock_timestamp() - interval '{RECENT_HOURS} hours'
    ORDER BY created_at DESC LIMIT {NEWEST_ATTEMPTS}
), one AS (
    SELECT s.endpoint, s."sendOnly" AS send_only, s.answer = 'accepted' AS accepted,
           s.answer = 'accepted' AND landed AS landed, s."landingSlots" AS slots, s."landingMs" AS ms
    FROM recent CROSS JOIN LATERAL jsonb_to_recordset(sends)
        AS s(endpoint text, "sendOnly" bool, sends int, answer text, "landingSlots" int, "landingMs" int)
    WHERE s.sends > 0
)
SELECT endpoint, bool_and(send_only) AS send_only, count(*) AS attempts, count(*) FILTER (WHERE accepted) AS accepted,
       count(*) FILTER (WHERE landed) AS landed,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY slots) FILTER (WHERE landed) AS slots_p50,
       percentile_disc(0.9) WITHIN GROUP (ORDER BY slots) FILTER (WHERE landed) AS slots_p90,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE landed) AS ms_p50,
       percentile_disc(0.9) WITHIN GROUP (ORDER BY ms) FILTER (WHERE landed) AS ms_p90
FROM one GROUP BY 1 ORDER BY 2, 1
"""  # noqa: S608 - constants


async def read_endpoint_figures(database: Database) -> list[EndpointFigures]:
    """Return the figures of each endpoint, nodes first."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, FIGURES)
    return [EndpointFigures(**row._asdict()) for row in rows]

"""Sums dry runs for the paper ledger, whether they are in the main tables or in the archive."""

from datetime import datetime

from dexexec.domain.order import Side
from dexexec.domain.paper import PaperLine
from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows

# One statement, so that an order which moves to the archive meanwhile is counted exactly once. The last event of a dry
# run has its fees. The conditions of each half are those of its index (sql/0023). A recurring order is the sum of its
# slices, which are runs of their own.
LEDGER = """
WITH runs AS (
    SELECT o.tag, o.side, o.input_mint, o.output_mint, o.status, o.amount_in, o.amount_out, o.finished_at, e.detail
    FROM orders o JOIN order_events e ON e.order_id = o.id AND e.seq = o.version
    WHERE o.dry_run AND o.finished_at IS NOT NULL AND o.finished_at >= %(since)s AND o.type <> 'recurring'
    UNION ALL
    SELECT tag, side, input_mint, output_mint, status, amount_in, amount_out, finished_at,
           (events -> -1 -> 'detail')::jsonb
    FROM archived_orders WHERE dry_run AND finished_at >= %(since)s AND type <> 'recurring'
), fills AS (
    SELECT *, status = 'simulated' AS filled, (detail ->> 'networkFee')::numeric AS network_fee,
           (detail ->> 'venueFee')::numeric AS venue_fee,
           detail ->> 'venueFeeMint' = CASE side WHEN 'buy' THEN input_mint ELSE output_mint END AS fee_is_spent
    FROM runs WHERE %(tag)s::text IS NULL OR tag = %(tag)s
)
SELECT tag, side, input_mint, output_mint,
       count(*) FILTER (WHERE filled) AS simulated,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE status = 'expired') AS expired,
       count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
       coalesce(sum(amount_in) FILTER (WHERE filled), 0) AS amount_in,
       coalesce(sum(amount_out) FILTER (WHERE filled), 0) AS amount_out,
       coalesce(sum(network_fee) FILTER (WHERE filled), 0) AS network_fee,
       coalesce(sum(venue_fee) FILTER (WHERE filled AND fee_is_spent), 0) AS venue_fee_in,
       coalesce(sum(venue_fee) FILTER (WHERE filled AND NOT fee_is_spent), 0) AS venue_fee_out,
       min(finished_at) AS first, max(finished_at) AS last
FROM fills
GROUP BY tag, side, input_mint, output_mint
ORDER BY tag NULLS LAST, input_mint, output_mint, side
"""


async def read_paper(database: Database, since: datetime, tag: str | None) -> list[PaperLine]:
    """Return the sums of the dry runs that ended since then: of one tag, or of all (None). Raises
    `UnavailableError`."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, LEDGER, {"since": since, "tag": tag})
    return [
        PaperLine(
            tag=row.tag,
            side=Side(row.side),
            input_mint=row.input_mint,
            output_mint=row.output_mint,
            simulated=row.simulated,
            failed=row.failed,
            expired=row.expired,
            cancelled=row.cancelled,
            amount_in=int(row.amount_in),
            amount_out=int(row.amount_out),
            network_fee=int(row.network_fee),
            venue_fee_in=int(row.venue_fee_in),
            venue_fee_out=int(row.venue_fee_out),
            first=row.first,
            last=row.last,
        )
        for row in rows
    ]

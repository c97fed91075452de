"""Reads what became of the newest orders, in buckets of time."""

from datetime import UTC, datetime, timedelta

from dexexec.domain.order_stats import OrderStats, StatsBucket
from dexexec.store.cancellations import OWNED
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row, fetch_rows

NEWEST_ORDERS = 5_000
"""Orders that are read at most: these take about 40 ms, of 50,000 in the table."""

NOW = "SELECT clock_timestamp() AS now"
# The limit makes this a bounded read of `orders_newest` (or `orders_owner`), however many orders there are. OFFSET 0
# keeps the subqueries lookups by primary key: as joins, the planner would read whole tables. Of an order that is
# confirmed again after a fork the first time counts.
STATS = f"""
WITH newest AS MATERIALIZED (
    SELECT id, status, created_at, attempts FROM orders o
    WHERE created_at >= %(since)s AND {OWNED} ORDER BY created_at DESC, id DESC LIMIT {NEWEST_ORDERS + 1}
)
SELECT floor(extract(epoch FROM o.created_at) / %(bucket)s)::bigint AS number, count(*) AS accepted,
       count(*) FILTER (WHERE status = 'confirmed') AS confirmed, count(*) FILTER (WHERE status = 'failed') AS failed,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY c.ms) AS p50_ms,
       percentile_disc(0.9) WITHIN GROUP (ORDER BY c.ms) AS p90_ms,
       percentile_disc(0.99) WITHIN GROUP (ORDER BY c.ms) AS p99_ms,
       coalesce(sum(a.landed), 0)::int AS landed, coalesce(sum(a.expired), 0)::int AS expired,
       coalesce(sum(a.failed), 0)::int AS failed_on_chain
FROM newest o
LEFT JOIN LATERAL (
    SELECT round(extract(epoch FROM min(e.at) - o.created_at) * 1000)::int AS ms FROM order_events e
    WHERE e.order_id = o.id AND e.status = 'confirmed' OFFSET 0
) c ON o.status = 'confirmed'
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE outcome = 'landed' OR outcome IS NULL AND o.status = 'confirmed') AS landed,
           count(*) FILTER (WHERE outcome = 'expired') AS expired, count(*) FILTER (WHERE outcome = 'failed') AS failed
    FROM attempts WHERE order_id = o.id OFFSET 0
) a ON o.attempts > 0
GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - constants


async def read_order_stats(
    database: Database, minutes: int, bucket_seconds: int, owner: int | None = None
) -> OrderStats:
    """Return the statistics of the orders of `owner` (None: of all) that were accepted in the last minutes. Archived
    orders are not in them: an order is archived an hour after its end at the earliest."""
    async with database.connection() as connection:
        until = (await fetch_row(connection, NOW)).now
        # From the beginning of a bucket: a first one that is cut off would look like fewer orders.
        first = int((until - timedelta(minutes=minutes)).timestamp()) // bucket_seconds * bucket_seconds
        since = datetime.fromtimestamp(first, UTC)
        rows = await fetch_rows(connection, STATS, {"since": since, "bucket": bucket_seconds, "owner": owner})
    buckets = tuple(
        StatsBucket(
            at=datetime.fromtimestamp(row.number * bucket_seconds, UTC),
            accepted=row.accepted,
            confirmed=row.confirmed,
            failed=row.failed,
            other=row.accepted - row.confirmed - row.failed,
            p50_ms=row.p50_ms,
            p90_ms=row.p90_ms,
            p99_ms=row.p99_ms,
            landed=row.landed,
            expired=row.expired,
            failed_on_chain=row.failed_on_chain,
        )
        for row in rows
    )
    truncated = sum(bucket.accepted for bucket in buckets) > NEWEST_ORDERS
    return OrderStats(
        since=since, until=until.astimezone(UTC), bucket_seconds=bucket_seconds, buckets=buckets, truncated=truncated
    )

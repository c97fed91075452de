"""Figures of the whole service that are read when Prometheus reads the metrics."""

from dataclasses import dataclass

from dexexec.store.cancellations import OWNED
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row, fetch_rows

# Both parts read an index of open orders only, however many orders have ended.
OPEN_ORDERS = f"""
SELECT status, type, count(*) AS orders FROM orders o WHERE finished_at IS NULL AND {OWNED} GROUP BY status, type
"""  # noqa: S608 - a constant
OLDEST = f"""
SELECT extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS seconds,
       extract(epoch FROM clock_timestamp()
               - min(created_at) FILTER (WHERE status = 'pending' AND worker IS NULL))::float8 AS waiting_seconds,
       count(*) FILTER (WHERE status = 'pending' AND worker IS NULL) AS waiting
FROM orders o WHERE finished_at IS NULL AND NOT resting AND created_at > '-infinity' AND {OWNED}
"""  # noqa: S608 - a constant
RESERVED = """
SELECT a.network, a.wallet, coalesce(nullif(s.key, ''), 'lamports') AS mint, sum(s.value::numeric) AS amount
FROM attempts a CROSS JOIN LATERAL jsonb_each_text(a.spends) s
WHERE a.wallet IS NOT NULL AND a.resolved_at IS NULL GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """Orders that have not ended, by status and type, and the age (seconds) of the oldest that does not rest, and of
    the oldest of those `waiting`, which no worker has claimed yet."""

    counts: dict[tuple[str, ...], int]
    oldest_seconds: float
    oldest_waiting_seconds: float
    waiting: int


async def read_open_orders(database: Database, owner: int | None = None) -> OpenOrders:
    """Count the orders of `owner` (None: of all) that have not ended."""
    values = {"owner": owner}
    async with database.connection() as connection:
        rows = await fetch_rows(connection, OPEN_ORDERS, values)
        # The same predicate as that of the index of orders that move, so that resting ones are not read.
        oldest = await fetch_row(connection, OLDEST, values)
    counts: dict[tuple[str, ...], int] = {(str(row.status), str(row.type)): int(row.orders) for row in rows}
    return OpenOrders(counts, max(0.0, oldest.seconds or 0.0), max(0.0, oldest.waiting_seconds or 0.0), oldest.waiting)


async def read_reserved(database: Database) -> dict[tuple[str, ...], int]:
    """What open attempts may still take, in base units by network, wallet and mint (`lamports` for SOL)."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, RESERVED)
    return {(row.network or "", row.wallet, row.mint): int(row.amount) for row in rows}

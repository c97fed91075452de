"""What Postgres has after a load. The client's counts are compared with it, and rates are measured by its clock."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row

COUNTS = """
SELECT count(*) AS orders,
       count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
       count(*) FILTER (WHERE finished_at IS NULL) AS unfinished,
       min(created_at) AS first_created, max(finished_at) AS last_finished,
       count(*) FILTER (WHERE finished_at < %(since)s + %(window)s) AS finished_in_window,
       count(*) FILTER (WHERE created_at < %(since)s + %(window)s) AS created_in_window
FROM orders WHERE created_at >= %(since)s
"""

# More swaps on the simulated chain than confirmed orders mean that a swap was executed twice. Both tables are counted
# as a whole, because the database is new for each part.
DOUBLES = """
SELECT (SELECT count(*) FROM simulated_swaps WHERE NOT lost)
       - (SELECT count(*) FROM orders WHERE status = 'confirmed') AS superfluous_swaps,
       (SELECT count(*) FROM (SELECT FROM attempts WHERE outcome = 'landed' AND created_at >= %(since)s
                              GROUP BY order_id HAVING count(*) > 1) twice) AS landed_twice,
       (SELECT count(*) FROM (SELECT FROM orders o LEFT JOIN order_events e ON o.id = e.order_id
                              WHERE o.created_at >= %(since)s
                              GROUP BY o.id, o.version HAVING count(e.seq) <> o.version) gaps) AS with_gaps
"""

# Event 2 is the first one that a worker writes.
WAITS = """
SELECT extract(epoch FROM o.created_at - %(since)s)::int AS second, count(*) AS orders,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY e.at - o.created_at) AS p50,
       max(e.at - o.created_at) AS longest,
       percentile_disc(0.99) WITHIN GROUP (ORDER BY o.finished_at - o.created_at) AS finished_p99
FROM orders o JOIN order_events e ON e.order_id = o.id AND e.seq = 2
WHERE o.created_at >= %(since)s GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCounts:
    """The orders of one load. `seconds` lie between the first order's creation and the last order's end; `finished` and
    `created` count what happened inside the window."""

    orders: int
    confirmed: int
    unfinished: int
    seconds: float
    finished: int
    created: int

    @property
    def rate(self) -> float:
        """Confirmed orders per second, from creation to end."""
        return self.confirmed / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOfLoad:
    """The orders created in one second of a load: how long they waited for a worker, and until they ended (seconds)."""

    second: int
    orders: int
    p50: float
    longest: float
    finished_p99: float


class BenchDatabase:
    """Queries on the database of one part."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def now(self) -> datetime:
        """The time by the database's clock, which also set all other times here."""
        now: datetime = self._row("SELECT clock_timestamp() AS now")["now"]
        return now

    def all_ended(self) -> bool:
        """Whether every order has ended."""
        return not self._row("SELECT EXISTS (SELECT FROM orders WHERE finished_at IS NULL) AS waiting")["waiting"]

    def counts(self, since: datetime, window: float) -> OrderCounts:
        """Count the orders created from `since` on."""
        row = self._row(COUNTS, {"since": since, "window": timedelta(seconds=window)})
        first = row["first_created"]
        last = row["last_finished"]
        return OrderCounts(
            orders=row["orders"],
            confirmed=row["confirmed"],
            unfinished=row["unfinished"],
            seconds=(last - first).total_seconds() if first and last else 0.0,
            finished=row["finished_in_window"],
            created=row["created_in_window"],
        )

    def doubles(self, since: datetime) -> tuple[int, int, int]:
        """Swaps beyond the confirmed orders; and of the orders created from `since` on, how many landed twice, and how
        many miss an event."""
        row = self._row(DOUBLES, {"since": since})
        return row["superfluous_swaps"], row["landed_twice"], row["with_gaps"]

    def waits(self, since: datetime) -> list[SecondOfLoad]:
        """How long orders waited, by the second in which they were created."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(WAITS, {"since": since}).fetchall()
        return [
            SecondOfLoad(
                second=row["second"],
                orders=row["orders"],
                p50=row["p50"].total_seconds(),
                longest=row["longest"].total_seconds(),
                finished_p99=row["finished_p99"].total_seconds() if row["finished_p99"] else 0.0,
            )
            for row in rows
        ]

    def wal_bytes(self) -> int:
        """Bytes of the write-ahead log that the server has written, for all its databases."""
        return int(self._row("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS bytes")["bytes"])

    def _row(self, statement: LiteralString, values: dict[str, Any] | None = None) -> DictRow:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(statement, values).fetchone()
        assert row is not None  # noqa: S101 - each of these statements returns one row
        return row

"""What Postgres says about a load that is over: the client's counts are checked against it, rates are by its clock."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import TupleRow

OUTCOME = """
SELECT count(*), count(*) FILTER (WHERE status = 'confirmed'), count(*) FILTER (WHERE finished_at IS NULL),
       min(created_at), max(finished_at),
       count(*) FILTER (WHERE finished_at < %(since)s + %(window)s),
       count(*) FILTER (WHERE created_at < %(since)s + %(window)s)
FROM orders WHERE created_at >= %(since)s
"""

# A swap on the simulated chain that no confirmed order tells of has been executed once too often; an order with two
# landed attempts as well.
DOUBLES = """
SELECT (SELECT count(*) FROM simulated_swaps WHERE NOT lost) - (SELECT count(*) FROM orders WHERE status = 'confirmed'),
       (SELECT count(*) FROM (SELECT FROM attempts WHERE outcome = 'landed' AND created_at >= %(since)s
                              GROUP BY order_id HAVING count(*) > 1) twice),
       (SELECT count(*) FROM (SELECT FROM orders o LEFT JOIN order_events e ON o.id = e.order_id
                              WHERE o.created_at >= %(since)s
                              GROUP BY o.id, o.version HAVING count(e.seq) <> o.version) gaps)
"""

WAITS = """
SELECT extract(epoch FROM o.created_at - %(since)s)::int AS second, count(*),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY e.at - o.created_at), max(e.at - o.created_at),
       percentile_disc(0.99) WITHIN GROUP (ORDER BY o.finished_at - o.created_at)
FROM orders o JOIN order_events e ON e.order_id = o.id AND e.seq = 2
WHERE o.created_at >= %(since)s GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the orders of one load. `seconds` from the first one created to the last one finished; `finished`
    and `created` count what happened inside the window."""

    orders: int
    confirmed: int
    unfinished: int
    seconds: float
    finished: int
    created: int

    @property
    def rate(self) -> float:
        """Orders per second through the whole way."""
        return self.confirmed / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Orders created in one second of a load: how long they waited for a worker, and until they were finished (s)."""

    second: int
    orders: int
    p50: float
    longest: float
    finished_p99: float


class Record:
    """Questions to one database."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self.connection = connection

    def now(self) -> datetime:
        """By the clock that all other times here are of."""
        found: datetime = self._row("SELECT clock_timestamp()")[0]
        return found

    def idle(self) -> bool:
        """Whether every order has ended."""
        return not self._row("SELECT EXISTS (SELECT FROM orders WHERE finished_at IS NULL)")[0]

    def outcome(self, since: datetime, window: float) -> Outcome:
        """Of the orders created from `since` on."""
        values = {"since": since, "window": timedelta(seconds=window)}
        orders, confirmed, unfinished, first, last, finished, created = self._row(OUTCOME, values)
        seconds = (last - first).total_seconds() if first and last else 0.0
        return Outcome(orders, confirmed, unfinished, seconds, finished, created)

    def doubles(self, since: datetime) -> tuple[int, int, int]:
        """Swaps beyond the confirmed orders (in the whole database), and of the orders created from `since` on those
        with two landed attempts, and those whose history is not whole."""
        swaps, twice, gaps = self._row(DOUBLES, {"since": since})
        return swaps, twice, gaps

    def waits(self, since: datetime) -> list[Wait]:
        """By second of creation."""
        rows = self.connection.execute(WAITS, {"since": since}).fetchall()
        return [
            Wait(second, count, p50.total_seconds(), most.total_seconds(), done.total_seconds() if done else 0.0)
            for second, count, p50, most, done in rows
        ]

    def written(self) -> int:
        """Bytes of the write-ahead log since the server was made, by all databases."""
        return int(self._row("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")[0])

    def _row(self, statement: str, values: dict[str, Any] | None = None) -> TupleRow:
        row = self.connection.execute(statement, values).fetchone()
        assert row is not None  # noqa: S101 - these statements always answer one
        return row

"""The statistics of orders as the store in memory makes them."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from dexexec.domain.order_stats import OrderStats, StatsBucket
from dexexec.domain.outcome import Outcome
from dexexec.domain.percentile import percentile
from dexexec.domain.status import Status
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.rows import SECOND, OrderRow


def order_stats(database: MemoryDatabase, minutes: int, bucket_seconds: int, owner: int | None) -> OrderStats:
    """As `dexexec.store.order_stats.read_order_stats`, without its limit."""
    until = datetime.fromtimestamp(database.now() / SECOND, UTC)
    first = int((until - timedelta(minutes=minutes)).timestamp()) // bucket_seconds * bucket_seconds
    by_bucket: defaultdict[int, list[OrderRow]] = defaultdict(list)
    for row in database.orders.values():
        if row.created_at >= first * SECOND and owner in (None, row.new.owner):
            by_bucket[row.created_at // SECOND // bucket_seconds].append(row)
    return OrderStats(
        since=datetime.fromtimestamp(first, UTC),
        until=until,
        bucket_seconds=bucket_seconds,
        buckets=tuple(_bucket(number * bucket_seconds, rows) for number, rows in sorted(by_bucket.items())),
        truncated=False,
    )


def _bucket(at: int, rows: list[OrderRow]) -> StatsBucket:
    confirmed = [row for row in rows if row.status is Status.CONFIRMED]
    failed = sum(row.status is Status.FAILED for row in rows)
    times = sorted(_confirmed_after_ms(row) for row in confirmed)
    outcomes = [
        Outcome.LANDED if attempt.outcome is None and row.status is Status.CONFIRMED else attempt.outcome
        for row in rows
        for attempt in row.attempts
    ]
    return StatsBucket(
        at=datetime.fromtimestamp(at, UTC),
        accepted=len(rows),
        confirmed=len(confirmed),
        failed=failed,
        other=len(rows) - len(confirmed) - failed,
        p50_ms=percentile(times, 0.5),
        p90_ms=percentile(times, 0.9),
        p99_ms=percentile(times, 0.99),
        landed=outcomes.count(Outcome.LANDED),
        expired=outcomes.count(Outcome.EXPIRED),
        failed_on_chain=outcomes.count(Outcome.FAILED),
    )


def _confirmed_after_ms(row: OrderRow) -> int:
    at = min(event.at for event in row.events if event.status is Status.CONFIRMED)
    return round((at.timestamp() * SECOND - row.created_at) / 1000)

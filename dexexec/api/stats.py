"""`GET /api/stats`: what became of the orders of the last minutes, in buckets of time."""

from dexexec.api.handler import ApiHandler
from dexexec.api.query import BadValueError, Parameter, Query
from dexexec.domain.event import timestamp
from dexexec.domain.order_stats import OrderStats, StatsBucket

MOST_MINUTES = 60
"""Orders are archived an hour after their end at the earliest: all of an hour are in the main tables."""
DEFAULT_MINUTES = 15
MOST_BUCKETS = 90


def _parse_minutes(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= MOST_MINUTES):
        raise BadValueError("is not a usable number of minutes")
    return int(text)


MINUTES = Parameter(
    name="minutes",
    description="How many minutes back.",
    rule={"type": "integer", "minimum": 1, "maximum": MOST_MINUTES, "default": DEFAULT_MINUTES},
    expected=f"an integer from 1 to {MOST_MINUTES}",
    parse=_parse_minutes,
)
PARAMETERS = (MINUTES,)


class StatsHandler(ApiHandler):
    """`GET /api/stats`."""

    async def get(self) -> None:
        """The buckets that have orders, of the caller's orders."""
        query = Query(self.request.query_arguments, PARAMETERS, "is not a parameter of statistics")
        minutes = query.get(MINUTES, DEFAULT_MINUTES)
        query.check()
        # Rounded up, so that there are never more buckets than a chart has room for.
        bucket_seconds = -(-minutes * 60 // MOST_BUCKETS)
        # The gate of lists: one such read at a time in a process, and none before an order.
        async with self.reading(self.api.lists):
            stats = await self.api.history.order_stats(minutes, bucket_seconds, self.caller.sees)
        self.answer(stats_json(stats))

    head = get


def stats_json(stats: OrderStats) -> dict[str, object]:
    """The answer. Buckets without orders are left out."""
    return {
        "since": timestamp(stats.since),
        "until": timestamp(stats.until),
        "bucketSeconds": stats.bucket_seconds,
        "buckets": [bucket_json(bucket) for bucket in stats.buckets],
        "truncated": stats.truncated,
    }


def bucket_json(bucket: StatsBucket) -> dict[str, object]:
    """A bucket."""
    return {
        "at": timestamp(bucket.at),
        "accepted": bucket.accepted,
        "confirmed": bucket.confirmed,
        "failed": bucket.failed,
        "other": bucket.other,
        "p50Ms": bucket.p50_ms,
        "p90Ms": bucket.p90_ms,
        "p99Ms": bucket.p99_ms,
        "landed": bucket.landed,
        "expired": bucket.expired,
        "failedOnChain": bucket.failed_on_chain,
    }

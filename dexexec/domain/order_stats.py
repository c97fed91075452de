"""What became of the newest orders, in buckets of time."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsBucket:
    """Orders that were accepted in the `bucket_seconds` from `at` on, and what became of them until now.

    Latencies are from accepted to confirmed, in milliseconds; None without a confirmed order. `landed`, `expired` and
    `failed_on_chain` are outcomes of the orders' transactions.
    """

    at: datetime
    accepted: int
    confirmed: int
    failed: int
    other: int
    p50_ms: int | None
    p90_ms: int | None
    p99_ms: int | None
    landed: int
    expired: int
    failed_on_chain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStats:
    """The buckets that have orders, the oldest first, from `since` until `until`. `truncated`: there are more orders
    than were read, and the oldest are missing."""

    since: datetime
    until: datetime
    bucket_seconds: int
    buckets: tuple[StatsBucket, ...]
    truncated: bool

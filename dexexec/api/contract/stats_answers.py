"""Statistics of the newest orders."""

from dexexec.api.contract.answer import Answer, Count, Milliseconds, Timestamp


class StatsBucket(Answer):
    """Orders that were accepted from `at` on, and what became of them until now."""

    at: Timestamp
    accepted: Count
    confirmed: Count
    failed: Count
    other: Count
    """Cancelled, expired, simulated, or on their way."""
    p50_ms: Milliseconds | None
    """From accepted to confirmed."""
    p90_ms: Milliseconds | None
    p99_ms: Milliseconds | None
    landed: Count
    """Transactions of these orders that are in a block."""
    expired: Count
    failed_on_chain: Count


class Stats(Answer):
    """The buckets that have orders, the oldest first."""

    since: Timestamp
    until: Timestamp
    bucket_seconds: Count
    buckets: list[StatsBucket]
    truncated: bool
    """There are more orders than were read, and the oldest are missing."""

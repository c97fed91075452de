"""Redis: the order queue, rate limits, and finding the server that takes writes."""

from dexexec.config.lean_imports import without

# redis-py would load OpenTelemetry for metrics of its own, a tenth of the whole start.
with without("opentelemetry"):
    import redis.asyncio  # noqa: F401

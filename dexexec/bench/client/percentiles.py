"""Latencies as percentiles."""

from collections.abc import Sequence

from dexexec.domain.percentile import percentile

Summary = dict[str, float | int | None]
"""`count`, and `p50`, `p99`, `p999` and `max` in milliseconds (None without samples)."""
_SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


def summary(seconds: Sequence[float]) -> Summary:
    """The percentiles of durations in seconds."""
    # All samples are kept and sorted at the end: a histogram would round the percentiles.
    ordered = sorted(seconds)

    def ms(value: float | None) -> float | None:
        return None if value is None else round(value * 1000, 3)

    return {"count": len(ordered), **{name: ms(percentile(ordered, share)) for name, share in _SHARES.items()}}

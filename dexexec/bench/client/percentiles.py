"""Latencies as percentiles."""

import math
from collections.abc import Sequence

Summary = dict[str, float | int | None]
"""`count`, and `p50`, `p99`, `p999` and `max` in milliseconds (None without samples)."""
_SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of values in ascending order: always a measured value, never an interpolated one."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def summary(seconds: Sequence[float]) -> Summary:
    """The percentiles of durations in seconds."""
    # All samples are kept and sorted at the end: a histogram would round the percentiles.
    ordered = sorted(seconds)

    def ms(value: float | None) -> float | None:
        return None if value is None else round(value * 1000, 3)

    return {"count": len(ordered), **{name: ms(percentile(ordered, share)) for name, share in _SHARES.items()}}

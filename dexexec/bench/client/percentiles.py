"""Latencies as percentiles."""

import math
from collections.abc import Sequence

Summary = dict[str, float | int | None]
"""`count`, and `p50`, `p99`, `p999` and `max` in milliseconds (None without samples)."""


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of values in ascending order: a value that was measured, never one in between."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def summary(seconds: Sequence[float]) -> Summary:
    """Of durations in seconds."""
    ordered = sorted(seconds)

    def ms(value: float | None) -> float | None:
        return None if value is None else round(value * 1000, 3)

    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {"count": len(ordered), **{name: ms(percentile(ordered, share)) for name, share in shares.items()}}

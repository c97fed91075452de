"""The percentile that the service and its benchmark report."""

import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T", int, float)


def percentile(ordered: Sequence[T], share: float) -> T | None:
    """The nearest-rank percentile of values in ascending order: always a measured value, never an interpolated one."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None

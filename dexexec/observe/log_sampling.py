"""Limits repeated log lines: per kind and period the first lines pass, and the count of the rest is logged."""

import threading
import time
from collections.abc import Callable, Hashable

LINES = 50
"""Lines of one kind that pass per period."""
TRACEBACK = 10
"""A line with a traceback counts as this many lines."""
SECONDS = 10.0
"""The length of a period. It begins with the first line of a kind."""


class Sampler:
    """Counts log lines per kind; thread-safe. The number of kinds must be bounded by the code: use names, not texts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._periods: dict[Hashable, tuple[float, float]] = {}
        """By kind: when its period ends, and how many more lines pass in it."""
        self._left_out: dict[Hashable, tuple[float, int]] = {}
        """By kind: when the summary is due, and how many lines were dropped. A new period does not postpone it."""

    def admit(self, kind: Hashable, cost: float = 1) -> bool:
        """Whether a line of this kind is written. The first of a period passes even if `cost` exceeds the quota."""
        now = self._clock()
        with self._lock:
            end, left = self._periods.get(kind, (now, 0.0))
            if now >= end:
                end = now + SECONDS
                left = float(LINES)
            if left <= 0:
                due_at, count = self._left_out.get(kind, (end, 0))
                self._left_out[kind] = due_at, count + 1
                return False
            self._periods[kind] = end, left - cost
            return True

    def due(self, *, everything: bool = False) -> list[tuple[Hashable, int]]:
        """The kinds whose period is over, with the number of dropped lines; with `everything`, all kinds."""
        now = self._clock()
        with self._lock:
            kinds = [kind for kind, (due_at, _) in self._left_out.items() if everything or now >= due_at]
            return [(kind, self._left_out.pop(kind)[1]) for kind in kinds]

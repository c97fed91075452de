"""Keeps one condition from writing the same line without a limit: the first lines of each kind in a period pass, the
rest is counted, and the count is written at the period's end."""

import threading
import time
from collections.abc import Callable, Hashable

LINES = 50
"""Lines of one kind that pass in a period."""
TRACEBACK = 10
"""What a line with a traceback counts as."""
SECONDS = 10.0
"""The length of a period, which begins with its first line."""


class Sampler:
    """Counts by kind, for all threads. The number of kinds must be bounded by the code: names, not texts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._periods: dict[Hashable, tuple[float, float]] = {}
        """By kind: when its period ends, and how many lines may still pass in it."""
        self._left_out: dict[Hashable, tuple[float, int]] = {}
        """By kind: how many lines were left out, and when that is told. A new period does not put it off."""

    def admit(self, kind: Hashable, cost: float = 1) -> bool:
        """Whether a line of this kind is written. A first line passes whatever it costs."""
        now = self._clock()
        with self._lock:
            end, left = self._periods.get(kind, (now, 0.0))
            if now >= end:
                end, left = now + SECONDS, float(LINES)
            if left <= 0:
                due_at, count = self._left_out.get(kind, (end, 0))
                self._left_out[kind] = due_at, count + 1
                return False
            self._periods[kind] = end, left - cost
            return True

    def due(self, *, everything: bool = False) -> list[tuple[Hashable, int]]:
        """Kinds whose period is over, each with how many lines were left out; with `everything`, all kinds."""
        now = self._clock()
        with self._lock:
            kinds = [kind for kind, (due_at, _) in self._left_out.items() if everything or now >= due_at]
            return [(kind, self._left_out.pop(kind)[1]) for kind in kinds]

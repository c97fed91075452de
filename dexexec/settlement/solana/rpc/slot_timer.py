"""Measures how long a slot takes, from the slots of the nodes' answers and notifications. Sends nothing itself.

Each node has a series of its own, since one may be ahead of another. A slope between two answers is off by their delays
and by up to a slot at each end, so many slopes are taken and the median of them counts: single late or false answers do
not move it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median_low

from dexexec.clock import Clock
from dexexec.domain.pace import UNKNOWN_PACE
from dexexec.domain.swap import SLOTS_PER_SECOND

WINDOW_SECONDS = 60.0
"""Age of the oldest sample that counts."""
GAP_SECONDS = 0.1
"""Seconds between two samples of a node at least. A busy service has many answers in one slot."""
MOST_SAMPLES = 64
"""Samples of one node; beyond that every other one is dropped."""
MIN_SLOTS = 8
"""Slots that a series must span before it counts: fewer would be off by more than a quarter."""
SHORTEST_SLOT = 1.0 / SLOTS_PER_SECOND
LONGEST_SLOT = 1.0
"""Seconds. What is measured beyond these bounds is a node that is wrong or stuck, and not the pace of a cluster."""


@dataclass(slots=True)
class _Series:
    """The samples of one node, as (monotonic seconds, slot), and the slot time that they show."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)
    seconds: float | None = None


class SlotTimer:
    """The measurement of one chain."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._series: dict[str, _Series] = {}
        self._seconds: float | None = None

    @property
    def measured(self) -> bool:
        """Whether there were enough answers for a measurement."""
        return self._seconds is not None

    @property
    def slot_seconds(self) -> float:
        """The length of a slot in seconds; until it is measured, that of the slowest cluster."""
        return UNKNOWN_PACE.slot_seconds if self._seconds is None else self._seconds

    def note(self, node: str, slot: int) -> None:
        """Records that `node` was at `slot` just now."""
        now = self._clock.monotonic()
        series = self._series.setdefault(node, _Series())
        samples = series.samples
        # A repeated slot is left out: a node that is frozen would otherwise make slots look longer and longer, and with
        # them the age up to which its old answers are used.
        if samples and (slot == samples[-1][1] or now - samples[-1][0] < GAP_SECONDS):
            return
        samples.append((now, slot))
        while samples[0][0] < now - WINDOW_SECONDS:
            samples.popleft()
        if len(samples) > MOST_SAMPLES:
            newest = samples[-1]
            series.samples = samples = deque(islice(samples, 0, None, 2))
            if samples[-1] != newest:
                samples.append(newest)
        series.seconds = _slot_seconds(samples) or series.seconds
        since = now - WINDOW_SECONDS
        recent = [each.seconds for each in self._series.values() if each.seconds and each.samples[-1][0] >= since]
        # Of two nodes the one with the shorter slots counts: it makes what depends on them happen sooner, never later.
        # Without a recent measurement the last one stays.
        self._seconds = median_low(recent) if recent else self._seconds


def _slot_seconds(samples: Sequence[tuple[float, int]]) -> float | None:
    """The median time per slot, within the bounds; None if the samples span too few slots."""
    if len(samples) < 2 or samples[-1][1] - samples[0][1] < MIN_SLOTS:
        return None
    # Only between samples that are far apart: close ones are nothing but rounding to whole slots.
    apart = len(samples) // 2
    pairs = [
        (samples[end][0] - samples[start][0], samples[end][1] - samples[start][1])
        for start in range(len(samples) - apart)
        for end in range(start + apart, len(samples))
    ]
    # A slot that went back has no slope that means anything.
    slopes = [seconds / slots for seconds, slots in pairs if slots > 0]
    return min(max(median_low(slopes), SHORTEST_SLOT), LONGEST_SLOT) if slopes else None

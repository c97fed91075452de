"""Bounds the events of snipers that conditions stop: one for a new pool or a changed figure, and not too many.

Anybody can create pools and change their figures all the time, so each figure of a pool has pauses that double, and an
order has a number of events after which no more are written.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from dexexec.domain.sniper_conditions import Condition
from dexexec.resting.launch_choice import NoQuote, Obstacle
from dexexec.store import NotedStop, RestingOrder

FIRST_VERSION = 2
"""A sniper's version when it begins to wait."""
MAX_VERSION = 200
"""An order that has this many events gets no more of them."""
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 3_600.0
MAX_ORDERS = 10_000
"""Orders whose notes are remembered. One that is forgotten may get an event again."""


@dataclass(slots=True)
class _Note:
    """The figure that was written last, and when the next one may be (monotonic seconds)."""

    seen: str
    next_at: float
    pause: float


class StopNotes:
    """What was written lately."""

    def __init__(self) -> None:
        self._notes: OrderedDict[UUID, dict[tuple[str, Condition | None], _Note]] = OrderedDict()

    def knows(self, order: RestingOrder) -> bool:
        """Whether it is known what the order's events have. A new order has none."""
        return order.id in self._notes or order.version <= FIRST_VERSION

    def learn(self, noted: Sequence[NotedStop]) -> None:
        """Take over what an earlier leader has written, so that its successor does not repeat it."""
        for stop in noted:
            condition = Condition(stop.condition) if stop.condition in set(Condition) else None
            figure = "" if condition is Condition.MAX_AGE_MS else stop.figure
            notes = self._notes.setdefault(stop.order_id, {})
            notes[stop.pool, condition] = _Note(figure, -math.inf, FIRST_PAUSE_SECONDS)

    def to_write(self, order: RestingOrder, obstacles: Sequence[Obstacle], now: float) -> list[Obstacle]:
        """Those of the obstacles that get an event now."""
        notes = self._notes.setdefault(order.id, {})
        self._notes.move_to_end(order.id)
        while len(self._notes) > MAX_ORDERS:
            self._notes.popitem(last=False)
        # The version counts all events of the order, so the limit holds across restarts and leaders.
        room = MAX_VERSION - order.version
        found: list[Obstacle] = []
        for each in obstacles:
            if len(found) >= room:
                break
            condition, figure = _figure_of(each)
            key = each.pool.address, condition
            note = notes.get(key)
            if note is None:
                notes[key] = _Note(figure, now + FIRST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS)
            elif note.seen != figure and now >= note.next_at:
                note.seen = figure
                note.pause = min(note.pause * 2, LONGEST_PAUSE_SECONDS)
                note.next_at = now + note.pause
            else:
                continue
            found.append(each)
        return found


def _figure_of(each: Obstacle) -> tuple[Condition | None, str]:
    """The condition, None for a missing quote, and what was seen."""
    if isinstance(each, NoQuote):
        return None, each.code
    # An age changes with every look and says nothing new.
    return each.stop.condition, "" if each.stop.condition is Condition.MAX_AGE_MS else each.stop.seen

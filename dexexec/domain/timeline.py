"""How long an order was in each status, summed up from its events."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.stage import Stage
from dexexec.domain.status import Status


@dataclass(slots=True)
class Timeline:
    """An order up to the last event that was added: that event's `seq`, status, time, reason and detail. `spent` is the
    time in each status that it has left, `stages` the seconds in each stage that was measured in this process.
    `is_whole`: no event is missing in it."""

    order_id: UUID
    seq: int = 0
    status: Status = Status.PENDING
    at: datetime | None = None
    begun_at: datetime | None = None
    reason: str | None = None
    detail: str | None = None
    venue: str | None = None
    request_id: str | None = None
    attempts: int = 0
    rounds: int = 0
    spent: dict[Status, timedelta] = field(default_factory=dict)
    stages: dict[Stage, float] = field(default_factory=dict)
    is_whole: bool = True

    @classmethod
    def of(cls, order_id: UUID, events: Iterable[Event]) -> Self:
        """The timeline of these events, in order."""
        timeline = cls(order_id)
        for event in events:
            timeline.add(event)
        return timeline

    def add(self, event: Event) -> None:
        """Add the next event. Of events of one order, those of other processes may be missing."""
        # Events of one process come in order, but those of another one between them are never seen here.
        if event.seq != self.seq + 1:
            self.is_whole = False
        if self.at is None:
            self.begun_at = event.at
            self.request_id = _text(event.detail.get("requestId"))
        else:
            self.spent[self.status] = self.spent.get(self.status, timedelta()) + (event.at - self.at)
        # A swap that the chain took back is submitted again, with the same bytes.
        self.attempts += event.status is Status.SUBMITTED and self.status is not Status.CONFIRMED
        self.rounds += "round" in event.detail
        self.venue = _text(event.detail.get("venue")) or self.venue
        self.reason = _text(event.detail.get("reason"))
        self.detail = _text(event.detail.get("detail"))
        for stage, seconds in event.stages.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        self.seq, self.status, self.at = event.seq, event.status, event.at

    @property
    def total(self) -> timedelta:
        """The time from the first event to the last."""
        return self.at - self.begun_at if self.at and self.begun_at else timedelta()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

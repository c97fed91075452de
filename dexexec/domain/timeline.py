"""How long an order was in each status, summed up from its events."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.status import Status

MS = timedelta(milliseconds=1)


@dataclass(slots=True)
class Timeline:
    """An order up to the last event that was added: that event's `seq`, status, time, reason and detail. `spent` is the
    time in each status that it has left. `is_whole`: no event is missing in it."""

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
        self.seq, self.status, self.at = event.seq, event.status, event.at

    def milliseconds(self) -> dict[Status, int]:
        """The time in each status, in the order in which the order came to them."""
        return {status: round(spent / MS) for status, spent in self.spent.items()}

    def total_ms(self) -> int:
        """The time from the first event to the last."""
        return round((self.at - self.begun_at) / MS) if self.at and self.begun_at else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

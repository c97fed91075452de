"""The newest events of all orders in memory, encoded once, for the subscribers that have all earlier ones.

Beside `feed.all_events`, which fills it. No input or output.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.store import EventPage, PlacedEvent

MOST_EVENTS = 5_000
MOST_BYTES = 8 << 20
"""Of the payloads. A subscriber that is further behind reads from Postgres, at its own pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """An event in the stream, as bytes for all sockets. `owner` is the key of its order (None: no key)."""

    position: str
    owner: int | None
    payload: bytes

    @classmethod
    def of(cls, placed: PlacedEvent) -> "StreamEvent":
        """Encode an event that was read."""
        return cls(position=placed.position, owner=placed.owner, payload=placed.event.encode())


@dataclass(frozen=True, slots=True)
class StreamPage:
    """Events for one subscriber, and the position behind all that was looked at for it."""

    events: Sequence[StreamEvent]
    position: str


class EventTail:
    """Consecutive events from `begin` on. Every position in it is one that a subscriber may go on from."""

    def __init__(self, begin: str) -> None:
        self.end = begin
        """The position behind the newest event."""
        self._events: deque[StreamEvent] = deque()
        self._numbers = {begin: 0}
        """By position, the number of the event that follows it. Numbers grow by one, and the first event has 1."""
        self._begin = begin
        self._first = 1
        self._bytes = 0

    def __contains__(self, position: str) -> bool:
        return position in self._numbers

    def add(self, page: EventPage) -> None:
        """Append the events of all owners that follow the end."""
        for placed in page.events:
            event = StreamEvent.of(placed)
            self._events.append(event)
            self._bytes += len(event.payload)
            self._numbers[event.position] = self._first + len(self._events) - 1
        self.end = page.position
        while len(self._events) > MOST_EVENTS or self._bytes > MOST_BYTES:
            self._forget_first()

    def _forget_first(self) -> None:
        event = self._events.popleft()
        self._bytes -= len(event.payload)
        # The position behind it is the new begin, so it stays known.
        del self._numbers[self._begin]
        self._begin = event.position
        self._first += 1

    def after(self, position: str, limit: int, owner: int | None) -> StreamPage:
        """Return what follows a position of the tail, looking at up to `limit` events; those of `owner` (None: all)."""
        start = self._numbers[position] + 1 - self._first
        looked_at = [self._events[n] for n in range(start, min(start + limit, len(self._events)))]
        events = [event for event in looked_at if owner is None or event.owner == owner]
        return StreamPage(events, looked_at[-1].position if looked_at else position)

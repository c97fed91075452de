"""`dexexec.store.EventReader` on a database in memory."""

from uuid import UUID
from weakref import WeakKeyDictionary

from dexexec.domain.event import Event
from dexexec.store import EventPage, PlacedEvent, PositionUnknownError, check_position
from dexexec.store.event_positions import EMPTY, MAX_PAGE, START, encode_position
from tests.support.fakes.database import MemoryDatabase

_streams: WeakKeyDictionary[MemoryDatabase, list[Event]] = WeakKeyDictionary()


def stream_of(database: MemoryDatabase) -> list[Event]:
    """All events of a database, each at the place where it was first seen here."""
    stream = _streams.setdefault(database, [])
    seen: dict[UUID, int] = {event.order_id: event.seq for event in stream}
    new = [event for row in database.orders.values() for event in row.events if event.seq > seen.get(event.order_id, 0)]
    # The times of the events of one order grow with their seq.
    stream += sorted(new, key=lambda event: (event.at, event.order_id, event.seq))
    return stream


class MemoryEventReader:
    """As the real one. Every event has a place of its own."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def read(self, after: str, limit: int, owner: int | None = None) -> EventPage:
        """As the real one."""
        check_position(after)
        places = self._places()
        if after not in {START, EMPTY} and after not in places:
            raise PositionUnknownError("the record does not have the event of this position")
        begin = 0 if after in {START, EMPTY} else places.index(after) + 1
        end = begin + min(limit, MAX_PAGE)
        events = stream_of(self._database)[begin:end]
        placed = [
            PlacedEvent(event=event, position=position, owner=self._database.orders[event.order_id].new.owner)
            for event, position in zip(events, places[begin:end], strict=True)
        ]
        return EventPage(
            events=tuple(one for one in placed if owner is None or one.owner == owner),
            position=placed[-1].position if placed else after,
            more=len(placed) == end - begin,
            waiting_seconds=None,
        )

    async def last_position(self) -> str:
        """As the real one."""
        return [EMPTY, *self._places()][-1]

    def _places(self) -> list[str]:
        return [
            encode_position(place, event.order_id, event.seq, event.at)
            for place, event in enumerate(stream_of(self._database), 1)
        ]

"""What one subscriber of one order has, and what it may get next: the pure core of the feed.

Events reach a subscription from three sides, in any order and any number of times: live, from this process or by Redis
from another, as rows from Postgres, and as a mere version number from the poll. `offer` turns them into `seq` + 1,
`seq` + 2 ... without a gap and without a repeat; `lagging` says that Postgres must be read for the rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

import orjson

from dexexec.domain.event import Event
from dexexec.feed.publisher import Announcement, Outgoing

MAX_AHEAD = 8
"""Live events kept while Postgres is read. More would only save a second read, at the cost of memory per socket."""


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event as it goes to every socket: encoded once, shared by all."""

    seq: int
    final: bool
    payload: bytes

    @classmethod
    def from_event(cls, event: Event) -> "EncodedEvent":
        """Encode an event that was read from Postgres."""
        return cls(event.seq, event.final, event.encode())

    @classmethod
    def from_outgoing(cls, outgoing: Outgoing) -> "EncodedEvent":
        """Take an event that this process has committed."""
        return cls(outgoing.event.seq, outgoing.event.final, outgoing.payload)

    @classmethod
    def from_announcement(cls, announcement: Announcement) -> "EncodedEvent":
        """Take over an event that is encoded already. Raises ValueError when its payload is not an event."""
        message = orjson.loads(announcement.payload)
        if not isinstance(message, dict) or message.get("seq") != announcement.seq:
            raise ValueError("the payload is not the event that its line names")
        return cls(announcement.seq, message.get("final") is True, announcement.payload)


class AfterSeqCheck(Enum):
    """What the first read says about `afterSeq`."""

    VALID = auto()  # the order has that event, and more may follow
    ENDED = auto()  # that event was the order's last
    AHEAD = auto()  # the order has no such event yet: the client made it up


class Subscription:
    """One order for one subscriber, from `after_seq` + 1 on."""

    __slots__ = ("_ahead", "_confirmed", "ended", "known", "order_id", "seq")

    def __init__(self, order_id: UUID, after_seq: int) -> None:
        self.order_id = order_id
        self.seq = after_seq
        """The last one delivered."""
        self.known = after_seq
        """The highest one heard of."""
        self.ended = False
        self._confirmed = after_seq == 0
        self._ahead: dict[int, EncodedEvent] | None = None

    @property
    def lagging(self) -> bool:
        """Whether events are known to exist that were not delivered."""
        return self.known > self.seq and not self.ended

    @property
    def reading(self) -> bool:
        """Whether a read of Postgres is on its way."""
        return self._ahead is not None

    def begin_read(self) -> int:
        """The `seq` after which Postgres is to be read now.

        Live events that arrive from here on are kept, as the rows will lead up to them. All that was heard of before
        was committed before, so the rows will show it: `known` starts anew. As long as it is not certain that the
        event `after_seq` exists, the read includes it, see `confirm`.
        """
        self.known = self.seq
        self._ahead = {}
        return self.seq if self._confirmed else self.seq - 1

    def confirm(self, rows: Iterable[EncodedEvent]) -> AfterSeqCheck:
        """Judge `after_seq` by the first rows that were read."""
        if self._confirmed:
            return AfterSeqCheck.VALID
        for row in rows:
            if row.seq == self.seq:
                self._confirmed = True
                return AfterSeqCheck.ENDED if row.final else AfterSeqCheck.VALID
        return AfterSeqCheck.AHEAD

    def end_read(self) -> None:
        """All rows were offered, or the read failed."""
        self._ahead = None

    def offer(self, event: EncodedEvent) -> list[EncodedEvent]:
        """What is to be delivered now that `event` is here: nothing, it, or it and those it was in the way of."""
        if self.ended or event.seq <= self.seq:
            return []
        self.learn(event.seq)
        if event.seq > self.seq + 1:
            if self._ahead is not None and len(self._ahead) < MAX_AHEAD:
                self._ahead[event.seq] = event
            return []
        ready = [event]
        while self._ahead and (after := self._ahead.pop(ready[-1].seq + 1, None)) is not None:
            ready.append(after)
        self.seq = ready[-1].seq
        self.ended = ready[-1].final
        self._confirmed = True
        return ready

    def learn(self, version: int) -> None:
        """The order is known to have events up to `version`."""
        self.known = max(self.known, version)

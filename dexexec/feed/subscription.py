"""Puts the events of one order for one subscriber in order: without a gap and without a repeat. No input or output.

Events arrive live, as rows from Postgres, and as a version number from the poll, in any order and any number of times.
`offer` returns those that can be delivered; `lagging` is set while Postgres must be read for the rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

import orjson

from dexexec.domain.event import Event
from dexexec.feed.publisher import Announcement, Outgoing

MAX_AHEAD = 8
"""Live events that are kept while Postgres is read. Beyond that a second read costs less than memory per socket."""


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event as bytes. It is encoded once for all sockets."""

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
        """Take an event that another process has encoded. Raises ValueError when its payload is not an event."""
        message = orjson.loads(announcement.payload)
        if not isinstance(message, dict) or message.get("seq") != announcement.seq:
            raise ValueError("the payload is not the event that its line names")
        return cls(announcement.seq, message.get("final") is True, announcement.payload)


class AfterSeqCheck(Enum):
    """The result of comparing a client's `afterSeq` with the order's events."""

    VALID = auto()  # the order has that event, and more may follow
    ENDED = auto()  # that event is the order's last
    AHEAD = auto()  # the order has no such event yet, so the client cannot have received it


class Subscription:
    """The events of one order for one subscriber, from `after_seq` + 1 on."""

    __slots__ = ("_ahead", "_confirmed", "_permitted", "ended", "known", "order_id", "seq")

    def __init__(self, order_id: UUID, after_seq: int, *, permitted: bool = True) -> None:
        """Without `permitted` nothing is delivered until the first read: the order may belong to another."""
        self.order_id = order_id
        self._permitted = permitted
        self.seq = after_seq
        """The last event that was delivered."""
        self.known = after_seq
        """The highest event that is known to exist."""
        self.ended = False
        self._confirmed = after_seq == 0
        self._ahead: dict[int, EncodedEvent] | None = None

    @property
    def lagging(self) -> bool:
        """Whether an event is known to exist that was not delivered."""
        return self.known > self.seq and not self.ended

    @property
    def reading(self) -> bool:
        """Whether Postgres is being read."""
        return self._ahead is not None

    def begin_read(self) -> int:
        """Return the `seq` after which Postgres must be read now. Live events are kept from here on."""
        # All events that are known by now were committed before this read, so its rows hold them. Without the reset, a
        # version that was announced by mistake would cause one read after the other.
        self.known = self.seq
        self._ahead = {}
        # Until the event `after_seq` is known to exist, the read includes it: `confirm` looks for it.
        return self.seq if self._confirmed else self.seq - 1

    def confirm(self, rows: Iterable[EncodedEvent]) -> AfterSeqCheck:
        """Compare `after_seq` with the first rows that were read. Having rows, the subscriber may see the order."""
        self._permitted = True
        if self._confirmed:
            return AfterSeqCheck.VALID
        for row in rows:
            if row.seq == self.seq:
                self._confirmed = True
                return AfterSeqCheck.ENDED if row.final else AfterSeqCheck.VALID
        return AfterSeqCheck.AHEAD

    def end_read(self) -> None:
        """Note that all rows were offered, or that the read failed."""
        self._ahead = None

    def end(self) -> None:
        """Deliver nothing more."""
        self.ended = True

    def offer(self, event: EncodedEvent) -> list[EncodedEvent]:
        """Take an event; returns the events that can be delivered now: none, this one, or this one and later ones that
        were kept."""
        if self.ended or event.seq <= self.seq:
            return []
        self.learn(event.seq)
        if event.seq > self.seq + 1 or not self._permitted:
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
        """Note that the order has events up to `version`."""
        self.known = max(self.known, version)

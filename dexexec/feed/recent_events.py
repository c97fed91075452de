"""The events of the newest orders of this process, so that a subscription to one of them needs no read of Postgres.

Between `feed.publisher` and `feed.feed`. Most clients subscribe right after their order was accepted, to the process
that accepted it. Only whole histories are kept: from event 1 on, all written by this process.
"""

from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from dexexec.feed.publisher import ID_LENGTH, Outgoing

MOST_KEPT = 1_000
"""Orders whose events are kept, each with a few kilobytes."""


class RecentEvents:
    """The histories of the newest orders, as far as this process has written all of it."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._events: OrderedDict[UUID, list[Outgoing]] = OrderedDict()
        self._by_text: dict[bytes, UUID] = {}

    def __len__(self) -> int:
        return len(self._events)

    def put(self, events: Sequence[Outgoing]) -> None:
        """Keep events that this process has just committed."""
        for outgoing in events:
            event = outgoing.event
            if event.seq == 1:
                self._events[event.order_id] = [outgoing]
                self._by_text[str(event.order_id).encode()] = event.order_id
                if len(self._events) > self._most:
                    self.forget(next(iter(self._events)))
            elif (kept := self._events.get(event.order_id)) is not None:
                if kept[-1].event.seq + 1 == event.seq:
                    kept.append(outgoing)
                else:
                    # Another process has written events in between, or the record has lost some to a failover.
                    self.forget(event.order_id)

    def forget(self, order_id: UUID) -> None:
        """Drop an order."""
        if self._events.pop(order_id, None) is not None:
            del self._by_text[str(order_id).encode()]

    def forget_all(self) -> None:
        """Drop every order: messages of other processes may have been missed."""
        self._events.clear()
        self._by_text.clear()

    def forget_announced(self, message: bytes) -> None:
        """Drop the orders that another process has written events of, by its message."""
        # By the text of their ids: most of what other processes announce is of no order that is kept here.
        for line in message.split(b"\n"):
            if (order_id := self._by_text.get(line[:ID_LENGTH])) is not None:
                self.forget(order_id)

    def forget_unless_at(self, order_id: UUID, version: int) -> None:
        """Drop an order of which the record has more events than are known here."""
        kept = self._events.get(order_id)
        if kept is not None and kept[-1].event.seq < version:
            self.forget(order_id)

    def after(self, order_id: UUID, seq: int) -> list[Outgoing]:
        """Return the events after `seq`; empty unless they are known here."""
        return self._events.get(order_id, [])[max(seq, 0) :]

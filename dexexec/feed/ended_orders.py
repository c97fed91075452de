"""Reports each order of this process that ends, with how long it was in each status.

Beside the feed behind `feed.publisher`: it sees every event that this process commits, so nothing that ends an order
has to remember the report. Of an order that other processes have worked on as well, the earlier events are read.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.timeline import Timeline
from dexexec.errors import UnavailableError
from dexexec.feed.publisher import Outgoing

MOST_KEPT = 20_000
"""Orders in progress whose events are kept. Those of the others are read again at their end."""
MOST_WAITING = 1_000
"""Orders whose events are still to be read. More are reported without their times."""
READ_AT_ONCE = 50

ReadEvents = Callable[[Sequence[tuple[UUID, int]]], Awaitable[dict[UUID, list[Event]]]]
"""`Store.events_after`."""


class EndObserver(Protocol):
    """The part of `dexexec.observe.observer.Observer` that is used here."""

    def order_ended(self, timeline: Timeline) -> None:
        """An order has ended. A timeline that is not whole has no times."""


class EndedOrders:
    """Follows the events of a process to the ends of their orders."""

    def __init__(self, observer: EndObserver) -> None:
        self._observer = observer
        self._timelines: OrderedDict[UUID, Timeline] = OrderedDict()
        self._incomplete: deque[Timeline] = deque()
        self._wake = asyncio.Event()

    def put_committed(self, events: Sequence[Outgoing]) -> None:
        """Take events that were committed just now. Neither blocks nor raises."""
        for outgoing in events:
            event = outgoing.event
            timeline = self._timelines.pop(event.order_id, None) or Timeline(event.order_id)
            timeline.add(event)
            if event.final:
                self._end(timeline)
                continue
            self._timelines[event.order_id] = timeline  # behind all others: those that rest for long are forgotten
            if len(self._timelines) > MOST_KEPT:
                self._timelines.popitem(last=False)

    def _end(self, timeline: Timeline) -> None:
        # Most orders are executed whole by one process: then nothing is read.
        if timeline.is_whole or len(self._incomplete) >= MOST_WAITING:
            self._observer.order_ended(timeline)
        else:
            self._incomplete.append(timeline)
            self._wake.set()

    async def run(self, read: ReadEvents) -> None:
        """Read what is missing, until cancelled. What is left then is reported without it."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._incomplete:
                    await self._complete(
                        [self._incomplete[n] for n in range(min(READ_AT_ONCE, len(self._incomplete)))], read
                    )
        finally:
            for timeline in self._incomplete:
                self._observer.order_ended(timeline)

    async def _complete(self, timelines: Sequence[Timeline], read: ReadEvents) -> None:
        found: dict[UUID, list[Event]] = {}
        try:
            found = await read([(timeline.order_id, 0) for timeline in timelines])
        except UnavailableError:
            pass  # the order has ended all the same: its line lacks the times
        for timeline in timelines:
            self._incomplete.popleft()
            events = found.get(timeline.order_id)
            whole = replace(Timeline.of(timeline.order_id, events), stages=timeline.stages) if events else timeline
            self._observer.order_ended(whole)

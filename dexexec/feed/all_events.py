"""Delivers the events of all orders as one stream, to any number of subscribers at their own pace.

One task of the process reads new events from Postgres for all subscribers that have the earlier ones. Announcements and
a poll only wake it: what is delivered, and in which order, is what the record has (docs/adr/0049).
"""

import asyncio
import random
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import RequestError, UnavailableError
from dexexec.feed.event_tail import EventTail, StreamEvent, StreamPage
from dexexec.observe.observer import Observer
from dexexec.store import EventPage, InvalidPositionError, PositionUnknownError, check_position

PAGE = 200
"""Events that are read or looked at together."""
POLL_SECONDS = 2.0
"""Without an announcement: those of other processes come over Redis, which may lose them."""
MERGE_SECONDS = 0.02
"""Pause before a read, in which commits gather: an event is late by at most so much."""
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.25  # seconds, while committed events wait for an earlier transaction
FIRST_OUTAGE, LONGEST_OUTAGE = 0.1, 2.0  # seconds, while Postgres does not answer
HELD_BACK_SECONDS = 10.0
"""When a transaction that holds back committed events is reported."""


def is_position(text: str) -> bool:
    """Whether this may be a position of the stream."""
    try:
        check_position(text)
    except InvalidPositionError:
        return False
    return True


class EventSource(Protocol):
    """`dexexec.store.EventReader`."""

    async def read(self, after: str, limit: int, owner: int | None = None) -> EventPage:
        """Return the events behind a position."""

    async def last_position(self) -> str:
        """Return the position of the newest event."""


class StreamSink(Protocol):
    """Receives a subscriber's events. Only `wait_for_room` may wait. Each method may close the follower."""

    def event(self, event: StreamEvent) -> None:
        """Deliver the next event."""

    async def wait_for_room(self, size: int) -> None:
        """Wait until `size` more bytes can be buffered."""

    def reached(self, position: str) -> None:
        """All events up to `position` that the subscriber may see were delivered."""

    def refused(self, error: RequestError) -> None:
        """The stream has ended, because it cannot go on from its position."""

    def unavailable(self) -> None:
        """Postgres does not answer, so events are late. Called once per outage."""

    def failed(self, error: BaseException) -> None:
        """An unexpected error: the follower has ended."""


class AllEvents:
    """The stream of one process. Nothing is read while nobody follows it."""

    def __init__(
        self, source: EventSource, clock: Clock, *, observe: Observer, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._source = source
        self._clock = clock
        self._observe = observe
        self._poll_seconds = poll_seconds
        self._tail: EventTail | None = None
        self._wake = asyncio.Event()
        self._followed = asyncio.Event()
        self._changed = asyncio.Event()
        """Set and replaced whenever the tail has changed."""
        self._followers: set[StreamFollower] = set()
        self._held_back = False

    def __len__(self) -> int:
        """How many subscribers there are."""
        return len(self._followers)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is read, as nobody follows."""
        return self._tail is None and not self._followers

    def wake(self) -> None:
        """Take note that events may have been committed. Never blocks and never raises."""
        self._wake.set()

    async def begin(self, after: str | None, owner: int | None) -> str:
        """Return the position that a subscriber begins with: `after`, if the record can go on from it, or now. Raises
        `InvalidPositionError`, `PositionUnknownError` and `UnavailableError`."""
        if after is None:
            return await self._source.last_position()
        await self._source.read(after, 1, owner)
        return after

    def follow(self, position: str, sink: StreamSink, owner: int | None) -> "StreamFollower":
        """Deliver what follows `position` to `sink`: events of the orders of `owner` (None: of all). It must be
        closed."""
        follower = StreamFollower(self, sink, position, owner)
        self._followers.add(follower)
        self._followed.set()
        follower.start()
        return follower

    def left(self, follower: "StreamFollower") -> None:
        """A follower was closed."""
        self._followers.discard(follower)
        if not self._followers:
            self._followed.clear()

    async def run(self) -> None:
        """Read new events while somebody follows, until cancelled."""
        pause = FIRST_PAUSE
        down_since: float | None = None
        outage = FIRST_OUTAGE
        while True:
            if not self._followers:
                self._replace_tail(None)
                await self._followed.wait()
            self._wake.clear()  # before the read: what is committed during it needs another one
            raise_if_cancelled()
            try:
                page = await self._read()
            except UnavailableError as error:
                if down_since is None:
                    down_since = self._clock.monotonic()
                    self._observe.server_unavailable("reading the stream of all events", error)
                await self._clock.sleep(outage * random.uniform(0.5, 1.0))
                outage = min(outage * 2, LONGEST_OUTAGE)
                continue
            if down_since is not None:
                self._observe.server_recovered("reading the stream of all events", self._clock.monotonic() - down_since)
            down_since, outage = None, FIRST_OUTAGE
            if page is None or page.more:
                continue
            self._report_held_back(page.waiting_seconds)
            if page.waiting_seconds is None:
                pause = FIRST_PAUSE
                await self._woken(self._poll_seconds)
                await self._clock.sleep(MERGE_SECONDS)
            else:
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _read(self) -> EventPage | None:
        """Append a page to the tail; None where the tail began anew."""
        if self._tail is None:
            self._replace_tail(EventTail(await self._source.last_position()))
            return None
        try:
            page = await self._source.read(self._tail.end, PAGE)
        except PositionUnknownError:
            # The record has lost commits in a failover. Its subscribers find out by themselves, as the tail is gone.
            self._replace_tail(None)
            return None
        if page.events:
            self._tail.add(page)
            self._announce_change()
        return page

    def _replace_tail(self, tail: EventTail | None) -> None:
        self._tail = tail
        self._announce_change()

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _woken(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _report_held_back(self, seconds: float | None) -> None:
        held_back = seconds is not None and seconds >= HELD_BACK_SECONDS
        if held_back and not self._held_back and seconds is not None:
            self._observe.events_held_back(seconds)
        self._held_back = held_back

    # For followers

    async def next_page(self, position: str, owner: int | None) -> StreamPage:
        """Return what follows `position`, once there is something: perhaps only events of others. Raises
        `PositionUnknownError` and `UnavailableError`."""
        while True:
            changed = self._changed
            if self._tail is not None and position in self._tail:
                page = self._tail.after(position, PAGE, owner)
                if page.position != position:
                    return page
                await changed.wait()
                continue
            read = await self._source.read(position, PAGE, owner)
            if read.position != position:
                return StreamPage([StreamEvent.of(placed) for placed in read.events], read.position)
            # It has what the record has. The tail begins there, or gets there with its next read.
            if self._tail is None or position not in self._tail:
                self.wake()
                await changed.wait()


class StreamFollower:
    """One subscriber of the stream."""

    def __init__(self, stream: AllEvents, sink: StreamSink, position: str, owner: int | None) -> None:
        self._stream = stream
        self._sink = sink
        self._owner = owner
        self.position = position
        """All events up to here were delivered."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._task = asyncio.get_running_loop().create_task(self._deliver())
        self._task.add_done_callback(self._ended)

    def close(self) -> None:
        """Deliver nothing more. Harmless when repeated."""
        self._stream.left(self)
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._stream.left(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._sink.failed(error)

    async def _deliver(self) -> None:
        pause = FIRST_OUTAGE
        reported = False
        while True:
            raise_if_cancelled()
            try:
                page = await self._stream.next_page(self.position, self._owner)
            except PositionUnknownError as error:
                self._sink.refused(error)
                return
            except UnavailableError:
                if not reported:
                    reported = True
                    self._sink.unavailable()
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_OUTAGE)
                continue
            pause, reported = FIRST_OUTAGE, False
            for event in page.events:
                await self._sink.wait_for_room(len(event.payload))
                self._sink.event(event)
                self.position = event.position
            self.position = page.position
            if page.events:
                self._sink.reached(page.position)

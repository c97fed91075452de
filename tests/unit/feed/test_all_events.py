"""The stream of all events without Postgres: one reader for all, a bounded memory, outages and lost records."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest
from structlog.testing import CapturingLogger

from dexexec.clock import SystemClock
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.errors import RequestError, UnavailableError
from dexexec.feed import event_tail
from dexexec.feed.all_events import AllEvents, StreamFollower
from dexexec.feed.event_tail import EventTail, StreamEvent
from dexexec.observe.observer import Observer
from dexexec.store import EventPage, PlacedEvent, PositionUnknownError
from tests.support.parts import running
from tests.support.waiting import until


def placed(number: int, owner: int | None = None) -> PlacedEvent:
    """An event in a stream whose positions are numbers."""
    event = Event(order_id=UUID(int=number), seq=1, status=Status.PENDING, at=datetime.now(UTC), detail={"n": number})
    return PlacedEvent(event=event, position=str(number), owner=owner)


@dataclass
class Source:
    """A record whose events are numbered from 1 on."""

    events: list[PlacedEvent] = field(default_factory=list)
    reads: int = 0
    down: bool = False
    lost: bool = False
    waiting_seconds: float | None = None

    def commit(self, count: int, owner: int | None = None) -> None:
        self.events += [placed(len(self.events) + n + 1, owner) for n in range(count)]

    async def read(self, after: str, limit: int, owner: int | None = None) -> EventPage:
        self.reads += 1
        await asyncio.sleep(0)
        if self.down:
            raise UnavailableError("down")
        if self.lost or int(after) > len(self.events):
            raise PositionUnknownError("lost")
        found = self.events[int(after) : int(after) + limit]
        return EventPage(
            events=tuple(one for one in found if owner is None or one.owner == owner),
            position=found[-1].position if found else after,
            more=len(found) == limit,
            waiting_seconds=self.waiting_seconds,
        )

    async def last_position(self) -> str:
        self.reads += 1
        if self.down:
            raise UnavailableError("down")
        return str(len(self.events))


@dataclass
class Sink:
    """A subscriber that may be slow."""

    heard: list[str] = field(default_factory=list)
    at: str = ""
    refusals: list[RequestError] = field(default_factory=list)
    outages: int = 0
    has_room: asyncio.Event = field(default_factory=asyncio.Event)

    def event(self, event: StreamEvent) -> None:
        self.heard.append(event.position)

    async def wait_for_room(self, size: int) -> None:
        assert size > 0
        await self.has_room.wait()

    def reached(self, position: str) -> None:
        self.at = position

    def refused(self, error: RequestError) -> None:
        self.refusals.append(error)

    def unavailable(self) -> None:
        self.outages += 1

    def failed(self, error: BaseException) -> None:
        raise error


@dataclass
class Setup:
    source: Source
    stream: AllEvents
    log: CapturingLogger

    def commit(self, count: int, owner: int | None = None) -> None:
        self.source.commit(count, owner)
        self.stream.wake()

    def follow(self, position: str, owner: int | None = None, *, slow: bool = False) -> tuple[Sink, StreamFollower]:
        sink = Sink()
        if not slow:
            sink.has_room.set()
        return sink, self.stream.follow(position, sink, owner)


@asynccontextmanager
async def streaming() -> AsyncIterator[Setup]:
    source, log = Source(), CapturingLogger()
    stream = AllEvents(source, SystemClock(), observe=Observer(log))
    async with running(stream.run()):
        yield Setup(source, stream, log)


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


async def test_one_reader_serves_all_subscribers_at_the_end() -> None:
    async with streaming() as it:
        sinks = [it.follow("0")[0] for _ in range(50)]
        it.commit(1)
        await until(lambda: all(sink.heard == ["1"] for sink in sinks))
        before = it.source.reads
        it.commit(3)
        await until(lambda: all(sink.heard == numbers(1, 4) for sink in sinks))
        assert it.source.reads - before <= 2


async def test_nothing_is_read_while_nobody_follows() -> None:
    async with streaming() as it:
        sink, follower = it.follow("0")
        it.commit(1)
        await until(lambda: sink.heard == ["1"])
        follower.close()
        assert len(it.stream) == 0
        it.stream.wake()
        await until(lambda: it.stream.is_idle)
        before = it.source.reads
        it.commit(5)
        for _ in range(20):
            await asyncio.sleep(0)
        assert it.source.reads == before


async def test_a_subscriber_that_is_behind_reads_its_own_pages_and_then_shares_the_tail() -> None:
    async with streaming() as it:
        it.source.commit(1_000, owner=1)
        late, _ = it.follow("0", owner=2)
        own, _ = it.follow("0", owner=1)
        it.commit(1, owner=2)
        await until(lambda: own.heard == numbers(1, 1_000))
        await until(lambda: late.heard == ["1001"])
        it.commit(1, owner=2)
        await until(lambda: late.heard == ["1001", "1002"])
        assert own.heard == numbers(1, 1_000)


async def test_a_slow_subscriber_holds_up_nobody_and_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_tail, "MOST_EVENTS", 10)
    async with streaming() as it:
        slow, _ = it.follow("0", slow=True)
        quick, _ = it.follow("0")
        for number in range(30):
            it.commit(1)
            await until(lambda number=number: quick.heard == numbers(1, number + 1))  # type: ignore[misc]
        assert slow.heard == []
        slow.has_room.set()
        await until(lambda: slow.heard == numbers(1, 30))


async def test_an_outage_delays_events_and_is_reported_once() -> None:
    async with streaming() as it:
        sink, _ = it.follow("0")
        it.commit(1)
        await until(lambda: sink.heard == ["1"])
        it.source.down = True
        it.commit(1)
        behind, _ = it.follow("0")
        await until(lambda: behind.outages == 1)
        it.source.down = False
        await until(lambda: sink.heard == numbers(1, 2) == behind.heard)
        assert behind.outages == 1


async def test_a_record_that_lost_events_refuses_its_subscribers_instead_of_leaving_something_out() -> None:
    async with streaming() as it:
        sink, _ = it.follow("0")
        it.commit(3)
        await until(lambda: sink.heard == numbers(1, 3))
        del it.source.events[1:]
        it.stream.wake()
        await until(lambda: sink.refusals)
        assert isinstance(sink.refusals[0], PositionUnknownError)
        fresh, _ = it.follow("1")
        it.commit(1)
        await until(lambda: fresh.heard == ["2"])


async def test_a_transaction_that_holds_back_events_is_reported_once() -> None:
    async with streaming() as it:
        it.source.waiting_seconds = 12.0
        sink, _ = it.follow("0")
        await until(lambda: it.log.calls)
        it.source.waiting_seconds = None
        it.commit(1)
        await until(lambda: sink.heard == ["1"])
        [line] = [call for call in it.log.calls if "open transaction" in call.args[0]]
        assert (line.method_name, line.kwargs["oldest_event_s"]) == ("warning", 12.0)


def test_a_tail_knows_every_position_that_it_holds_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_tail, "MOST_EVENTS", 4)
    tail = EventTail("0")
    for number in range(1, 8):
        tail.add(EventPage(events=(placed(number),), position=str(number), more=False, waiting_seconds=None))
    assert [number for number in range(9) if str(number) in tail] == [3, 4, 5, 6, 7]
    for number in range(3, 8):
        page = tail.after(str(number), 10, None)
        assert [event.position for event in page.events] == numbers(number + 1, 7)
        assert page.position == "7"
    assert [event.position for event in tail.after("3", 2, None).events] == ["4", "5"]
    assert (tail.after("3", 2, 9).events, tail.after("3", 2, 9).position) == ([], "5")

"""The publisher: what is published, which messages are believed, and that no caller ever waits for Redis."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast
from uuid import UUID, uuid4

import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.feed import listeners, publisher
from dexexec.feed.publisher import MAX_WAITING, Outgoing, Publisher, comes_from, decode, encode
from dexexec.testing.clock import ManualClock
from tests.support.parts import running
from tests.support.waiting import until

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORIGIN, OTHER = b"0123456789abcdef0123456789abcdef", b"fedcba9876543210fedcba9876543210"


def event(seq: int = 1, order_id: UUID | None = None, detail: dict[str, object] | None = None) -> Event:
    return Event(order_id=order_id or uuid4(), seq=seq, status=Status.ROUTING, at=AT, detail=detail or {})


class FakeRedis:
    """Publishes into a list; while `down`, it refuses. `gate` holds a publish on its way. A message has `receivers`."""

    def __init__(self) -> None:
        self.receivers = 1
        self.published: list[bytes] = []
        self.refused = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.changed = asyncio.Event()

    async def publish(self, _channel: str, message: bytes) -> int:
        self.changed.set()
        await self.gate.wait()
        if self.down:
            self.refused += 1
            raise RedisConnectionError("down")
        self.published.append(message)
        return self.receivers

    async def until(self, count: int) -> None:
        await until(lambda: len(self.published) >= count)


def publisher_on(fake: FakeRedis, listener: Callable[[Sequence[Outgoing]], None] = lambda _: None) -> Publisher:
    return Publisher(cast("redis.asyncio.Redis", fake), "dexexec:events", listener=listener)


@given(st.lists(st.tuples(st.uuids(), st.integers(1, 2**31 - 1), st.text()), max_size=8))
def test_what_is_encoded_is_decoded(items: list[tuple[UUID, int, str]]) -> None:
    events = [event(seq, order_id, {"reason": text}) for order_id, seq, text in items]
    assert [(a.order_id, a.seq, a.payload) for a in decode(encode(ORIGIN, map(Outgoing, events)))] == [
        (e.order_id, e.seq, e.encode()) for e in events
    ]


@given(st.binary(), st.sampled_from([b"", ORIGIN, ORIGIN + b"\n", OTHER + b"\n"]))
def test_no_message_makes_decode_fail(message: bytes, first: bytes) -> None:
    decode(first + message)
    assert comes_from(ORIGIN, first + message) == ((first + message).partition(b"\n")[:2] == (ORIGIN, b"\n"))


def test_a_message_names_the_process_it_comes_from() -> None:
    message = encode(ORIGIN, [Outgoing(event(3))])
    assert comes_from(ORIGIN, message)
    assert not comes_from(OTHER, message)
    assert not comes_from(ORIGIN[:-1], message)
    assert not comes_from(ORIGIN, encode(ORIGIN + b"0", [Outgoing(event(3))]))


def test_a_message_without_an_origin_is_from_another_process_and_is_read() -> None:
    origin, line = encode(ORIGIN, [Outgoing(event(3))]).split(b"\n")
    assert not comes_from(ORIGIN, line)
    assert [a.seq for a in decode(line)] == [3]
    assert not comes_from(ORIGIN, origin)
    assert decode(origin) == []


def test_no_two_processes_have_one_origin() -> None:
    fake = FakeRedis()
    assert publisher_on(fake).origin != publisher_on(fake).origin


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"01234567-89ab-cdef-0123-456789abcdef 1",
        b"01234567-89ab-cdef-0123-456789abcdef 1 ",
        b"01234567-89ab-cdef-0123-456789abcdef x {}",
        b"01234567-89ab-cdef-0123-456789abcdef -1 {}",
        b"01234567-89ab-cdef-0123-456789abcdef 99999999999 {}",
        b"z1234567-89ab-cdef-0123-456789abcdef 1 {}",
        b"\xff1234567-89ab-cdef-0123-456789abcdef 1 {}",
    ],
)
def test_a_foreign_line_is_left_out_and_its_neighbours_are_not(line: bytes) -> None:
    message = encode(ORIGIN, [Outgoing(event(3))])
    assert [a.seq for a in decode(b"\n".join([line, message, line]))] == [3]


async def test_events_of_one_order_are_published_in_order() -> None:
    fake, order_id = FakeRedis(), uuid4()
    subject = publisher_on(fake)
    run = asyncio.create_task(subject.run())
    subject.announce([event(1, order_id)])
    subject.announce([event(2, order_id), event(3, order_id)])
    await fake.until(1)
    assert [a.seq for message in fake.published for a in decode(message)] == [1, 2, 3]
    assert subject.lost == 0
    run.cancel()


async def test_events_that_come_during_a_publish_go_out_in_one_message() -> None:
    fake = FakeRedis()
    fake.gate.clear()
    subject = publisher_on(fake)
    run = asyncio.create_task(subject.run())
    subject.announce([event(1)])
    await fake.changed.wait()
    for seq in (2, 3, 4):
        subject.announce([event(seq)])
    fake.gate.set()
    await fake.until(2)
    assert [[a.seq for a in decode(message)] for message in fake.published] == [[1], [2, 3, 4]]
    run.cancel()


async def test_the_listener_has_events_at_once_and_their_json_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    encode_event = Event.encode

    def noted(self: Event) -> bytes:
        made.append(self.seq)
        return encode_event(self)

    monkeypatch.setattr(Event, "encode", noted)
    fake, heard = FakeRedis(), list[Outgoing]()
    subject = publisher_on(fake, heard.extend)
    subject.announce([event(1), event(2)])
    assert [one.event.seq for one in heard] == [1, 2]
    assert made == []  # it is not needed yet
    payload = heard[1].payload
    async with running(subject.run()):
        await fake.until(1)
    assert [a.payload for a in decode(fake.published[0])] == [encode_event(one.event) for one in heard]
    assert payload == encode_event(heard[1].event)
    assert sorted(made) == [1, 2]


async def test_each_message_names_the_process_it_comes_from() -> None:
    fake = FakeRedis()
    subject = publisher_on(fake)
    async with running(subject.run()):
        subject.announce([event(1)])
        await fake.until(1)
    assert comes_from(subject.origin, fake.published[0])


async def test_nothing_is_published_for_no_events() -> None:
    fake, batches = FakeRedis(), list[object]()
    subject = publisher_on(fake, batches.append)
    run = asyncio.create_task(subject.run())
    subject.announce([])
    subject.announce([event(1)])
    await fake.until(1)
    assert len(fake.published) == len(batches) == 1
    run.cancel()


async def test_without_redis_the_buffer_is_bounded_and_keeps_the_newest() -> None:
    fake = FakeRedis()
    subject = publisher_on(fake)
    subject.announce([event(seq) for seq in range(1, MAX_WAITING + 1)])
    subject.announce([event(MAX_WAITING + 1)])
    assert subject.lost == 1
    run = asyncio.create_task(subject.run())
    await fake.until(MAX_WAITING // publisher.MAX_BATCH)
    seqs = [a.seq for message in fake.published for a in decode(message)]
    assert seqs == list(range(2, MAX_WAITING + 2))
    run.cancel()


async def test_a_refusal_by_redis_does_not_stop_the_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.0)
    fake = FakeRedis()
    fake.down = True
    subject = publisher_on(fake)
    run = asyncio.create_task(subject.run())
    subject.announce([event(1), event(2)])
    await until(lambda: fake.refused > 0)
    fake.down = False
    subject.announce([event(3)])
    await fake.until(1)
    assert [a.seq for message in fake.published for a in decode(message)] == [3]
    assert subject.lost == 2
    run.cancel()


async def test_a_cancellation_that_the_client_swallows_still_ends_the_publisher() -> None:
    fake = FakeRedis()
    fake.gate.clear()

    async def swallow(_channel: str, message: bytes) -> int:
        try:
            return await FakeRedis.publish(fake, _channel, message)
        except asyncio.CancelledError:  # as wait_for of Python 3.11 does
            fake.published.append(message)
            return 1

    fake.publish = swallow  # type: ignore[method-assign]
    subject = publisher_on(fake)
    run = asyncio.create_task(subject.run())
    subject.announce([event(1)])
    await fake.changed.wait()
    run.cancel()
    done, _ = await asyncio.wait([run], timeout=20)
    assert done
    assert run.cancelled()


def seqs(fake: FakeRedis) -> list[list[int]]:
    return [[a.seq for a in decode(message)] for message in fake.published]


async def test_without_another_listener_only_one_message_in_a_while_is_published() -> None:
    fake, clock, heard = FakeRedis(), ManualClock(), list[Outgoing]()
    subject = Publisher(cast("redis.asyncio.Redis", fake), "events", listener=heard.extend, clock=clock)
    subject.listening(own=True)
    async with running(subject.run()):
        await fake.until(1)
        for seq in (1, 2):
            subject.announce([event(seq)])
        await until(lambda: not subject._waiting)
        clock.advance(listeners.COUNT_SECONDS)
        subject.announce([event(3)])
        await fake.until(2)
    assert seqs(fake) == [[], [3]]
    assert [one.event.seq for one in heard] == [1, 2, 3]
    assert subject.lost == 0


async def test_a_new_listener_is_heard_and_gets_the_next_event() -> None:
    fake = FakeRedis()
    subject = Publisher(cast("redis.asyncio.Redis", fake), "events", clock=ManualClock())
    subject.listening(own=True)
    async with running(subject.run()):
        await fake.until(1)
        fake.receivers = 2
        subject.heard()
        for seq in (1, 2, 3):
            subject.announce([event(seq)])
            await fake.until(1 + seq)
    assert seqs(fake) == [[], [1], [2], [3]]


async def test_a_listener_that_is_heard_before_the_count_of_others_gets_the_next_event() -> None:
    """Redis may have counted before it began to listen."""
    fake = FakeRedis()
    fake.gate.clear()
    subject = Publisher(cast("redis.asyncio.Redis", fake), "events", clock=ManualClock())
    subject.listening(own=True)
    async with running(subject.run()):
        await fake.changed.wait()
        subject.heard()
        fake.gate.set()
        await fake.until(1)
        subject.announce([event(1)])
        await fake.until(2)
    assert seqs(fake) == [[], [1]]


async def test_a_feed_that_begins_to_listen_announces_itself_also_to_an_older_version() -> None:
    fake = FakeRedis()
    subject = publisher_on(fake)
    async with running(subject.run()):
        subject.listening(own=True)
        await fake.until(1)
    assert comes_from(subject.origin, fake.published[0])
    assert decode(fake.published[0]) == []

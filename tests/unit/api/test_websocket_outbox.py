"""The outbox: bounded in bytes, in order, whole frames, paced for history and merciless for live events."""

import asyncio
from typing import cast

import pytest
from tornado.iostream import IOStream, StreamClosedError

from dexexec.api.websocket_outbox import HEADER, MAX_WRITE, Outbox, text_frame
from tests.support.waiting import until


class FakeStream:
    """A stream whose peer takes everything at once, or nothing while `stuck`."""

    def __init__(self) -> None:
        self.max_write_buffer_size: int | None = None
        self.writes: list[bytes] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.stuck = False
        self.gone = False

    def closed(self) -> bool:
        return self.gone

    def write(self, data: bytes) -> "asyncio.Future[None]":
        if self.gone:
            raise StreamClosedError
        assert self.max_write_buffer_size is not None
        assert len(data) <= self.max_write_buffer_size
        self.writes.append(data)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.stuck:
            self.waiting.append(future)
        else:
            future.set_result(None)
        return future

    def release(self) -> None:
        self.stuck = False
        while self.waiting:
            self.waiting.pop(0).set_result(None)


class RecordingOwner:
    def __init__(self) -> None:
        self.overflows = self.progress = 0

    def overflow(self) -> None:
        self.overflows += 1

    def moved(self) -> None:
        self.progress += 1


def outbox(stream: FakeStream, limit: int, owner: RecordingOwner | None = None) -> Outbox:
    owner = owner or RecordingOwner()
    return Outbox(cast("IOStream", stream), limit, owner.overflow, owner.moved)


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_has_the_header_of_its_length(size: int, header: bytes) -> None:
    assert text_frame(b"x" * size) == (header, b"x" * size)
    assert len(header) <= HEADER


async def test_messages_of_one_turn_go_out_in_one_write() -> None:
    stream = FakeStream()
    subject = outbox(stream, 1_000)
    subject.send(b"one")
    subject.send(b"two")
    await until(lambda: bool(stream.writes))
    assert stream.writes == [b"\x81\x03one\x81\x03two"]
    assert subject.size == 0
    subject.send(b"three")
    await until(lambda: len(stream.writes) == 2)


async def test_a_write_is_bounded_and_the_next_waits_until_the_peer_took_it() -> None:
    stream = FakeStream()
    stream.stuck = True
    owner = RecordingOwner()
    subject = outbox(stream, 10 * MAX_WRITE, owner)
    message = b"x" * (MAX_WRITE // 2 - HEADER)
    for _ in range(5):
        subject.send(message)
    await until(lambda: bool(stream.writes))
    assert [len(data) <= MAX_WRITE for data in stream.writes] == [True]
    assert subject.size == 5 * (len(message) + HEADER)
    stream.release()
    await until(lambda: subject.size == 0)
    assert b"".join(stream.writes) == b"".join(text_frame(message)) * 5
    assert owner.progress == 1


async def test_requests_over_the_limit_are_not_queued_and_get_an_error() -> None:
    stream = FakeStream()
    stream.stuck = True
    owner = RecordingOwner()
    subject = outbox(stream, 1_000, owner)
    for _ in range(9):
        subject.send(b"x" * 100)
    assert (owner.overflows, subject.size) == (0, 9 * (100 + HEADER))
    subject.send(b"x" * 100)
    assert (owner.overflows, subject.size) == (1, 9 * (100 + HEADER))


async def test_what_the_peer_has_not_taken_counts() -> None:
    stream = FakeStream()
    stream.stuck = True
    owner = RecordingOwner()
    subject = outbox(stream, 1_000, owner)
    subject.send(b"x" * 900)
    await until(lambda: bool(stream.writes))
    subject.send(b"x" * 100)
    assert owner.overflows == 1


async def test_a_message_larger_than_the_limit_passes_when_nothing_waits() -> None:
    stream = FakeStream()
    owner = RecordingOwner()
    subject = outbox(stream, 1_000, owner)
    subject.send(b"x" * 200_000)
    await until(lambda: bool(stream.writes))
    assert owner.overflows == 0


async def test_history_waits_until_half_of_the_limit_is_free() -> None:
    stream = FakeStream()
    stream.stuck = True
    subject = outbox(stream, 1_000)
    subject.send(b"x" * 400)
    await asyncio.wait_for(subject.room(50), 20)
    waiting = asyncio.create_task(subject.room(100))
    await until(lambda: bool(stream.writes))
    assert not waiting.done()
    stream.release()
    await asyncio.wait_for(waiting, 20)


async def test_a_large_event_of_a_history_passes_when_nothing_waits() -> None:
    await asyncio.wait_for(outbox(FakeStream(), 1_000).room(5_000), 20)


async def test_a_closed_outbox_drops_what_waits_and_ends_all_waits() -> None:
    stream = FakeStream()
    stream.stuck = True
    subject = outbox(stream, 1_000)
    subject.send(b"x" * 400)
    await until(lambda: bool(stream.writes))
    subject.send(b"never")
    waiting = asyncio.create_task(subject.room(400))
    await asyncio.sleep(0)
    subject.close(last=b"why")
    await asyncio.wait_for(waiting, 20)
    subject.send(b"nor this")
    stream.release()
    await asyncio.sleep(0)
    assert stream.writes == [b"".join(text_frame(b"x" * 400)), b"\x81\x03why"]


async def test_a_stream_that_is_gone_closes_the_outbox() -> None:
    stream = FakeStream()
    subject = outbox(stream, 1_000)
    stream.gone = True
    subject.send(b"x")
    await until(lambda: subject.size == 0)
    subject.close(last=b"why")
    assert stream.writes == []


async def test_a_stream_that_breaks_under_a_write_closes_the_outbox() -> None:
    stream = FakeStream()
    stream.stuck = True
    owner = RecordingOwner()
    subject = outbox(stream, 1_000, owner)
    subject.send(b"x" * 400)
    await until(lambda: bool(stream.writes))
    waiting = asyncio.create_task(subject.room(400))
    stream.waiting[0].set_exception(StreamClosedError())
    await asyncio.wait_for(waiting, 20)
    assert (subject.size, owner.progress) == (0, 0)

"""One subscriber's orders: what is delivered when reads are late, fail, or find nothing, and what is kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

import pytest

from dexexec.errors import UnavailableError
from dexexec.feed import subscriber
from dexexec.feed.subscriber import WINDOW, Follower, Wanted
from dexexec.feed.subscription import EncodedEvent, Subscription
from tests.support.waiting import until

ORDER = UUID("01234567-89ab-cdef-0123-456789abcdef")


def event(seq: int, final: bool = False) -> EncodedEvent:
    return EncodedEvent(seq, final, b'{"seq":%d}' % seq)


def rows(first: int, last: int, final: bool = False) -> list[EncodedEvent]:
    return [event(seq, final and seq == last) for seq in range(first, last + 1)]


class Record:
    """Postgres as the follower sees it. While `gate` is clear, reads are on their way; while `down`, they fail."""

    def __init__(self) -> None:
        self.orders: dict[UUID, list[EncodedEvent]] = {}
        self.live: dict[UUID, tuple[Subscription, Follower]] = {}
        self.reads: list[list[tuple[UUID, int]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False

    def attach(self, subscription: Subscription, to: Follower) -> None:
        self.live[subscription.order_id] = (subscription, to)

    def detach(self, subscription: Subscription) -> None:
        if self.live.get(subscription.order_id, (None,))[0] is subscription:
            del self.live[subscription.order_id]

    async def read(self, wanted: Sequence[Wanted]) -> list[list[EncodedEvent] | None]:
        self.reads.append([(item.order_id, item.after) for item in wanted])
        await self.gate.wait()
        if self.down:
            raise UnavailableError("down")
        found = [(self.orders.get(order_id), after) for order_id, after, _ in wanted]
        return [None if events is None else [e for e in events if e.seq > after] for events, after in found]

    def announce(self, order_id: UUID, seq: int) -> None:
        subscription, to = self.live[order_id]
        to.offer(subscription, self.orders[order_id][seq - 1])


class RecordingSink:
    """A sink that keeps all, and lets history in only while `open`."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.open = asyncio.Event()
        self.open.set()

    def event(self, payload: bytes) -> None:
        self.calls.append(payload)

    async def wait_for_room(self, size: int) -> None:
        assert size > 0
        await self.open.wait()

    def ended(self, order_id: UUID, seq: int) -> None:
        self.calls.append(("ended", order_id, seq))

    def refused(self, order_id: UUID, code: str, message: str) -> None:
        assert message
        self.calls.append((code, order_id))

    def unavailable(self) -> None:
        self.calls.append("unavailable")

    def failed(self, error: BaseException) -> None:
        self.calls.append(error)


async def followed(record: Record, sink: RecordingSink, after_seq: int, calls: int = 1) -> Follower:
    """Follow the order, and wait until the sink has had `calls` calls."""
    subject = Follower(record, sink)
    subject.follow(ORDER, after_seq)
    await until(lambda: len(sink.calls) >= calls)
    return subject


async def test_an_order_is_registered_for_live_events_before_it_is_read() -> None:
    record, sink = Record(), RecordingSink()
    record.orders[ORDER] = rows(1, 2)
    record.gate.clear()
    subject = Follower(record, sink)
    subject.follow(ORDER, 0)
    await until(lambda: bool(record.reads))
    record.orders[ORDER] = rows(1, 3)
    record.announce(ORDER, 3)
    record.orders[ORDER] = rows(1, 2)  # what the read sees is older than what was announced
    record.gate.set()
    await until(lambda: len(sink.calls) == 3)
    assert sink.calls == [e.payload for e in rows(1, 3)]
    assert len(record.reads) == 1


async def test_an_unknown_order_is_refused_and_forgotten() -> None:
    record, sink = Record(), RecordingSink()
    subject = await followed(record, sink, 0)
    assert sink.calls == [("order-not-found", ORDER)]
    assert (len(subject), record.live) == (0, {})


async def test_after_seq_beyond_the_last_event_is_refused() -> None:
    record, sink = Record(), RecordingSink()
    record.orders[ORDER] = rows(1, 2)
    subject = await followed(record, sink, 3)
    assert sink.calls == [("after-seq-ahead", ORDER)]
    assert (len(subject), record.live) == (0, {})


async def test_resuming_after_the_final_event_ends_at_once() -> None:
    record, sink = Record(), RecordingSink()
    record.orders[ORDER] = rows(1, 5, final=True)
    subject = await followed(record, sink, 5)
    assert sink.calls == [("ended", ORDER, 5)]
    assert (len(subject), record.live) == (0, {})


async def test_after_the_final_event_nothing_is_kept() -> None:
    record, sink = Record(), RecordingSink()
    record.orders[ORDER] = rows(1, 5, final=True)
    subject = await followed(record, sink, 0, calls=5)
    assert (len(subject), record.live) == (0, {})


async def test_while_postgres_is_down_the_subscriber_gets_one_error_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(subscriber, "LONGEST_PAUSE", 0.0)
    record, sink = Record(), RecordingSink()
    record.orders[ORDER] = rows(1, 2)
    record.down = True
    subject = Follower(record, sink)
    subject.follow(ORDER, 0)
    await until(lambda: len(record.reads) > 3)
    record.down = False
    await until(lambda: len(sink.calls) == 3)
    assert sink.calls == ["unavailable", *(e.payload for e in rows(1, 2))]


async def test_an_order_that_is_unfollowed_during_its_read_delivers_nothing() -> None:
    record, sink = Record(), RecordingSink()
    other = uuid4()
    record.orders = {ORDER: rows(1, 2), other: rows(1, 1)}
    record.gate.clear()
    subject = Follower(record, sink)
    subject.follow(ORDER, 1)
    subject.follow(other, 0)
    await until(lambda: bool(record.reads))
    assert subject.unfollow(ORDER) == 1
    assert subject.unfollow(ORDER) is None
    record.gate.set()
    await until(lambda: bool(sink.calls))
    assert sink.calls == [event(1).payload]


async def test_an_unknown_order_that_is_unfollowed_during_its_read_is_not_refused() -> None:
    record, sink = Record(), RecordingSink()
    record.gate.clear()
    subject = Follower(record, sink)
    subject.follow(ORDER, 0)
    await until(lambda: bool(record.reads))
    subject.unfollow(ORDER)
    subject.follow(uuid4(), 0)
    record.gate.set()
    await until(lambda: len(record.reads) == 2 and bool(sink.calls))
    assert [calls[0] for calls in sink.calls if isinstance(calls, tuple)] == ["order-not-found"]
    assert ("order-not-found", ORDER) not in sink.calls


async def test_an_order_followed_again_during_the_old_read_gets_each_event_once() -> None:
    record, sink = Record(), RecordingSink()
    record.orders[ORDER] = rows(1, 3)
    record.gate.clear()
    subject = Follower(record, sink)
    subject.follow(ORDER, 0)
    await until(lambda: bool(record.reads))
    subject.unfollow(ORDER)
    subject.follow(ORDER, 1)
    record.gate.set()
    await until(lambda: len(record.reads) == 2 and len(sink.calls) == 2)
    assert sink.calls == [e.payload for e in rows(2, 3)]


async def test_history_waits_for_a_sink_that_has_no_room_and_holds_one_window() -> None:
    record, sink = Record(), RecordingSink()
    ids = [uuid4() for _ in range(3 * WINDOW)]
    record.orders = {order_id: rows(1, 4, final=True) for order_id in ids}
    sink.open.clear()
    subject = Follower(record, sink)
    for order_id in ids:
        subject.follow(order_id, 0)
    await until(lambda: bool(record.reads))
    for _ in range(20):  # as many turns of the loop as it may want
        await asyncio.sleep(0)
    assert [len(read) for read in record.reads] == [WINDOW]
    assert sink.calls == []
    sink.open.set()
    await until(lambda: len(sink.calls) == 4 * len(ids))
    assert len(subject) == 0


async def test_a_subscription_that_starts_just_after_the_last_read_is_read_too() -> None:
    record, sink = Record(), RecordingSink()
    second = uuid4()
    record.orders = {ORDER: rows(1, 1), second: rows(1, 1)}
    subject = Follower(record, sink)

    def event_then_follow(payload: bytes) -> None:
        sink.calls.append(payload)
        if second not in subject:
            asyncio.get_running_loop().call_soon(subject.follow, second, 0)

    sink.event = event_then_follow  # type: ignore[method-assign]
    subject.follow(ORDER, 0)
    await until(lambda: len(sink.calls) == 2)


async def test_a_closed_follower_stops_reading_and_is_forgotten() -> None:
    record, sink = Record(), RecordingSink()
    record.orders[ORDER] = rows(1, 2)
    record.gate.clear()
    subject = Follower(record, sink)
    subject.follow(ORDER, 0)
    await until(lambda: bool(record.reads))
    subject.close()
    record.gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert (sink.calls, len(subject), record.live) == ([], 0, {})


async def test_a_sink_may_close_its_follower_from_within_a_delivery() -> None:
    record, sink = Record(), RecordingSink()
    record.orders[ORDER] = rows(1, 5)
    subject = Follower(record, sink)

    def refuse(payload: bytes) -> None:
        sink.calls.append(payload)
        subject.close()

    sink.event = refuse  # type: ignore[method-assign]
    subject.follow(ORDER, 0)
    await until(lambda: bool(sink.calls))
    for _ in range(10):
        await asyncio.sleep(0)
    assert (sink.calls, len(subject), record.live) == ([event(1).payload], 0, {})


async def test_an_internal_error_is_reported_to_the_sink() -> None:
    record, sink = Record(), RecordingSink()

    async def broken(_wanted: Sequence[tuple[UUID, int]]) -> list[list[EncodedEvent] | None]:
        raise KeyError("ours")

    read: Callable[[Sequence[tuple[UUID, int]]], Awaitable[list[list[EncodedEvent] | None]]] = broken
    record.read = read  # type: ignore[method-assign, assignment]
    await followed(record, sink, 0)
    assert isinstance(sink.calls[0], KeyError)

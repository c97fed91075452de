"""One subscriber's orders: what is delivered when reads are late, fail, or find nothing, and what is kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

import pytest

from dexexec.errors import UnavailableError
from dexexec.feed import subscriber
from dexexec.feed.subscriber import WINDOW, Follower
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

    async def read(self, wanted: Sequence[tuple[UUID, int]]) -> list[list[EncodedEvent] | None]:
        self.reads.append(list(wanted))
        await self.gate.wait()
        if self.down:
            raise UnavailableError("down")
        found = [(self.orders.get(order_id), after) for order_id, after in wanted]
        return [None if events is None else [e for e in events if e.seq > after] for events, after in found]

    def announce(self, order_id: UUID, seq: int) -> None:
        subscription, to = self.live[order_id]
        to.offer(subscription, self.orders[order_id][seq - 1])


class Seen:
    """A sink that keeps all, and lets history in only while `open`."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.open = asyncio.Event()
        self.open.set()

    def event(self, payload: bytes) -> None:
        self.said.append(payload)

    async def wait_for_room(self, size: int) -> None:
        assert size > 0
        await self.open.wait()

    def ended(self, order_id: UUID, seq: int) -> None:
        self.said.append(("ended", order_id, seq))

    def refused(self, order_id: UUID, code: str, message: str) -> None:
        assert message
        self.said.append((code, order_id))

    def unavailable(self) -> None:
        self.said.append("unavailable")

    def failed(self, error: BaseException) -> None:
        self.said.append(error)


async def followed(record: Record, seen: Seen, after_seq: int, said: int = 1) -> Follower:
    """A follower of the order, once `seen` was told so many things."""
    subject = Follower(record, seen)
    subject.follow(ORDER, after_seq)
    await until(lambda: len(seen.said) >= said)
    return subject


async def test_an_order_is_registered_for_live_events_before_it_is_read() -> None:
    record, seen = Record(), Seen()
    record.orders[ORDER] = rows(1, 2)
    record.gate.clear()
    subject = Follower(record, seen)
    subject.follow(ORDER, 0)
    await until(lambda: bool(record.reads))
    record.orders[ORDER] = rows(1, 3)
    record.announce(ORDER, 3)
    record.orders[ORDER] = rows(1, 2)  # what the read sees is older than what was announced
    record.gate.set()
    await until(lambda: len(seen.said) == 3)
    assert seen.said == [e.payload for e in rows(1, 3)]
    assert len(record.reads) == 1


async def test_an_unknown_order_is_refused_and_forgotten() -> None:
    record, seen = Record(), Seen()
    subject = await followed(record, seen, 0)
    assert seen.said == [("order-not-found", ORDER)]
    assert (len(subject), record.live) == (0, {})


async def test_after_seq_beyond_the_last_event_is_refused() -> None:
    record, seen = Record(), Seen()
    record.orders[ORDER] = rows(1, 2)
    subject = await followed(record, seen, 3)
    assert seen.said == [("after-seq-ahead", ORDER)]
    assert (len(subject), record.live) == (0, {})


async def test_resuming_after_the_final_event_ends_at_once() -> None:
    record, seen = Record(), Seen()
    record.orders[ORDER] = rows(1, 5, final=True)
    subject = await followed(record, seen, 5)
    assert seen.said == [("ended", ORDER, 5)]
    assert (len(subject), record.live) == (0, {})


async def test_after_the_final_event_nothing_is_kept() -> None:
    record, seen = Record(), Seen()
    record.orders[ORDER] = rows(1, 5, final=True)
    subject = await followed(record, seen, 0, said=5)
    assert (len(subject), record.live) == (0, {})


async def test_while_postgres_is_down_the_subscriber_gets_one_error_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(subscriber, "LONGEST_PAUSE", 0.0)
    record, seen = Record(), Seen()
    record.orders[ORDER] = rows(1, 2)
    record.down = True
    subject = Follower(record, seen)
    subject.follow(ORDER, 0)
    await until(lambda: len(record.reads) > 3)
    record.down = False
    await until(lambda: len(seen.said) == 3)
    assert seen.said == ["unavailable", *(e.payload for e in rows(1, 2))]


async def test_what_is_unfollowed_while_it_is_read_delivers_nothing() -> None:
    record, seen = Record(), Seen()
    other = uuid4()
    record.orders = {ORDER: rows(1, 2), other: rows(1, 1)}
    record.gate.clear()
    subject = Follower(record, seen)
    subject.follow(ORDER, 1)
    subject.follow(other, 0)
    await until(lambda: bool(record.reads))
    assert subject.unfollow(ORDER) == 1
    assert subject.unfollow(ORDER) is None
    record.gate.set()
    await until(lambda: bool(seen.said))
    assert seen.said == [event(1).payload]


async def test_an_unknown_order_that_is_unfollowed_while_it_is_read_is_not_spoken_of_again() -> None:
    record, seen = Record(), Seen()
    record.gate.clear()
    subject = Follower(record, seen)
    subject.follow(ORDER, 0)
    await until(lambda: bool(record.reads))
    subject.unfollow(ORDER)
    subject.follow(uuid4(), 0)
    record.gate.set()
    await until(lambda: len(record.reads) == 2 and bool(seen.said))
    assert [said[0] for said in seen.said if isinstance(said, tuple)] == ["order-not-found"]
    assert ("order-not-found", ORDER) not in seen.said


async def test_an_order_followed_anew_while_the_old_read_is_on_its_way_gets_each_event_once() -> None:
    record, seen = Record(), Seen()
    record.orders[ORDER] = rows(1, 3)
    record.gate.clear()
    subject = Follower(record, seen)
    subject.follow(ORDER, 0)
    await until(lambda: bool(record.reads))
    subject.unfollow(ORDER)
    subject.follow(ORDER, 1)
    record.gate.set()
    await until(lambda: len(record.reads) == 2 and len(seen.said) == 2)
    assert seen.said == [e.payload for e in rows(2, 3)]


async def test_history_waits_for_a_sink_that_has_no_room_and_holds_one_window() -> None:
    record, seen = Record(), Seen()
    ids = [uuid4() for _ in range(3 * WINDOW)]
    record.orders = {order_id: rows(1, 4, final=True) for order_id in ids}
    seen.open.clear()
    subject = Follower(record, seen)
    for order_id in ids:
        subject.follow(order_id, 0)
    await until(lambda: bool(record.reads))
    for _ in range(20):  # as many turns of the loop as it may want
        await asyncio.sleep(0)
    assert [len(read) for read in record.reads] == [WINDOW]
    assert seen.said == []
    seen.open.set()
    await until(lambda: len(seen.said) == 4 * len(ids))
    assert len(subject) == 0


async def test_a_subscription_that_starts_when_the_last_read_has_just_ended_is_read_too() -> None:
    record, seen = Record(), Seen()
    second = uuid4()
    record.orders = {ORDER: rows(1, 1), second: rows(1, 1)}
    subject = Follower(record, seen)

    def event_then_follow(payload: bytes) -> None:
        seen.said.append(payload)
        if second not in subject:
            asyncio.get_running_loop().call_soon(subject.follow, second, 0)

    seen.event = event_then_follow  # type: ignore[method-assign]
    subject.follow(ORDER, 0)
    await until(lambda: len(seen.said) == 2)


async def test_a_closed_follower_stops_reading_and_is_forgotten() -> None:
    record, seen = Record(), Seen()
    record.orders[ORDER] = rows(1, 2)
    record.gate.clear()
    subject = Follower(record, seen)
    subject.follow(ORDER, 0)
    await until(lambda: bool(record.reads))
    subject.close()
    record.gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert (seen.said, len(subject), record.live) == ([], 0, {})


async def test_a_sink_may_close_its_follower_from_within_a_delivery() -> None:
    record, seen = Record(), Seen()
    record.orders[ORDER] = rows(1, 5)
    subject = Follower(record, seen)

    def refuse(payload: bytes) -> None:
        seen.said.append(payload)
        subject.close()

    seen.event = refuse  # type: ignore[method-assign]
    subject.follow(ORDER, 0)
    await until(lambda: bool(seen.said))
    for _ in range(10):
        await asyncio.sleep(0)
    assert (seen.said, len(subject), record.live) == ([event(1).payload], 0, {})


async def test_an_internal_error_is_reported_to_the_sink() -> None:
    record, seen = Record(), Seen()

    async def broken(_wanted: Sequence[tuple[UUID, int]]) -> list[list[EncodedEvent] | None]:
        raise KeyError("ours")

    read: Callable[[Sequence[tuple[UUID, int]]], Awaitable[list[list[EncodedEvent] | None]]] = broken
    record.read = read  # type: ignore[method-assign, assignment]
    await followed(record, seen, 0)
    assert isinstance(seen.said[0], KeyError)

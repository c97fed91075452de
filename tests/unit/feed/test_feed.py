"""The feed: two ways to a subscriber, directly from the commits of this process and over Redis from those of others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import cast
from uuid import UUID, uuid4

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.failpoints import Failpoint
from dexexec.feed.feed import Feed
from dexexec.feed.followed_orders import FollowedOrders
from dexexec.feed.publisher import Outgoing, Publisher, encode
from dexexec.feed.subscriber import Follower
from dexexec.observe.observer import Observer, make_logger
from tests.support.parts import running
from tests.support.streaming import LIFE, MemoryRecord
from tests.support.waiting import until
from tests.unit.feed.test_subscriber import RecordingSink


class Channel:
    """A Redis that has nothing but one channel; the connection to it as well. While `down`, it refuses everything."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.taken = 0
        self.down = False

    @property
    def client(self) -> redis.asyncio.Redis:
        return cast("redis.asyncio.Redis", self)

    def pubsub(self) -> "Channel":
        return self

    async def __aenter__(self) -> "Channel":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass

    async def subscribe(self, _channel: str) -> None:
        await self.publish("", b"", kind="subscribe")

    async def publish(self, _channel: str, message: bytes, kind: str = "message") -> int:
        if self.down:
            raise RedisConnectionError("down")
        self.messages.put_nowait({"type": kind, "data": message})
        return 1

    async def get_message(self, timeout: float) -> dict[str, object]:
        self.taken += 1
        return await self.messages.get()

    async def read_to_here(self) -> None:
        """Until the feed has done with all that was published."""
        await until(self.messages.empty)
        taken = self.taken
        await self.publish("", b"a message of no process")
        await until(lambda: self.taken > taken)


class NotingFailpoints:
    def __init__(self) -> None:
        self.passed: list[Failpoint] = []

    async def reach(self, name: Failpoint) -> None:
        self.passed.append(name)


class GatedRecord(MemoryRecord):
    """While `gate` is clear, the rows of reads are on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def events_after(self, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
        found = await super().events_after(wanted)
        await self.gate.wait()
        return found


@dataclass(frozen=True, slots=True)
class FeedSetup:
    """A process with a feed and a publisher, and one subscriber."""

    record: GatedRecord
    channel: Channel
    failpoints: NotingFailpoints
    publisher: Publisher
    orders: FollowedOrders
    feed: Feed
    sink: RecordingSink
    follower: Follower

    async def followed(self) -> UUID:
        """A new order, whose first event the subscriber has."""
        order_id = await self.record.create()
        before = len(self.sink.calls)
        self.follower.follow(order_id, 0)
        await until(lambda: len(self.sink.calls) > before)
        return order_id


@asynccontextmanager
async def setup(*, run: bool = True) -> AsyncIterator[FeedSetup]:
    record, channel, failpoints, sink = GatedRecord(), Channel(), NotingFailpoints(), RecordingSink()
    followed = FollowedOrders()
    publisher = Publisher(channel.client, "events", failpoints, listener=followed.put_committed)
    observer = Observer(make_logger("error"))
    feed = Feed(
        record, channel.client, publisher, followed, observe=observer, poll_seconds=3_600, failpoints=failpoints
    )
    follower = feed.follower(sink)
    async with running(*([publisher.run(), feed.run()] if run else [])):
        yield FeedSetup(record, channel, failpoints, publisher, followed, feed, sink, follower)
        follower.close()


async def test_events_of_this_process_are_delivered_while_redis_is_down() -> None:
    async with setup() as it:
        order_id = await it.followed()
        it.channel.down = True
        events = [await it.record.step(order_id, status) for status in LIFE[1:]]
        for event in events:
            it.publisher.announce([event])
        await until(lambda: len(it.sink.calls) == len(LIFE))
        assert it.sink.calls[1:] == [event.encode() for event in events]
        assert it.record.statements == 1


async def test_messages_of_the_own_process_are_ignored() -> None:
    """What is forged in our name does not arrive; the same in another's does."""
    async with setup() as it:
        order_id = await it.followed()
        forged = Outgoing(await it.record.step(order_id, Status.ROUTING, reason="forged"))
        await it.channel.publish("events", encode(it.publisher.origin, [forged]))
        await it.channel.read_to_here()
        assert len(it.sink.calls) == 1
        await it.channel.publish("events", encode(uuid4().hex.encode(), [forged]))
        await until(lambda: len(it.sink.calls) == 2)
        assert it.sink.calls[1] == forged.payload


async def test_an_event_that_arrives_directly_and_over_redis_is_delivered_once() -> None:
    async with setup() as it:
        order_id = await it.followed()
        second = await it.record.step(order_id, Status.ROUTING)
        it.publisher.announce([second])
        await it.channel.publish("events", encode(b"elsewhere", [Outgoing(second)]))
        it.publisher.announce([second])
        await it.channel.read_to_here()
        assert it.sink.calls[1:] == [second.encode()]


async def test_an_event_of_this_process_may_overtake_one_of_another() -> None:
    async with setup() as it:
        order_id = await it.followed()
        second, third = [await it.record.step(order_id, status) for status in LIFE[1:3]]
        it.publisher.announce([third])
        await until(lambda: len(it.sink.calls) == 3)
        await it.channel.publish("events", encode(b"elsewhere", [Outgoing(second)]))
        await it.channel.read_to_here()
        assert it.sink.calls[1:] == [second.encode(), third.encode()]


async def test_an_event_that_is_committed_during_the_first_read_waits_for_it() -> None:
    async with setup() as it:
        order_id = await it.record.create()
        it.record.gate.clear()
        it.follower.follow(order_id, 0)
        await until(lambda: it.record.rows_read == 1)  # these rows end with event 1, and are on their way
        later = [await it.record.step(order_id, status) for status in LIFE[1:]]
        for event in later:
            it.publisher.announce([event])
        await until(lambda: it.failpoints.passed.count(Failpoint.HEARD) == len(later))
        assert it.sink.calls == []
        it.record.gate.set()
        await until(lambda: len(it.sink.calls) == len(LIFE))
        assert it.sink.calls == [event.encode() for event in it.record.events[order_id]]
        assert it.record.statements == 1


async def test_an_event_committed_just_before_a_subscription_is_in_the_history() -> None:
    """The event had no subscriber when it was handed over, and its echo is dropped."""
    async with setup() as it:
        order_id = await it.record.create()
        it.publisher.announce([await it.record.step(order_id, Status.ROUTING)])
        it.follower.follow(order_id, 0)
        await until(lambda: len(it.sink.calls) == 2)
        await it.channel.read_to_here()
        assert it.sink.calls == [event.encode() for event in it.record.events[order_id]]


async def test_an_event_without_subscribers_is_neither_kept_nor_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode_event = Event.encode

    def noted(self: Event) -> bytes:
        encoded.append(self.seq)
        return encode_event(self)

    monkeypatch.setattr(Event, "encode", noted)
    async with setup(run=False) as it:
        followed, other = await it.record.create(), await it.record.create()
        it.follower.follow(followed, 0)
        it.publisher.announce([await it.record.step(other, Status.ROUTING), await it.record.step(followed, LIFE[1])])
        it.publisher.announce([await it.record.step(other, Status.BUILDING)])
        assert it.orders._committed.qsize() == 1
        assert [one.event.order_id for one in it.orders._committed.get_nowait()] == [followed]
        assert encoded == []


async def test_a_failing_subscriber_ends_the_feed_and_not_the_commit() -> None:
    class Faulty(RecordingSink):
        def event(self, payload: bytes) -> None:
            if b'"seq":1' not in payload:
                raise ZeroDivisionError
            super().event(payload)

    async with setup(run=False) as it:
        order_id, sink = await it.record.create(), Faulty()
        feed = asyncio.create_task(it.feed.run())
        it.feed.follower(sink).follow(order_id, 0)
        await until(lambda: bool(sink.calls))
        it.publisher.announce([await it.record.step(order_id, Status.ROUTING)])
        with pytest.raises(ExceptionGroup) as fault:
            await asyncio.wait_for(feed, 20)
        assert isinstance(fault.value.exceptions[0], ZeroDivisionError)


async def test_a_failpoint_is_between_arrival_and_sockets_for_own_and_other_events() -> None:
    async with setup() as it:
        order_id = await it.followed()
        it.publisher.announce([await it.record.step(order_id, Status.ROUTING)])
        await until(lambda: len(it.sink.calls) == 2)
        assert it.failpoints.passed.count(Failpoint.HEARD) == 1
        await until(lambda: Failpoint.ANNOUNCING in it.failpoints.passed)
        await until(it.channel.messages.empty)
        assert it.failpoints.passed.count(Failpoint.HEARD) == 1
        event = await it.record.step(order_id, Status.BUILDING)
        await it.channel.publish("events", encode(b"elsewhere", [Outgoing(event)]))
        await until(lambda: len(it.sink.calls) == 3)
        assert it.failpoints.passed.count(Failpoint.HEARD) == 2


async def test_a_subscription_to_a_new_order_of_this_process_reads_nothing() -> None:
    async with setup() as it:
        await it.feed.listening.wait()
        order_id = await it.record.create()
        it.publisher.announce(it.record.events[order_id])
        it.publisher.announce([await it.record.step(order_id, LIFE[1])])
        it.follower.follow(order_id, 1)
        await until(lambda: len(it.sink.calls) == 1)
        assert it.sink.calls == [it.record.events[order_id][1].encode()]
        assert it.record.statements == 0


async def test_while_other_processes_are_not_heard_everything_is_read() -> None:
    async with setup() as it:
        await it.feed.listening.wait()
        it.feed.listening.clear()
        order_id = await it.record.create()
        it.publisher.announce(it.record.events[order_id])
        unheard = await it.record.step(order_id, LIFE[1])
        it.follower.follow(order_id, 0)
        await until(lambda: len(it.sink.calls) == 2)
        assert it.sink.calls[1] == unheard.encode()


async def test_an_order_that_another_process_goes_on_with_is_read() -> None:
    async with setup() as it:
        order_id = await it.record.create()
        it.publisher.announce(it.record.events[order_id])
        last = await it.record.step(order_id, LIFE[1])
        await it.channel.publish("events", encode(b"elsewhere", [Outgoing(last)]))
        await it.channel.read_to_here()
        it.follower.follow(order_id, 0)
        await until(lambda: len(it.sink.calls) == 2)
        assert it.sink.calls == [event.encode() for event in it.record.events[order_id]]


async def test_a_position_ahead_of_what_this_process_knows_is_compared_with_the_record() -> None:
    async with setup() as it:
        order_id = await it.record.create()
        it.publisher.announce(it.record.events[order_id])
        unannounced = [await it.record.step(order_id, status) for status in LIFE[1:3]]
        it.follower.follow(order_id, 2)
        await until(lambda: len(it.sink.calls) == 1)
        assert it.sink.calls == [unannounced[-1].encode()]


async def test_after_a_gap_in_what_is_heard_the_record_is_read_at_once() -> None:
    async with setup() as it:
        await it.feed.listening.wait()
        order_id = await it.record.create()
        it.publisher.announce(it.record.events[order_id])
        await it.record.step(order_id, LIFE[1])
        await it.channel.publish("", b"", kind="subscribe")
        await it.channel.read_to_here()
        it.follower.follow(order_id, 0)
        await until(lambda: len(it.sink.calls) == 2)
        assert it.sink.calls == [event.encode() for event in it.record.events[order_id]]

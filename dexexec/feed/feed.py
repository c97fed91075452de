"""Delivers events to the subscribers of this process, whether this or another process has committed them.

Between the publisher and `api` on an order's way. Events come directly from this process, and over Redis from
others. Postgres completes them: it is read when a subscription begins, when a `seq` is missing, and when a poll of the
followed orders' versions finds an event whose message was lost.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from itertools import islice
from time import monotonic
from typing import Protocol
from uuid import UUID

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from dexexec.concurrency.batcher import Batcher
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.event import Event
from dexexec.errors import UnavailableError
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.feed.followed_orders import FollowedOrders
from dexexec.feed.publisher import Publisher, comes_from, decode
from dexexec.feed.subscriber import Follower, Sink, Wanted
from dexexec.feed.subscription import AfterSeqCheck, EncodedEvent, Subscription
from dexexec.observe.observer import Observer

MAX_READ = 1_000
"""Subscriptions whose events are read by one statement."""
MAX_POLL = 5_000
"""Orders whose versions are read by one statement."""
MAX_SEQ = 2**31 - 1
"""No event has a higher one."""
SILENCE = 5.0
"""Seconds without a message after which Redis is pinged. After as long without an answer the connection is dead."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts to reach Redis


class History(Protocol):
    """What the feed reads from the store. All methods raise `UnavailableError`."""

    async def events_after(self, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
        """Return the events above the given `seq`, in order; an order that does not exist is absent."""

    async def versions(self, order_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return the last `seq` of each order that exists."""

    async def owners(self, order_ids: Sequence[UUID]) -> dict[UUID, int | None]:
        """Return whose each order is that exists (None: of no key)."""


class Feed:
    """Delivers events to the subscribers of one process. `redis` may be shared: the feed takes one connection of it for
    itself. `publisher` is the publisher of the same process, which puts its events into `followed`."""

    def __init__(
        self,
        history: History,
        redis: redis.asyncio.Redis,
        publisher: Publisher,
        followed: FollowedOrders,
        *,
        observe: Observer,
        poll_seconds: float = 2.0,
        failpoints: Failpoints = NO_FAILPOINTS,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """`heard` is called for each message of another process."""
        self._history = history
        self._heard = heard
        self._redis = redis
        self._publisher = publisher
        self._followed = followed
        self._failpoints = failpoints
        self._observe = observe
        self._poll_seconds = poll_seconds
        self._reads: Batcher[Wanted, list[EncodedEvent] | None] = Batcher(self._read_batch, MAX_READ)
        self._stale = asyncio.Event()
        self.listening = asyncio.Event()
        """Set while Redis delivers the events of other processes. Otherwise they arrive with the next poll."""

    def __len__(self) -> int:
        """Return how many orders are followed."""
        return len(self._followed)

    def follower(self, sink: Sink, owner: int | None = None) -> Follower:
        """Make the subscriptions of one subscriber, which sees the orders of `owner` (None: all). They must be
        closed."""
        return Follower(self, sink, owner)

    async def run(self) -> None:
        """Listen, poll, read and deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reads.run())
            tasks.create_task(self._deliver_own())
            tasks.create_task(self._listen())
            tasks.create_task(self._poll())

    # For followers

    def attach(self, subscription: Subscription, follower: Follower) -> None:
        """Pass the order's live events and versions to `follower`."""
        self._followed.attach(subscription, follower)

    def detach(self, subscription: Subscription) -> None:
        """Stop passing them. Harmless when repeated."""
        self._followed.detach(subscription)

    async def read(self, wanted: Sequence[Wanted]) -> list[list[EncodedEvent] | None]:
        """Return for each order its events after a `seq`, perhaps with some before it; None for an unknown order, and
        for one that the subscriber may not see. Raises `UnavailableError`."""
        # Batched over all subscribers: after a restart of Redis or Postgres, all of them read at once.
        return await asyncio.gather(*(self._reads.put(item) for item in wanted))

    async def check(self, order_id: UUID, after: int, owner: int | None) -> AfterSeqCheck | None:
        """Compare an `afterSeq` with the order's events; None if `owner` (None: any) has no such order. Raises
        `UnavailableError`."""
        # From the event itself on, or no event at all: every order has what follows 0.
        [events] = await self.read([Wanted(order_id, after - 1 if after else MAX_SEQ, owner)])
        return None if events is None else Subscription(order_id, after).confirm(events)

    async def _read_batch(self, wanted: list[Wanted]) -> list[list[EncodedEvent] | None]:
        encoded = await self._encoded_events(wanted)
        # An owner never changes from one key to another, so the two reads need no common snapshot.
        to_check = {item.order_id for item in wanted if item.owner is not None}
        owners = await self._history.owners(list(to_check)) if to_check else {}
        return [
            encoded.get(item.order_id) if item.owner is None or owners.get(item.order_id) == item.owner else None
            for item in wanted
        ]

    async def _encoded_events(self, wanted: Sequence[Wanted]) -> dict[UUID, list[EncodedEvent]]:
        """The events of each order that exists, at least those that are wanted."""
        # Two subscribers of one order share one read, from the lower of their positions.
        lowest: dict[UUID, int] = {}
        for item in wanted:
            lowest[item.order_id] = min(item.after, lowest.get(item.order_id, item.after))
        encoded: dict[UUID, list[EncodedEvent]] = {}
        for order_id, after in lowest.items():
            # Without an event after the position, the record may have newer ones, or the client a wrong `afterSeq`.
            # While nothing is heard of other processes, any of them may have written more.
            if self.listening.is_set() and (known := self._followed.recent.after(order_id, after)):
                encoded[order_id] = [EncodedEvent.from_outgoing(outgoing) for outgoing in known]
        unknown = [(order_id, after) for order_id, after in lowest.items() if order_id not in encoded]
        if unknown:
            events_of = await self._history.events_after(unknown)
            encoded |= {
                order_id: [EncodedEvent.from_event(e) for e in events] for order_id, events in events_of.items()
            }
        return encoded

    # This process

    async def _deliver_own(self) -> None:
        while True:
            committed = await self._followed.next_committed()
            await self._failpoints.reach(Failpoint.HEARD)
            for outgoing in committed:
                self._deliver(outgoing.event.order_id, EncodedEvent.from_outgoing(outgoing))

    def _deliver(self, order_id: UUID, event: EncodedEvent) -> None:
        for subscription, follower in self._followed.followers(order_id):
            follower.offer(subscription, event)

    # Redis

    async def _listen(self) -> None:
        pause = FIRST_PAUSE
        down_since: float | None = None
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._publisher.channel)
                    while True:
                        raise_if_cancelled()
                        await self._receive(pubsub)
                        if down_since is not None:
                            self._observe.server_recovered("listening to events", monotonic() - down_since)
                        pause = FIRST_PAUSE
                        down_since = None
            except (RedisError, OSError) as error:
                if down_since is None:
                    down_since = monotonic()
                    self._observe.server_unavailable("listening to events", error)
            finally:
                self.listening.clear()
                self._publisher.listening(own=False)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _receive(self, pubsub: PubSub) -> None:
        """Handle one message. Raises `ConnectionError` if none comes, and no answer to a ping."""
        # Without the ping, a connection whose other end has vanished would look like one without messages for hours.
        message = await pubsub.get_message(timeout=SILENCE)
        if message is None:
            await pubsub.ping()
            raise_if_cancelled()
            message = await pubsub.get_message(timeout=SILENCE)
        if message is None:
            raise RedisConnectionError("Redis does not answer")
        if message["type"] == "subscribe":
            # Also after each reconnection, which redis-py does by itself. Messages in between reached no subscriber, so
            # the versions are polled at once.
            self._followed.recent.forget_all()
            self.listening.set()
            self._publisher.listening(own=True)
            self._stale.set()
            self._heard()
        elif message["type"] == "message" and not comes_from(self._publisher.origin, message["data"]):
            self._publisher.heard()
            self._heard()
            await self._failpoints.reach(Failpoint.HEARD)
            self._followed.recent.forget_announced(message["data"])
            if len(self._followed):
                self._dispatch(message["data"])

    def _dispatch(self, message: bytes) -> None:
        for announcement in decode(message):
            if announcement.order_id not in self._followed:
                continue
            try:
                event = EncodedEvent.from_announcement(announcement)
            except ValueError:  # published by another program; if there is such an event, the poll finds it
                continue
            self._deliver(announcement.order_id, event)

    # Postgres

    async def _poll(self) -> None:
        down_since: float | None = None
        while True:
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await self._stale.wait()
            except TimeoutError:
                pass
            self._stale.clear()  # before the read: a reconnection during it needs another one
            try:
                await self._compare_versions()
            except UnavailableError as error:
                if down_since is None:
                    down_since = monotonic()
                    self._observe.server_unavailable("reading orders' versions", error)
            else:
                if down_since is not None:
                    self._observe.server_recovered("reading orders' versions", monotonic() - down_since)
                down_since = None

    async def _compare_versions(self) -> None:
        followed = iter(self._followed.order_ids())
        while order_ids := list(islice(followed, MAX_POLL)):
            versions = await self._history.versions(order_ids)
            for order_id, version in versions.items():
                self._followed.recent.forget_unless_at(order_id, version)
                for subscription, follower in self._followed.followers(order_id):
                    follower.learn(subscription, version)

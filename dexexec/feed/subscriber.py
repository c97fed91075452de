"""The orders that one subscriber (one WebSocket) follows, and reading the events that it lacks from Postgres.

Between the feed and `api.socket`. Live events go to the sink at once. Missing events are read for a few orders at a
time, and no faster than the sink takes them, so that a subscriber of thousands of orders needs little memory.
"""

import asyncio
import random
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, Protocol
from uuid import UUID

from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import UnavailableError
from dexexec.feed.subscription import AfterSeqCheck, EncodedEvent, Subscription

WINDOW = 50
"""Orders of one subscriber that are read at once. It bounds the memory of a replay whose client does not read."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds, while Postgres does not answer


class Sink(Protocol):
    """Receives a subscriber's events. Only `wait_for_room` may wait. Each method may close the follower."""

    def event(self, payload: bytes) -> None:
        """Deliver the next event of an order."""

    async def wait_for_room(self, size: int) -> None:
        """Wait until `size` bytes of history can be buffered."""

    def ended(self, order_id: UUID, seq: int) -> None:
        """The subscription has ended, because `seq` is the order's last event and the subscriber has it."""

    def refused(self, order_id: UUID, code: StreamErrorCode, message: str) -> None:
        """The subscription has ended, because its order or its `afterSeq` does not exist."""

    def unavailable(self) -> None:
        """Postgres does not answer, so events are late. Called once per outage."""

    def failed(self, error: BaseException) -> None:
        """An unexpected error: the follower has stopped reading and must be closed."""


class Wanted(NamedTuple):
    """Events to read: those of an order after a `seq`, for a subscriber that sees the orders of `owner` (None: all)."""

    order_id: UUID
    after: int
    owner: int | None


class Source(Protocol):
    """The methods of the feed that a follower uses."""

    def attach(self, subscription: Subscription, follower: "Follower") -> None:
        """Pass the order's live events and versions to `follower`."""

    def detach(self, subscription: Subscription) -> None:
        """Stop passing them. Harmless when repeated."""

    async def read(self, wanted: Sequence[Wanted]) -> list[list[EncodedEvent] | None]:
        """Return for each order the events after a `seq`, perhaps with some before it; None if it does not exist or
        belongs to another."""


class Follower:
    """The subscriptions of one subscriber. It sees the orders of `owner` (None: all)."""

    __slots__ = ("_lagging", "_owner", "_sink", "_source", "_subscriptions", "_task")

    def __init__(self, source: Source, sink: Sink, owner: int | None = None) -> None:
        self._source = source
        self._owner = owner
        self._sink = sink
        self._subscriptions: dict[UUID, Subscription] = {}
        self._lagging: dict[Subscription, None] = {}  # an ordered set
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, order_id: UUID) -> bool:
        return order_id in self._subscriptions

    def follow(self, order_id: UUID, after_seq: int) -> None:
        """Deliver the order's events from `after_seq` + 1 on. The order must not be followed yet."""
        # Live events wait until the first read has shown whose the order is.
        subscription = Subscription(order_id, after_seq, permitted=self._owner is None)
        self._subscriptions[order_id] = subscription
        self._source.attach(subscription, self)  # before the read, so that no event falls between it and live events
        self._enqueue(subscription)

    def unfollow(self, order_id: UUID) -> int | None:
        """Stop at once; returns the last delivered `seq`, or None if the order was not followed."""
        subscription = self._subscriptions.get(order_id)
        if subscription is None:
            return None
        self._drop(subscription)
        return subscription.seq

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in tuple(self._subscriptions.values()):
            self._drop(subscription)
        if self._task is not None:
            self._task.cancel()

    def offer(self, subscription: Subscription, event: EncodedEvent) -> None:
        """Take an event of a followed order, live or from Postgres."""
        for ready in subscription.offer(event):
            self._sink.event(ready.payload)
        self._settle(subscription)

    def learn(self, subscription: Subscription, version: int) -> None:
        """Take note that a followed order has events up to `version`."""
        subscription.learn(version)
        self._settle(subscription)

    def _settle(self, subscription: Subscription) -> None:
        if subscription.ended:
            self._drop(subscription)
        elif subscription.lagging and not subscription.reading:
            self._enqueue(subscription)

    def _holds(self, subscription: Subscription) -> bool:
        return self._subscriptions.get(subscription.order_id) is subscription

    def _drop(self, subscription: Subscription) -> None:
        subscription.end()
        self._source.detach(subscription)
        self._lagging.pop(subscription, None)
        if self._holds(subscription):
            del self._subscriptions[subscription.order_id]

    def _enqueue(self, subscription: Subscription) -> None:
        self._lagging[subscription] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._catch_up())
            self._task.add_done_callback(self._caught_up)

    def _caught_up(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._sink.failed(error)

    async def _catch_up(self) -> None:
        try:
            await self._read_lagging()
        finally:
            # Not in the done callback: a subscription that is enqueued before that runs would never be read.
            self._task = None

    async def _read_lagging(self) -> None:
        pause = FIRST_PAUSE
        reported = False
        while self._lagging:
            window = list(islice(self._lagging, WINDOW))
            for subscription in window:
                del self._lagging[subscription]
            try:
                results = await self._source.read([Wanted(s.order_id, s.begin_read(), self._owner) for s in window])
            except UnavailableError:
                self._put_back(window)
                if not reported:
                    reported = True
                    self._sink.unavailable()
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            reported = False
            for subscription, rows in zip(window, results, strict=True):
                await self._merge(subscription, rows)

    def _put_back(self, window: list[Subscription]) -> None:
        for subscription in window:
            subscription.end_read()
            if not subscription.ended:
                self._lagging[subscription] = None

    async def _merge(self, subscription: Subscription, rows: list[EncodedEvent] | None) -> None:
        order_id = subscription.order_id
        seq = subscription.seq
        check = None if rows is None else subscription.confirm(rows)
        if not self._holds(subscription):  # dropped during the read, or ended by live events
            return
        if rows is None:
            self._drop(subscription)
            self._sink.refused(order_id, StreamErrorCode.ORDER_NOT_FOUND, "there is no such order")
        elif check is AfterSeqCheck.AHEAD:
            self._drop(subscription)
            self._sink.refused(
                order_id,
                StreamErrorCode.AFTER_SEQ_AHEAD,
                f"the order has no event {seq} yet: give the last seq you received, or 0",
            )
        elif check is AfterSeqCheck.ENDED:
            self._drop(subscription)
            self._sink.ended(order_id, seq)
        else:
            for row in rows:
                # Only for rows that are new: live events may have delivered this one during an earlier wait.
                if row.seq > subscription.seq:
                    await self._sink.wait_for_room(len(row.payload))
                if not self._holds(subscription):  # the subscriber may have gone during the wait
                    return
                self.offer(subscription, row)
            subscription.end_read()
            self._settle(subscription)

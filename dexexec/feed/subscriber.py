"""All orders that one subscriber (one socket) follows, and the reading of Postgres for those that lag behind.

Live events go straight to the sink. History is pulled instead, a window of orders at a time and no faster than the
sink takes it: a subscriber of thousands of orders costs one window, and no task while nothing lags.
"""

import asyncio
import random
from collections.abc import Sequence
from itertools import islice
from typing import Protocol
from uuid import UUID

from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import UnavailableError
from dexexec.feed.subscription import AfterSeqCheck, EncodedEvent, Subscription

WINDOW = 50
"""Orders of one subscriber that are read at once: what a stalled replay keeps in memory."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds, while Postgres does not answer


class Sink(Protocol):
    """Where a follower's events go. Only `room` may wait. Any of these may close the follower."""

    def event(self, payload: bytes) -> None:
        """Deliver the next event of an order."""

    async def room(self, size: int) -> None:
        """Wait until `size` bytes of history can be taken without hurry."""

    def over(self, order_id: UUID, seq: int) -> None:
        """The subscription has ended, because `seq` was the order's last event and the subscriber has it."""

    def refused(self, order_id: UUID, code: StreamErrorCode, message: str) -> None:
        """The subscription has ended, because it asked for something that does not exist."""

    def unavailable(self) -> None:
        """Postgres does not answer: what is asked for comes later. Said once per outage."""

    def failed(self, error: BaseException) -> None:
        """A fault of ours: the follower has stopped reading and must be closed."""


class Source(Protocol):
    """What a follower needs of the feed."""

    def attach(self, subscription: Subscription, follower: "Follower") -> None:
        """From now on pass the order's live events and versions to `follower`."""

    def detach(self, subscription: Subscription) -> None:
        """Stop passing them. Harmless when repeated."""

    async def read(self, wanted: Sequence[tuple[UUID, int]]) -> list[list[EncodedEvent] | None]:
        """For each order its events after a `seq`, perhaps some before; None: no such order."""


class Follower:
    """The subscriptions of one subscriber."""

    __slots__ = ("_lagging", "_sink", "_source", "_subscriptions", "_task")

    def __init__(self, source: Source, sink: Sink) -> None:
        self._source, self._sink = source, sink
        self._subscriptions: dict[UUID, Subscription] = {}
        self._lagging: dict[Subscription, None] = {}  # an ordered set
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, order_id: UUID) -> bool:
        return order_id in self._subscriptions

    def follow(self, order_id: UUID, after_seq: int) -> None:
        """Deliver the order's events from `after_seq` + 1 on. It must not be followed yet."""
        subscription = Subscription(order_id, after_seq)
        self._subscriptions[order_id] = subscription
        self._source.attach(subscription, self)  # first, so that nothing falls between the read and the live events
        self._enqueue(subscription)

    def unfollow(self, order_id: UUID) -> int | None:
        """Stop at once; the `seq` that was delivered last, or None when the order was not followed."""
        subscription = self._subscriptions.get(order_id)
        if subscription is None:
            return None
        self._drop(subscription)
        return subscription.seq

    def close(self) -> None:
        """Forget everything."""
        for subscription in tuple(self._subscriptions.values()):
            self._drop(subscription)
        if self._task is not None:
            self._task.cancel()

    def offer(self, subscription: Subscription, event: EncodedEvent) -> None:
        """An event of a followed order arrived, live or as a row."""
        for ready in subscription.offer(event):
            self._sink.event(ready.payload)
        self._settle(subscription)

    def learn(self, subscription: Subscription, version: int) -> None:
        """A followed order has events up to `version`."""
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
        subscription.ended = True
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
            self._task = None  # not in the done callback: what is enqueued before that runs would wait for ever

    async def _read_lagging(self) -> None:
        pause, told = FIRST_PAUSE, False
        while self._lagging:
            window = list(islice(self._lagging, WINDOW))
            for subscription in window:
                del self._lagging[subscription]
            try:
                found = await self._source.read([(s.order_id, s.begin_read()) for s in window])
            except UnavailableError:
                self._put_back(window)
                if not told:
                    told = True
                    self._sink.unavailable()
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause, told = FIRST_PAUSE, False
            for subscription, rows in zip(window, found, strict=True):
                await self._merge(subscription, rows)

    def _put_back(self, window: list[Subscription]) -> None:
        for subscription in window:
            subscription.end_read()
            if not subscription.ended:
                self._lagging[subscription] = None

    async def _merge(self, subscription: Subscription, rows: list[EncodedEvent] | None) -> None:
        order_id, seq = subscription.order_id, subscription.seq
        standing = None if rows is None else subscription.confirm(rows)
        if not self._holds(subscription):  # dropped while it was read, or brought to its end by live events
            return
        if rows is None:
            self._drop(subscription)
            self._sink.refused(order_id, StreamErrorCode.ORDER_NOT_FOUND, "there is no such order")
        elif standing is AfterSeqCheck.AHEAD:
            self._drop(subscription)
            self._sink.refused(
                order_id,
                StreamErrorCode.AFTER_SEQ_AHEAD,
                f"the order has no event {seq} yet: give the last seq you received, or 0",
            )
        elif standing is AfterSeqCheck.ENDED:
            self._drop(subscription)
            self._sink.over(order_id, seq)
        else:
            for row in rows:
                if row.seq > subscription.seq:
                    await self._sink.room(len(row.payload))
                if not self._holds(subscription):
                    return
                self.offer(subscription, row)
            subscription.end_read()
            self._settle(subscription)

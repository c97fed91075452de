"""Announces committed events: to the feed of this process directly, and to those of other processes over Redis.

Between the store and the feed on an order's way. Messages may be lost: the feed then reads the events from Postgres.
A message is a batch of lines. The first names the process that it comes from; the others are `orderId seq json`. A
message without others announces a new listener.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID, uuid4

import redis.asyncio
from redis.exceptions import RedisError

from dexexec.clock import Clock, SystemClock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.event import Event
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.feed.listeners import OtherListeners

MAX_WAITING = 10_000
MAX_BATCH = 500
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds, after Redis refused a message
ID_LENGTH = 36


@dataclass(frozen=True)
class Outgoing:
    """A committed event that is being announced."""

    event: Event

    @cached_property
    def payload(self) -> bytes:
        """The event's JSON, made once, when it is first needed."""
        return self.event.encode()


@dataclass(frozen=True, slots=True)
class Announcement:
    """One line of a message. `payload` is the event's JSON as clients get it."""

    order_id: UUID
    seq: int
    payload: bytes


def encode(origin: bytes, batch: Iterable[Outgoing]) -> bytes:
    """Make the message by which the process `origin` announces `batch`."""
    # `Event.encode()` holds no newline, so newlines can separate the events.
    lines = [b"%b %d %b" % (str(item.event.order_id).encode(), item.event.seq, item.payload) for item in batch]
    return b"\n".join([origin, *(lines or [b""])])


def comes_from(origin: bytes, message: bytes) -> bool:
    """Whether the process `origin` published `message`."""
    return message.startswith(origin + b"\n")


def decode(message: bytes) -> list[Announcement]:
    """Read the events of a message. Other lines are left out: any Redis client may publish on the channel."""
    announcements = (_decode_line(line) for line in message.split(b"\n"))
    return [announcement for announcement in announcements if announcement is not None]


def _decode_line(line: bytes) -> Announcement | None:
    order_id, _, rest = line.partition(b" ")
    seq, _, payload = rest.partition(b" ")
    if len(order_id) != ID_LENGTH or not seq.isdigit() or len(seq) > 10 or not payload:
        return None
    try:
        return Announcement(UUID(order_id.decode("ascii")), int(seq), payload)
    except ValueError:
        return None


class Publisher:
    """Publishes the committed events of this process in the background. There is one per process.

    `listener` is called with the events of a commit before `announce` returns: it must neither block nor raise.
    """

    def __init__(
        self,
        redis: redis.asyncio.Redis,
        channel: str,
        failpoints: Failpoints = NO_FAILPOINTS,
        listener: Callable[[Sequence[Outgoing]], None] = lambda _: None,
        dropped: Callable[[int], None] = lambda _: None,
        *,
        others: OtherListeners | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.channel = channel
        self.origin = uuid4().hex.encode()
        """The first line of each message of this process."""
        self._redis = redis
        self._failpoints = failpoints
        self._listener = listener
        self._dropped = dropped
        self._others = others or OtherListeners()
        self._clock = clock or SystemClock()
        self._waiting: deque[Outgoing] = deque(maxlen=MAX_WAITING)
        self._wake = asyncio.Event()
        self._greets = False  # the next message also announces the feed of this process
        self.lost = 0
        """Events that were not published: the oldest of a full buffer, and those that Redis refused."""

    def announce(self, events: Sequence[Event]) -> None:
        """Pass committed events to the listener, and publish them soon. Never blocks and never raises; a full buffer
        drops its oldest events."""
        if events:
            outgoing = [Outgoing(event) for event in events]
            self._listener(outgoing)
            self._count_lost(max(0, len(self._waiting) + len(outgoing) - MAX_WAITING))
            self._waiting.extend(outgoing)
            self._wake.set()

    def listening(self, *, own: bool) -> None:
        """Take note that the feed of this process begins or ends to receive what is published. When it begins, the
        publishers of other processes are informed."""
        self._others.listening(own=own)
        if own:
            self._greets = True
            self._wake.set()

    def heard(self) -> None:
        """Take note of a message of another process."""
        self._others.heard()

    async def run(self) -> None:
        """Publish until cancelled: in one message all events that came while the previous one was sent. Without
        another process that listens, nothing is published."""
        pause = FIRST_PAUSE
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting or self._greets:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                await self._failpoints.reach(Failpoint.ANNOUNCING)
                if not self._greets and not self._others.expected(self._clock.monotonic()):
                    continue
                self._greets = False
                self._others.sending()
                try:
                    receivers = await self._redis.publish(self.channel, encode(self.origin, batch))
                except (RedisError, OSError):
                    # Not tried again: by the time Redis is back, the feeds have read these events from Postgres.
                    self._count_lost(len(batch))
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                    pause = min(pause * 2, LONGEST_PAUSE)
                else:
                    pause = FIRST_PAUSE
                    self._others.counted(receivers, self._clock.monotonic())
                raise_if_cancelled()

    def _count_lost(self, count: int) -> None:
        if count:
            self.lost += count
            self._dropped(count)

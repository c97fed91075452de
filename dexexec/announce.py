"""Announcing: each event goes out on a Redis channel once it is committed, and wakes the feeds of all API processes.

Between the store and the feed on an order's way. Pub/sub only wakes: whatever is lost here (a full buffer, Redis down,
a subscriber that reconnects) the feed finds in Postgres, so nothing is kept back for it and nobody waits for it.

One message is the batch that formed while the one before was published: lines joined by a newline, and a line is
`orderId seq json` (`Event.encode()`, which holds no newline).
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import redis.asyncio
from redis.exceptions import RedisError

from dexexec.cancellation import raise_if_cancelled
from dexexec.clock import Clock, Failpoint
from dexexec.domain.event import Event

MAX_WAITING = 10_000
MAX_BATCH = 500
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds, after Redis did not take a message
ID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class Announcement:
    """One line: `payload` is the event's JSON as clients get it."""

    order_id: UUID
    seq: int
    payload: bytes


def encode(events: Iterable[Event]) -> bytes:
    """The message that announces `events`."""
    return b"\n".join(b"%b %d %b" % (str(e.order_id).encode(), e.seq, e.encode()) for e in events)


def decode(message: bytes) -> list[Announcement]:
    """What `encode` was given. Lines that it cannot have written are left out: anybody may publish on a channel."""
    return [found for line in message.split(b"\n") if (found := _decode_line(line)) is not None]


def _decode_line(line: bytes) -> Announcement | None:
    order_id, _, rest = line.partition(b" ")
    seq, _, payload = rest.partition(b" ")
    if len(order_id) != ID_LENGTH or not seq.isdigit() or len(seq) > 10 or not payload:
        return None
    try:
        return Announcement(UUID(order_id.decode("ascii")), int(seq), payload)
    except ValueError:
        return None


class Announcer:
    """Publishes events behind the back of whoever commits them."""

    def __init__(self, redis: redis.asyncio.Redis, channel: str, clock: Clock) -> None:
        self._redis, self._channel, self._clock = redis, channel, clock
        self._waiting: deque[Event] = deque(maxlen=MAX_WAITING)
        self._wake = asyncio.Event()
        self.lost = 0
        """Events that were never published: the oldest of a full buffer, and what Redis did not take."""

    def announce(self, events: Sequence[Event]) -> None:
        """Have committed events published soon. Never blocks, never raises; a full buffer drops its oldest."""
        if events:
            self.lost += max(0, len(self._waiting) + len(events) - MAX_WAITING)
            self._waiting.extend(events)
            self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled, each time all that came while the last message was on its way."""
        pause = FIRST_PAUSE
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                await self._clock.failpoint(Failpoint.ANNOUNCING)
                try:
                    await self._redis.publish(self._channel, encode(batch))
                except (RedisError, OSError):
                    self.lost += len(batch)  # by the time Redis is back, the feeds have read them in Postgres
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                    pause = min(pause * 2, LONGEST_PAUSE)
                else:
                    pause = FIRST_PAUSE
                raise_if_cancelled()

"""The queue: order ids on a Redis stream. It dispatches and remembers nothing that Postgres does not know better.

Between the store and the worker on an order's way. An entry is a hint that an order should be looked at; the claim in
Postgres decides who works on it. So an entry is acknowledged as soon as the claim is committed: from then on the
worker's lease in Postgres is what brings the order back, and a stream entry is only ever pending for milliseconds.
`take_over_pending` and `reclaim` collect those of a worker that died in between: an id that is on the stream, though
pending, is not put there again.

Two keys, changed together by scripts, under one hash tag:
* `work`     the stream, with the consumer group `workers`
* `queued`   the set of ids on the stream: an id is on it once, however often it is enqueued

If the set knows more ids than the stream has entries, the stream was lost on its own (eviction, a manual DEL); the set
is dropped then, since a duplicate is harmless and a forgotten order is not.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from dexexec.errors import UnavailableError

_REFUSED = re.compile(
    r"\b(LOADING|READONLY|OOM|MISCONF|CLUSTERDOWN|MASTERDOWN|UNBLOCKED|NOREPLICAS|TRYAGAIN|MOVED|ASK)\b"
)
GROUP = "workers"
BLOCK_MS = 500
"""How long a lease waits for work: as long as it takes a worker at most to notice that it should stop."""
TAKEN_OVER = 1_000
"""Entries taken over from a dead consumer at once; what is left grows old and is reclaimed."""

_Rows = Sequence[tuple[bytes, dict[bytes, bytes] | None]]
_Answer = Sequence[tuple[bytes, _Rows]]
"""What redis-py makes of XREADGROUP (RESP2)."""

# KEYS work, queued; ARGV ids
ENQUEUE = """
if redis.call('XLEN', KEYS[1]) < redis.call('SCARD', KEYS[2]) then redis.call('DEL', KEYS[2]) end
local added = 0
for _, id in ipairs(ARGV) do
  if redis.call('SADD', KEYS[2], id) == 1 then
    redis.call('XADD', KEYS[1], '*', 'id', id)
    added = added + 1
  end
end
return added
"""

# KEYS work, queued; ARGV entry, id, entry, id ...
ACK = """
for i = 1, #ARGV, 2 do
  redis.call('XACK', KEYS[1], 'workers', ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
  redis.call('SREM', KEYS[2], ARGV[i + 1])
end
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A leased stream entry."""

    entry_id: str
    order_id: UUID


@contextmanager
def outages() -> Iterator[None]:
    """Raise `UnavailableError` for what means that Redis does not answer."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise UnavailableError("Redis does not answer") from error
    except ResponseError as error:
        if _REFUSED.search(f"{error.status_code} {error}"):  # redis-py cuts some codes off, old scripts put more before
            raise UnavailableError("Redis refuses writes for now") from error
        raise


class Queue:
    """`client` answers quickly; `blocking` is a client of its own for reads that wait, whose socket timeout is longer
    than any `block_ms`."""

    def __init__(self, client: redis.asyncio.Redis, blocking: redis.asyncio.Redis, prefix: str) -> None:
        self._client, self._blocking = client, blocking
        self.work, self.queued = (f"{{{prefix}}}:{name}" for name in ("work", "queued"))
        self._enqueue = client.register_script(ENQUEUE)
        self._ack = client.register_script(ACK)

    async def prepare(self) -> None:
        """Create the group, from the stream's beginning: entries that came earlier count."""
        with outages():
            try:
                await self._client.xgroup_create(self.work, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Put ids on the stream, those that are not on it yet; how many that were."""
        if not order_ids:
            return 0
        with outages():
            return int(await self._enqueue(keys=[self.work, self.queued], args=[str(i) for i in order_ids]))

    async def depth(self) -> int:
        """Ids that wait on the stream."""
        with outages():
            return int(await self._client.xlen(self.work))

    async def lease(self, consumer: str, count: int, block_ms: int) -> list[Entry]:
        """Up to `count` entries, waiting up to `block_ms` for the first. Not cancellable without stranding them until
        `reclaim`: let it finish."""
        try:
            with outages():
                answer = await self._blocking.xreadgroup(GROUP, consumer, {self.work: ">"}, count=count, block=block_ms)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self.prepare()  # the data was lost: the sweeper fills the new stream
            return []
        return [entry for _, rows in cast("_Answer", answer) for entry in _entries(rows)]

    async def reclaim(self, consumer: str, idle_ms: int, count: int = 100) -> list[Entry]:
        """Take over entries that another consumer leased and never acknowledged."""
        try:
            with outages():
                answer = await self._client.xautoclaim(self.work, GROUP, consumer, idle_ms, count=count)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self.prepare()
            return []
        return _entries(answer[1])

    async def take_over_pending(self, consumer: str, dead: str) -> list[Entry]:
        """Take over what `dead`, whose worker has ended, leased and never acknowledged, however short ago."""
        try:
            with outages():
                pending = await self._client.xpending_range(self.work, GROUP, "-", "+", TAKEN_OVER, consumername=dead)
                ids: list[int | bytes | str | memoryview[int]] = [row["message_id"] for row in pending]
                rows = await self._client.xclaim(self.work, GROUP, consumer, 0, ids) if ids else []
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):  # without a group nothing is pending
                raise
            return []
        return _entries(cast("_Rows", rows))

    async def ack(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and remove entries: their orders are claimed, or need no work."""
        if entries:
            args = [text for entry in entries for text in (entry.entry_id, str(entry.order_id))]
            with outages():
                await self._ack(keys=[self.work, self.queued], args=args)

    async def forget(self, consumer: str) -> None:
        """Remove a consumer that leaves for good, unless it still has pending entries."""
        try:
            with outages():
                pending = await self._client.xpending_range(self.work, GROUP, "-", "+", 1, consumername=consumer)
                if not pending:
                    await self._client.xgroup_delconsumer(self.work, GROUP, consumer)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):  # without a group there is no consumer either
                raise

    async def ping(self) -> None:
        """Raises `UnavailableError` unless Redis answers."""
        with outages():
            await self._client.ping()


def _entries(rows: _Rows) -> list[Entry]:
    """As redis-py answers them (RESP2). An entry without fields was deleted meanwhile."""
    return [Entry(entry_id.decode(), UUID(fields[b"id"].decode())) for entry_id, fields in rows if fields]

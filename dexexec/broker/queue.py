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

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast
from uuid import UUID

import redis.asyncio
from redis.exceptions import ResponseError

from dexexec.broker.outages import UNREADABLE, translate_redis_errors, with_repair
from dexexec.errors import UnavailableError

T = TypeVar("T")

GROUP = "workers"
BLOCK_MS = 500
"""How long a lease waits for work: as long as it takes a worker at most to notice that it should stop."""
TAKEN_OVER = 1_000
"""Entries taken over from a dead consumer at once; what is left grows old and is reclaimed."""

_Rows = Sequence[tuple[bytes, dict[bytes, bytes] | None]]
_Answer = Sequence[tuple[bytes, _Rows]]
"""What redis-py makes of XREADGROUP (RESP2)."""

TELL_SECONDS = 10.0
"""Unreadable entries within this time are one line."""
ID_LENGTH = 36

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


# KEYS work, queued; ARGV 1 if the stream has to go whatever its type. Keys of another type are dropped, and there is a
# group afterwards; the answer is the names of what was dropped.
REMAKE = """
local remade = {}
local function drop(key, kind, always)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and (always or found ~= kind) then
    redis.call('DEL', key)
    remade[#remade + 1] = key
  end
end
drop(KEYS[1], 'stream', ARGV[1] == '1')
drop(KEYS[2], 'set', false)
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], 'workers', '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
return remade
"""


# KEYS work; ARGV how long a consumer must have been silent (ms), and consumers that leave for good. Both kinds go, but
# not while something is pending for them: with its consumer an entry would be lost. The answer is how many went.
REMOVE_CONSUMERS = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local leaving, gone = {}, 0
for i = 2, #ARGV do leaving[ARGV[i]] = true end
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], 'workers')) do
  local of = {}
  for i = 1, #fields, 2 do of[fields[i]] = fields[i + 1] end
  if of['pending'] == 0 and (leaving[of['name']] or of['idle'] >= tonumber(ARGV[1])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], 'workers', of['name'])
    gone = gone + 1
  end
end
return gone
"""
SILENT_MS = 300_000
"""A consumer that asked for nothing for so long has ended; one that was only stopped is made again when it asks."""

# KEYS probe, work. As an order's entry, the write is refused where there is no memory left.
PROBE = """
if redis.call('TYPE', KEYS[1]).ok ~= 'set' then redis.call('DEL', KEYS[1]) end
redis.call('SADD', KEYS[1], 'probe')
redis.call('PEXPIRE', KEYS[1], 10000)
return redis.call('XLEN', KEYS[2])
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A leased stream entry."""

    entry_id: str
    order_id: UUID


class Queue:
    """`client` answers quickly; `blocking` is a client of its own for reads that wait, whose socket timeout is longer
    than any `block_ms`. `tell` is handed a line about keys and entries that somebody else has spoiled."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        blocking: redis.asyncio.Redis,
        prefix: str,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client, self._blocking, self._tell = client, blocking, tell
        self.work, self.queued = (f"{{{prefix}}}:{name}" for name in ("work", "queued"))
        self._enqueue = client.register_script(ENQUEUE)
        self._ack = client.register_script(ACK)
        self._remake = client.register_script(REMAKE)
        self._remove_consumers = client.register_script(REMOVE_CONSUMERS)
        self._probe, self._probed = client.register_script(PROBE), f"{{{prefix}}}:probe"
        self._removed = 0  # unreadable entries, since that was told last
        self._told_at = -TELL_SECONDS

    async def prepare(self) -> None:
        """Create the group, from the stream's beginning: entries that came earlier count."""
        await self._ask(self._create_group)

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Put ids on the stream, those that are not on it yet; how many that were."""
        if not order_ids:
            return 0
        args = [str(order_id) for order_id in order_ids]

        async def ask() -> int:
            return int(await self._enqueue(keys=[self.work, self.queued], args=args))

        return await self._ask(ask)

    async def depth(self) -> int:
        """Ids that wait on the stream."""

        async def ask() -> int:
            return int(await self._client.xlen(self.work))

        return await self._ask(ask)

    async def lease(self, consumer: str, count: int, block_ms: int) -> list[Entry]:
        """Up to `count` entries, waiting up to `block_ms` for the first. Not cancellable without stranding them until
        `reclaim`: let it finish."""

        async def ask() -> _Rows:
            answer = await self._blocking.xreadgroup(GROUP, consumer, {self.work: ">"}, count=count, block=block_ms)
            return [row for _, rows in cast("_Answer", answer) for row in rows]

        return await self._entries(await self._ask(ask))

    async def reclaim(self, consumer: str, idle_ms: int, count: int = 100) -> list[Entry]:
        """Take over entries that another consumer leased and never acknowledged."""

        async def ask() -> _Rows:
            rows: _Rows = (await self._client.xautoclaim(self.work, GROUP, consumer, idle_ms, count=count))[1]
            return rows

        return await self._entries(await self._ask(ask))

    async def take_over_pending(self, consumer: str, dead: str) -> list[Entry]:
        """Take over what `dead`, whose worker has ended, leased and never acknowledged, however short ago."""

        async def ask() -> _Rows:
            pending = await self._client.xpending_range(self.work, GROUP, "-", "+", TAKEN_OVER, consumername=dead)
            ids: list[int | bytes | str | memoryview[int]] = [row["message_id"] for row in pending]
            return cast("_Rows", await self._client.xclaim(self.work, GROUP, consumer, 0, ids)) if ids else []

        return await self._entries(await self._ask(ask))

    async def ack(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and remove entries: their orders are claimed, or need no work."""
        if entries:
            await self._remove([text for entry in entries for text in (entry.entry_id, str(entry.order_id))])

    async def remove_consumers(self, *consumers: str, silent_ms: int = SILENT_MS) -> int:
        """Remove consumers that leave for good, and those that have asked for nothing for `silent_ms`, but none that
        has pending entries; how many went."""

        async def ask() -> int:
            return int(await self._remove_consumers(keys=[self.work], args=[silent_ms, *consumers]))

        return await self._ask(ask)

    async def check_writes(self) -> None:
        """Raises `UnavailableError` unless Redis takes writes now."""

        async def ask() -> int:
            return int(await self._probe(keys=[self._probed, self.work]))

        await self._ask(ask)

    async def ping(self) -> None:
        """Raises `UnavailableError` unless Redis answers."""
        with translate_redis_errors():
            await self._client.ping()

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await with_repair(ask, self._mend)

    async def _create_group(self) -> None:
        try:
            await self._client.xgroup_create(self.work, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _mend(self, exhausted: bool) -> None:
        """Make the group anew where the data was lost, and keys of another type: the sweeper fills the new stream."""
        for key in await self._remake(keys=[self.work, self.queued], args=[int(exhausted)]):
            self._tell(f"{key.decode()} was not what it has to be, and was made anew")

    async def _entries(self, rows: _Rows) -> list[Entry]:
        """Those that can be read. What somebody else put on the stream is removed. An entry without fields was deleted
        meanwhile."""
        entries: list[Entry] = []
        others: list[str] = []
        for row in rows:
            try:
                entry_id, fields = row
                text = entry_id.decode()
            except UNREADABLE as error:
                raise UnavailableError("Redis answers in a shape that is none") from error
            if fields:
                try:
                    entries.append(Entry(text, _order_id(fields)))
                except UNREADABLE:
                    others.append(text)
        if others:
            with contextlib.suppress(UnavailableError):  # then they stay pending, and are met again
                await self._remove([text for entry_id in others for text in (entry_id, "")])
                self._count_removed(len(others))
        return entries

    async def _remove(self, args: list[str]) -> None:
        async def ask() -> None:
            await self._ack(keys=[self.work, self.queued], args=args)

        await self._ask(ask)

    def _count_removed(self, count: int) -> None:
        """One line for all within some seconds."""
        self._removed += count
        now = time.monotonic()
        if now >= self._told_at + TELL_SECONDS:
            self._tell(f"{self._removed} entries of {self.work} held no order's id, and were removed")
            self._told_at, self._removed = now, 0


def _order_id(fields: Mapping[bytes, bytes]) -> UUID:
    """Raises one of `UNREADABLE`."""
    value = fields[b"id"]
    if len(value) != ID_LENGTH:  # whatever its size, it is not worth reading
        raise ValueError("no id")
    return UUID(value.decode())

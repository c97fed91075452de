"""The queue: a Redis stream of order ids that wait for a worker.

Between the store and the worker on an order's way. An entry is a hint; the claim in Postgres decides which worker
executes the order. An entry is acknowledged once its order is claimed: from then on the worker's lease brings it back.
Keys: `work`, the stream with the consumer group `workers`, and `queued`, the set of the ids that are on the stream.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast
from uuid import UUID

import redis.asyncio
from redis.exceptions import ResponseError

from dexexec.broker.outages import UNREADABLE, translate_redis_errors, with_repair
from dexexec.errors import UnavailableError

T = TypeVar("T")

GROUP = "workers"
BLOCK_MS = 500
"""How long a lease waits for entries. It bounds how long a worker takes to notice that it should stop."""
TAKEN_OVER = 1_000
"""Entries that are taken over from a dead consumer at once. The rest is reclaimed when it is old enough."""

_Rows = Sequence[tuple[bytes, dict[bytes, bytes] | None]]
_Answer = Sequence[tuple[bytes, _Rows]]
"""The answer to XREADGROUP as redis-py returns it (RESP2)."""

REPORT_SECONDS = 10.0
"""Unreadable entries within this time are reported in one line."""
ID_LENGTH = 36

# KEYS work, queued; ARGV ids. If the set has more ids than the stream has entries, the stream was lost alone
# (eviction, a manual DEL). The set is deleted then: a duplicate entry is harmless, but an id that is only in the set
# would never be enqueued again.
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

# KEYS work, queued; ARGV entry, id, entry, id ... In one script, so that the set always matches the stream.
ACK = """
for i = 1, #ARGV, 2 do
  redis.call('XACK', KEYS[1], 'workers', ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
  redis.call('SREM', KEYS[2], ARGV[i + 1])
end
"""


# KEYS work, queued; ARGV 1 if the stream has to be deleted even if its type is right. Deletes keys of a wrong type and
# makes the group; returns the names of the deleted keys.
RECREATE = """
local recreated = {}
local function drop(key, kind, always)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and (always or found ~= kind) then
    redis.call('DEL', key)
    recreated[#recreated + 1] = key
  end
end
drop(KEYS[1], 'stream', ARGV[1] == '1')
drop(KEYS[2], 'set', false)
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], 'workers', '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
return recreated
"""


# KEYS work; ARGV after how many ms without a request a consumer is removed, and the names of consumers that have ended.
# A consumer with pending entries stays: Redis would delete the entries with it. Returns how many were removed.
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
"""A consumer without a request for this long has ended. If it was only stopped, Redis makes it again with its next
request."""

# KEYS probe, work. Redis refuses this write under the same conditions as an order's entry, such as without free memory.
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
    """Adds order ids to the stream, and leases them to workers.

    `client` is for quick commands. `blocking` is for reads that wait, so its socket timeout is longer than any
    `block_ms`. `report` is called with a line about keys and entries that another program has broken.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        blocking: redis.asyncio.Redis,
        prefix: str,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._blocking = blocking
        self._report = report
        # One hash tag for both keys: in a Redis Cluster a script may only use keys of one slot.
        self.work, self.queued = (f"{{{prefix}}}:{name}" for name in ("work", "queued"))
        self._enqueue = client.register_script(ENQUEUE)
        self._ack = client.register_script(ACK)
        self._recreate = client.register_script(RECREATE)
        self._remove_consumers = client.register_script(REMOVE_CONSUMERS)
        self._probe = client.register_script(PROBE)
        self._probe_key = f"{{{prefix}}}:probe"
        self._removed = 0  # unreadable entries since the last report
        self._reported_at = -REPORT_SECONDS

    async def prepare(self) -> None:
        """Create the consumer group, from the start of the stream: earlier entries are delivered too."""
        await self._run(self._create_group)
        # A lease that acknowledges names the script, and cannot load it in the same write.
        await self._run(partial(self._client.script_load, ACK))

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Add the ids that are not on the stream yet; returns how many were added."""
        if not order_ids:
            return 0
        args = [str(order_id) for order_id in order_ids]

        async def command() -> int:
            return int(await self._enqueue(keys=[self.work, self.queued], args=args))

        return await self._run(command)

    async def depth(self) -> int:
        """Return how many entries the stream has."""

        async def command() -> int:
            return int(await self._client.xlen(self.work))

        return await self._run(command)

    async def lease(self, consumer: str, count: int, block_ms: int, done: Sequence[Entry] = ()) -> list[Entry]:
        """Acknowledge the entries that are `done`, and lease up to `count` others; waits up to `block_ms` for one. Do
        not cancel it: entries that Redis has delivered by then would stay pending until they are reclaimed."""
        refused: list[Exception] = []

        async def command() -> _Rows:
            if done:
                answer = await self._ack_and_read(done, consumer, count, block_ms, refused)
            else:
                answer = await self._blocking.xreadgroup(GROUP, consumer, {self.work: ">"}, count=count, block=block_ms)
            return [row for _, rows in cast("_Answer", answer) for row in rows]

        rows = await self._run(command)
        if refused:
            with contextlib.suppress(UnavailableError):  # they stay pending then, and are reclaimed
                await self.ack(done)
        return await self._entries(rows)

    async def _ack_and_read(
        self, done: Sequence[Entry], consumer: str, count: int, block_ms: int, refused: list[Exception]
    ) -> object:
        """The answer to XREADGROUP, with the entries acknowledged before, or the reason added to `refused`."""
        # In one write: an order has just been claimed, and needs the event loop more than its entry does.
        pipeline = self._blocking.pipeline(transaction=False)
        pipeline.evalsha(self._ack.sha, 2, self.work, self.queued, *_ack_args(done))
        pipeline.xreadgroup(GROUP, consumer, {self.work: ">"}, count=count, block=block_ms)
        acknowledged, answer = await pipeline.execute(raise_on_error=False)
        if isinstance(answer, Exception):
            raise answer
        # Entries may have been delivered, so this must not fail the lease. The usual cause is a restart of Redis, which
        # has forgotten the script.
        if isinstance(acknowledged, Exception):
            refused.append(acknowledged)
        return answer

    async def reclaim(self, consumer: str, idle_ms: int, count: int = 100) -> list[Entry]:
        """Take over entries that another consumer leased `idle_ms` ago or earlier and did not acknowledge."""

        async def command() -> _Rows:
            rows: _Rows = (await self._client.xautoclaim(self.work, GROUP, consumer, idle_ms, count=count))[1]
            return rows

        return await self._entries(await self._run(command))

    async def take_over_pending(self, consumer: str, dead: str) -> list[Entry]:
        """Take over all entries that `dead`, whose worker has ended, leased and did not acknowledge."""
        # They cannot wait for `reclaim`: an id that is pending is still on the stream, so it is not enqueued again.

        async def command() -> _Rows:
            pending = await self._client.xpending_range(self.work, GROUP, "-", "+", TAKEN_OVER, consumername=dead)
            ids: list[int | bytes | str | memoryview[int]] = [row["message_id"] for row in pending]
            return cast("_Rows", await self._client.xclaim(self.work, GROUP, consumer, 0, ids)) if ids else []

        return await self._entries(await self._run(command))

    async def ack(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and remove entries whose orders are claimed, or need no work."""
        if entries:
            await self._remove(_ack_args(entries))

    async def remove_consumers(self, *consumers: str, silent_ms: int = SILENT_MS) -> int:
        """Remove these consumers, and those without a request for `silent_ms`, unless entries are pending for them.
        Returns how many were removed."""

        async def command() -> int:
            return int(await self._remove_consumers(keys=[self.work], args=[silent_ms, *consumers]))

        return await self._run(command)

    async def check_writes(self) -> None:
        """Raise `UnavailableError` unless Redis takes writes now."""

        async def command() -> int:
            return int(await self._probe(keys=[self._probe_key, self.work]))

        await self._run(command)

    async def ping(self) -> None:
        """Raise `UnavailableError` unless Redis answers."""
        with translate_redis_errors():
            await self._client.ping()

    async def _run(self, command: Callable[[], Awaitable[T]]) -> T:
        return await with_repair(command, self._repair)

    async def _create_group(self) -> None:
        try:
            await self._client.xgroup_create(self.work, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _repair(self, exhausted: bool) -> None:
        """Recreate the group if it was lost, and keys of a wrong type. The sweeper then fills the new stream."""
        for key in await self._recreate(keys=[self.work, self.queued], args=[int(exhausted)]):
            self._report(f"{key.decode()} was unusable and has been recreated")

    async def _entries(self, rows: _Rows) -> list[Entry]:
        """Read the entries. Those that another program put on the stream are removed."""
        entries: list[Entry] = []
        unreadable: list[str] = []
        for row in rows:
            try:
                entry_id, fields = row
                text = entry_id.decode()
            except UNREADABLE as error:
                raise UnavailableError("Redis answers in an unexpected shape") from error
            if fields:  # without fields, the entry was deleted after it had been delivered
                try:
                    entries.append(Entry(text, _order_id(fields)))
                except UNREADABLE:
                    unreadable.append(text)
        if unreadable:
            with contextlib.suppress(UnavailableError):  # they stay pending then, and the next reclaim finds them
                await self._remove([text for entry_id in unreadable for text in (entry_id, "")])
                self._count_removed(len(unreadable))
        return entries

    async def _remove(self, args: list[str]) -> None:
        async def command() -> None:
            await self._ack(keys=[self.work, self.queued], args=args)

        await self._run(command)

    def _count_removed(self, count: int) -> None:
        """Report removed entries, at most once in `REPORT_SECONDS`."""
        self._removed += count
        now = time.monotonic()
        if now >= self._reported_at + REPORT_SECONDS:
            self._report(f"{self._removed} entries of {self.work} held no order id and were removed")
            self._reported_at = now
            self._removed = 0


def _ack_args(entries: Sequence[Entry]) -> list[str]:
    return [text for entry in entries for text in (entry.entry_id, str(entry.order_id))]


def _order_id(fields: Mapping[bytes, bytes]) -> UUID:
    """Read the order id of an entry. Raises one of `UNREADABLE`."""
    value = fields[b"id"]
    if len(value) != ID_LENGTH:  # another program may have stored megabytes here, which are not worth decoding
        raise ValueError("no id")
    return UUID(value.decode())

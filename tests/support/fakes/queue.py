"""`dexexec.broker.queue.Queue` on a Redis in memory: the same methods, answers and errors, and `flush`.

The rules of the scripts in `dexexec.broker.queue`, and of a stream with one consumer group.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from dexexec.broker.queue import SILENT_MS, Entry, Queue
from dexexec.errors import UnavailableError
from tests.support.fakes.wire import Direct, Wire


@dataclass(slots=True)
class _Pending:
    consumer: str
    delivered_at: int


@dataclass(slots=True)
class _Reader:
    """A consumer that waits for entries."""

    consumer: str
    count: int
    answer: "asyncio.Future[list[Entry]]"


class MemoryRedis:
    """The two keys. `now_ms` is the server's clock."""

    def __init__(self, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._now_ms = now_ms
        self._ids = 0
        self._readers: list[_Reader] = []
        self._forget_all()

    def _forget_all(self) -> None:
        self.drop_stream()
        self.queued: set[UUID] = set()

    def drop_stream(self) -> None:
        """The stream is lost on its own, and with it the group."""
        self.entries: dict[str, UUID] = {}
        self.fresh: dict[str, None] = {}
        self.pending: dict[str, _Pending] = {}
        self.consumers: dict[str, int] = {}  # when each asked last
        self.group = False
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.answer.done():
                reader.answer.set_exception(UnavailableError("Redis refuses writes for now"))

    def flush(self) -> None:
        """FLUSHALL."""
        self._forget_all()

    def prepare(self) -> None:
        """Make the group, from the stream's beginning."""
        if not self.group:
            self.group, self.fresh = True, dict.fromkeys(self.entries)

    def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Those that were not on the stream yet."""
        if len(self.entries) < len(self.queued):
            self.queued.clear()
        added = sum(self._add(order_id) for order_id in order_ids)
        self._serve()
        return added

    def _add(self, order_id: UUID) -> bool:
        if order_id in self.queued:
            return False
        self.queued.add(order_id)
        self._ids += 1
        entry_id = f"{self._now_ms()}-{self._ids}"
        self.entries[entry_id] = order_id
        if self.group:
            self.fresh[entry_id] = None
        return True

    def _serve(self) -> None:
        """The consumer that waited longest gets the new entries."""
        while self._readers and self.fresh:
            reader = self._readers.pop(0)
            if not reader.answer.done():
                reader.answer.set_result(self._deliver(reader.consumer, reader.count))

    def _deliver(self, consumer: str, count: int) -> list[Entry]:
        self.consumers[consumer] = self._now_ms()
        taken = list(self.fresh)[:count]
        for entry_id in taken:
            del self.fresh[entry_id]
            self.pending[entry_id] = _Pending(consumer, self._now_ms())
        return [Entry(entry_id, self.entries[entry_id]) for entry_id in taken]

    def read(self, consumer: str, count: int, block_ms: int) -> "asyncio.Future[list[Entry]]":
        """Entries that no consumer has, now or within `block_ms`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Entry]] = loop.create_future()
        self.prepare()  # as the queue does when it is told that there is none
        if self.fresh:
            answer.set_result(self._deliver(consumer, count))
        else:
            self.consumers[consumer] = self._now_ms()
            reader = _Reader(consumer, count, answer)
            self._readers.append(reader)
            loop.call_later(block_ms / 1000, self._give_up, reader)
        return answer

    def _give_up(self, reader: _Reader) -> None:
        if not reader.answer.done():
            reader.answer.set_result([])
        if reader in self._readers:
            self._readers.remove(reader)

    def take_over(self, consumer: str, whose: str | None, idle_ms: int, count: int) -> list[Entry]:
        """Pending entries of `whose` (None: of any consumer), idle that long, now `consumer`'s."""
        now = self._now_ms()
        found = [
            entry_id
            for entry_id, pending in self.pending.items()
            if whose in (None, pending.consumer) and now - pending.delivered_at >= idle_ms
        ][:count]
        if found:
            self.consumers[consumer] = self._now_ms()
        for entry_id in found:
            self.pending[entry_id] = _Pending(consumer, now)
        return [Entry(entry_id, self.entries[entry_id]) for entry_id in found]

    def ack(self, entries: Sequence[Entry]) -> None:
        """Remove them."""
        for entry in entries:
            self.pending.pop(entry.entry_id, None)
            self.fresh.pop(entry.entry_id, None)
            self.entries.pop(entry.entry_id, None)
            self.queued.discard(entry.order_id)

    def remove_consumers(self, consumers: Sequence[str], silent_ms: int) -> int:
        """Remove consumers without pending entries: these, and silent ones."""
        now, busy = self._now_ms(), {pending.consumer for pending in self.pending.values()}
        silent = {name for name, asked_at in self.consumers.items() if now - asked_at >= silent_ms}
        gone = (silent | set(consumers)) & self.consumers.keys() - busy
        for name in gone:
            del self.consumers[name]
        return len(gone)


class MemoryQueue:
    """One process's view of `redis`."""

    def __init__(self, redis: MemoryRedis, wire: Wire | None = None) -> None:
        self.redis, self._wire = redis, wire or Direct()

    @property
    def port(self) -> Queue:
        """Itself, for parts that name the class of the real one."""
        return cast("Queue", self)

    async def prepare(self) -> None:
        """Create the group."""
        await self._wire.call("prepare", self.redis.prepare)

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Put ids on the stream, those that are not on it yet."""
        ids = list(order_ids)
        return await self._wire.call("enqueue", lambda: self.redis.enqueue(ids)) if ids else 0

    async def depth(self) -> int:
        """Ids that wait on the stream."""
        return await self._wire.call("depth", lambda: len(self.redis.entries))

    async def lease(self, consumer: str, count: int, block_ms: int, done: Sequence[Entry] = ()) -> list[Entry]:
        """Acknowledge those that are `done`; up to `count` entries, waiting up to `block_ms` for the first."""
        fixed = list(done)

        def read() -> "asyncio.Future[list[Entry]]":
            self.redis.ack(fixed)
            return self.redis.read(consumer, count, block_ms)

        return await self._wire.wait("lease", read)

    async def reclaim(self, consumer: str, idle_ms: int, count: int = 100) -> list[Entry]:
        """Take over entries that another consumer leased and never acknowledged."""

        def take() -> list[Entry]:
            self.redis.prepare()
            return self.redis.take_over(consumer, None, idle_ms, count)

        return await self._wire.call("reclaim", take)

    async def take_over_pending(self, consumer: str, dead: str) -> list[Entry]:
        """Take over what `dead` leased and never acknowledged."""
        return await self._wire.call("take_over_pending", lambda: self.redis.take_over(consumer, dead, 0, 1_000))

    async def ack(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and remove entries."""
        fixed = list(entries)
        if fixed:
            await self._wire.call("ack", lambda: self.redis.ack(fixed))

    async def remove_consumers(self, *consumers: str, silent_ms: int = SILENT_MS) -> int:
        """Remove consumers that leave for good and silent ones, unless they still have pending entries."""
        return await self._wire.call("remove_consumers", lambda: self.redis.remove_consumers(consumers, silent_ms))

    async def check_writes(self) -> None:
        """Raises `UnavailableError` unless Redis takes writes."""
        await self._wire.call("check_writes", lambda: None)

    async def ping(self) -> None:
        """Raises `UnavailableError` unless Redis answers."""
        await self._wire.call("ping", lambda: None)

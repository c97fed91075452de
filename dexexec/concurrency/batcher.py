"""Group commit: items that arrive during one write are written together by the next.

There is no timer, so a single item is written at once. Each caller gets its own answer, after its item was written.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects items while `write` runs, and passes them to it in order, at most `limit` at a time.

    `write` returns one result per item, in order. When it raises one of `separate`, the items are written again one by
    one, so that a bad item fails alone. Any other exception goes to every caller of that batch. `written` is called
    with the size of each written batch and the seconds that it took.
    """

    def __init__(
        self,
        write: Callable[[list[T]], Awaitable[Sequence[R]]],
        limit: int = 500,
        separate: tuple[type[Exception], ...] = (),
        written: Callable[[int, float], None] = lambda _, __: None,
    ) -> None:
        self._write = write
        self._limit = limit
        self._separate = separate
        self._written = written
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._wake = asyncio.Event()

    async def put(self, item: T) -> R:
        """Write `item` with the next batch; returns its result, or raises what the write raised."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._wake.set()
        return await future

    async def run(self) -> None:
        """Write batches until cancelled. Items that still wait are cancelled too."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                # Until nothing waits: items that arrive during a write set the event before it is waited for again.
                while batch := self._next_batch():
                    await self._flush(batch)
        finally:
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    def _next_batch(self) -> list[tuple[T, asyncio.Future[R]]]:
        """Take the oldest items whose callers still wait; empty if no item is left."""
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._limit:
            item, future = self._waiting.popleft()
            # A cancelled caller would not act on the change, so its item is dropped as long as no write has begun.
            if not future.cancelled():
                batch.append((item, future))
        return batch

    async def _flush(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        begun = time.monotonic()
        try:
            results = await self._write([item for item, _ in batch])
        except self._separate as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # The failed write has changed nothing (one transaction), so its items can be written again, one by one.
            for entry in batch:
                if not entry[1].cancelled():
                    await self._flush([entry])
        except asyncio.CancelledError:
            # The write may have happened. Its callers are cancelled too; otherwise they would wait for ever.
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every caller gets it; none may wait for ever
            _fail(batch, error)
        else:
            self._written(len(batch), time.monotonic() - begun)
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(batch: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)

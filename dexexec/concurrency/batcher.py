"""Group commit: items that arrive while one write is running are written together by the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects items while `write` is busy and hands them over in order, at most `limit` at once.

    `write` answers one result per item, in order. When it raises one of `separate`, the items are written again one
    by one, so that a bad item fails alone; any other exception goes to every caller of that batch.
    """

    def __init__(
        self,
        write: Callable[[list[T]], Awaitable[Sequence[R]]],
        limit: int = 500,
        separate: tuple[type[Exception], ...] = (),
    ) -> None:
        self._write, self._limit, self._separate = write, limit, separate
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._wake = asyncio.Event()

    async def put(self, item: T) -> R:
        """Have `item` written; returns its result, or raises what the write raised."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._wake.set()
        return await future

    async def run(self) -> None:
        """Write batches until cancelled. Items still waiting then are cancelled with it."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while batch := self._next_batch():
                    await self._flush(batch)
        finally:
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    def _next_batch(self) -> list[tuple[T, asyncio.Future[R]]]:
        """The items that have waited longest and whose callers still wait; may be empty."""
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._limit:
            item, future = self._waiting.popleft()
            if not future.cancelled():
                batch.append((item, future))
        return batch

    async def _flush(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except self._separate as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            for one in batch:
                if not one[1].cancelled():
                    await self._flush([one])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every caller gets it; none may be left waiting
            _fail(batch, error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(batch: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)

"""Wakes resting orders when they expire. Their worker finds that the time has passed, and ends them as `expired`."""

import contextlib
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from dexexec.errors import UnavailableError
from dexexec.resting.due_queue import DueQueue


class WakeStore(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def wake(self) -> list[UUID]:
        """Make due orders whose time has come."""


class Wakes:
    """A duty of the leader."""

    name = "waking orders that expire"

    def __init__(self, store: WakeStore, queue: DueQueue) -> None:
        self._store = store
        self._queue = queue

    async def turn(self) -> None:
        """Wake what has expired. Raises `UnavailableError`."""
        while order_ids := await self._store.wake():
            await enqueue(self._queue, order_ids)

    def resign(self) -> None:
        """Nothing was learned."""


async def enqueue(queue: DueQueue, order_ids: Sequence[UUID]) -> None:
    """Put orders on the queue that are due now. If Redis is lost, the sweeper finds them in Postgres."""
    with contextlib.suppress(UnavailableError):
        await queue.enqueue(order_ids)

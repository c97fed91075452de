"""The queue as the leader's duties use it: for orders that rested until now, and are due in Postgres already."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from dexexec.failpoints import Failpoint, Failpoints


class DueQueue(Protocol):
    """The part of `dexexec.broker.queue.Queue` that is used here."""

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Put ids on the queue."""


class TriggeredQueue:
    """A `DueQueue` with the failpoint between Postgres and Redis."""

    def __init__(self, queue: DueQueue, failpoints: Failpoints) -> None:
        self._queue = queue
        self._failpoints = failpoints

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Put ids on the queue."""
        await self._failpoints.reach(Failpoint.TRIGGERED)
        return await self._queue.enqueue(order_ids)

"""Makes the orders of recurring orders when their slices are due."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from dexexec.domain.token import Tokens
from dexexec.resting.due_queue import DueQueue
from dexexec.resting.wakes import enqueue


class SliceStore(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def make_slices(self, tokens: Tokens) -> Sequence[UUID] | None:
        """Make the slices that are due, of a page of recurring orders; None when none is due."""


class Slices:
    """A duty of the leader. The orders go on the queue like those of clients; a lost Redis only delays them."""

    name = "making slices of recurring orders"

    def __init__(self, store: SliceStore, queue: DueQueue, tokens: Tokens) -> None:
        self._store = store
        self._queue = queue
        self._tokens = tokens

    async def turn(self) -> None:
        """Make what is due. Raises `UnavailableError`."""
        while (made := await self._store.make_slices(self._tokens)) is not None:
            if made:
                await enqueue(self._queue, made)

    def resign(self) -> None:
        """Nothing was learned."""

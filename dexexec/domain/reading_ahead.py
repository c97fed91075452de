"""Chains that read what is needed next together with what is needed now, for adapters that read accounts."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class ReadingAheadChain(Protocol):
    """A chain that keeps an answer for a moment, for those who need its accounts next."""

    async def read_ahead(self, addresses: Sequence[str], along: Sequence[str] = ()) -> None:
        """Read `addresses`, unless all are in memory, and with them what is needed next: `along`, as far as there is
        room in the answer, and the accounts of the orders that begin now. Raises `VenueError`."""

"""What a cluster charges for accounts: lamports that an account must hold for as long as it exists."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

OVERHEAD_BYTES = 128
"""Bytes that each account counts in addition to its data."""


@dataclass(frozen=True, slots=True)
class Rent:
    """The rent of a cluster, in lamports per byte. It falls in steps, so it is read and never assumed."""

    lamports_per_byte: int

    def exempt(self, size: int) -> int:
        """Returns the lamports that an account with `size` bytes of data must hold."""
        return (OVERHEAD_BYTES + size) * self.lamports_per_byte

    @property
    def wallet(self) -> int:
        """The lamports that a wallet must keep, unless it is emptied completely."""
        return self.exempt(0)


ReadRent = Callable[[], Awaitable[Rent]]
"""Returns the cluster's rent. Raises `VenueError` if it was never read and no node answers."""

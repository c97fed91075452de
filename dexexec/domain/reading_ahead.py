"""What chains that keep accounts in memory do besides, for adapters that read accounts: they read what is needed next
together with what is needed now, and confirm with a node."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from dexexec.domain.solana import Accounts


@runtime_checkable
class ReadingAheadChain(Protocol):
    """A chain that keeps an answer for a moment, for those who need its accounts next."""

    async def read_ahead(
        self, addresses: Sequence[str], along: Sequence[str] = (), written: Sequence[str] = ()
    ) -> None:
        """Read `addresses`, unless all are in memory, and with them what is needed next: `along`, as far as there is
        room in the answer, and the accounts of the orders that begin now. At the same time the fee for the accounts
        that may be `written` to is requested. Raises `VenueError`."""


@runtime_checkable
class ConfirmingChain(Protocol):
    """A chain whose answers may be from memory."""

    async def accounts_now(self, addresses: Sequence[str]) -> Accounts:
        """The accounts from a node, in any case. Raises `VenueError`."""

"""A wallet's past on chain: which transactions name it, and what one of them did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dexexec.domain.swap import Blockhash, SwapStatus


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A transaction that names the wallet, signed by any key. `time` is its block's (Unix seconds). `memos` is the
    node's list of its memos, and only a hint: not every node has it, and nothing proves it."""

    signature: str
    slot: int
    time: int | None
    memos: str | None


@dataclass(frozen=True, slots=True)
class NodeHistory:
    """One node's list of a wallet's transactions, the newest first. `height` is its finalized height before that; None
    if its heights are not believed. The list counts in both cases."""

    node: str
    height: int | None
    entries: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """A finalized transaction as a node stores it: its bytes (`payload`), its block's time (Unix seconds), and the
    decimals of the mints in it. Its outcome comes from `Chain.status`."""

    signature: str
    payload: bytes
    time: int | None
    decimals: Mapping[str, int]


@runtime_checkable
class WalletHistory(Protocol):
    """A chain with the history of a wallet. Every method raises `VenueError` when no node answers."""

    async def blockhash(self) -> Blockhash:
        """As in `Chain`."""

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """As in `Chain`."""

    async def heights(self) -> dict[str, int]:
        """Returns the finalized height of every node that answers and is trusted, by its name."""

    async def newest_signatures(self, wallet: str) -> list[HistoryEntry] | None:
        """One page of the newest confirmed transactions that name the wallet, from one node; None if no node has such
        lists."""

    async def wallet_history(self, wallet: str, since: int) -> list[NodeHistory]:
        """All finalized transactions that name the wallet, back to `since` (Unix seconds), from each node that answers:
        each may lack a part. Raises `VenueError` when one of them stops answering meanwhile."""

    async def kept_transaction(self, signature: str) -> KeptTransaction | None:
        """A finalized transaction; None if no node has it."""

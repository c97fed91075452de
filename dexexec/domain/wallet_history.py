"""What a chain shows of a wallet's past: which transactions name it, and what one of them did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dexexec.domain.swap import Blockhash, SwapStatus


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A transaction that names the wallet, whoever signed it. `time` is its block's (Unix seconds). `memos` is how the
    node lists its memos, and a hint only: not every node does, and nothing proves it."""

    signature: str
    slot: int
    time: int | None
    memos: str | None


@dataclass(frozen=True, slots=True)
class NodeHistory:
    """What one node knows of a wallet, the newest first. `height` is the finalized one that it was at before;
    None where what it tells of heights is not believed: what it lists counts all the same."""

    node: str
    height: int | None
    entries: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """A finalized transaction as a node keeps it: its bytes (`payload`), its block's time (Unix seconds), and the
    decimals of the mints in it. What came of it is for `Chain.status` to say."""

    signature: str
    payload: bytes
    time: int | None
    decimals: Mapping[str, int]


@runtime_checkable
class WalletHistory(Protocol):
    """A chain that can be asked for a wallet's past. Every method raises `VenueError` when no node answers."""

    async def blockhash(self) -> Blockhash:
        """As `Chain`."""

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """As `Chain`."""

    async def heights(self) -> dict[str, int]:
        """The finalized height of every node that answers and is believed, by its name."""

    async def newest_signatures(self, wallet: str) -> list[HistoryEntry] | None:
        """One page of the newest transactions that name the wallet, as confirmed, of one node; None where no node keeps
        such lists."""

    async def wallet_history(self, wallet: str, since: int) -> list[NodeHistory]:
        """All finalized transactions that name the wallet, back to `since` (Unix seconds), as each node that answers
        has them: any of them may lack a part. Raises `VenueError` when one of them stops answering on the way."""

    async def kept_transaction(self, signature: str) -> KeptTransaction | None:
        """A finalized transaction; None where no node has it."""

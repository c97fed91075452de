"""A standby that is cut off for a while and then promoted: the last commits are gone, and the swaps land all the same.

What a record lost is on the chain. So transactions in these scenarios carry memos, the chain returns
the wallet's history, and each worker has to compare record and chain before it signs, as with a chain of real
transactions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from dexexec.clock import Clock
from dexexec.domain.attempt_id import AttemptId, Memo, read_memo
from dexexec.domain.quote import Quote
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import Blockhash, SwapStatus, UnsignedSwap
from dexexec.domain.token import USDC, WSOL
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction, NodeHistory
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.recovery.chain_comparison import Comparison, Venues, WalletOnChain
from dexexec.recovery.signing_permission import ComparedRecord
from dexexec.settlement.sealing import Checked
from dexexec.settlement.simulated.chain import FINALITY, SLOT_MS
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.venue import AnyVenue, Chain, Unreachable, Unsigned
from tests.simulation.wires import SimulatedWire
from tests.support.fakes.comparisons import MemoryComparisons

T = TypeVar("T")

GENESIS, RECORD = "genesis", "5f3c9a1e"
PAYER = SimulatedSigner().payer
WALLET = (GENESIS, PAYER)


class MemoSealer(SimulatedSealer):
    """The memo of an attempt is its swap's nonce: so it is among the bytes that are signed."""

    async def check(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: Unsigned,
        deadline: float,
        attempt: AttemptId,
        *,
        close_account: bool = False,
    ) -> Checked:
        """Check, with the memo."""
        if isinstance(unsigned, UnsignedSwap):
            try:
                swap = SimulatedSwap.decode(unsigned.message)
                unsigned = replace(unsigned, message=replace(swap, nonce=attempt.memo(RECORD)).encode())
            except (ValueError, TypeError):
                pass  # it is refused for what it is
        return await super().check(venue, quote, unsigned, deadline, attempt, close_account=close_account)


def read_own(payload: bytes, wallet: str, venues: Venues) -> tuple[Memo, str] | None:
    """As `dexexec.recovery.own_transactions.read_own`, of a simulated swap."""
    swap = SimulatedSwap.decode(payload)
    memo = read_memo(swap.nonce)
    return None if memo is None or swap.payer != wallet else (memo, swap.venue)


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction on chain since a slot, with what it did or without effect."""

    slot: int
    payload: bytes


class ChainHistory:
    """`dexexec.domain.wallet_history.WalletHistory` of a scenario's chain, as one node returns it over a wire. `landed`
    are the transactions that are on chain as of a slot."""

    def __init__(
        self, chain: Chain, wire: SimulatedWire, clock: Clock, landed: Callable[[int], Mapping[str, Landed]]
    ) -> None:
        self._chain, self._wire, self._clock, self._landed = chain, wire, clock, landed

    async def blockhash(self) -> Blockhash:
        """A recent one."""
        return await self._chain.blockhash()

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """What became of these."""
        return await self._chain.status(signatures, history=history)

    async def heights(self) -> dict[str, int]:
        """Of the one node."""
        return {"node": await self._ask(self._height)}

    async def newest_signatures(self, wallet: str) -> list[HistoryEntry] | None:
        """Those that are confirmed."""
        return list(await self._ask(lambda: self._entries(self._height() + FINALITY)))

    async def wallet_history(self, wallet: str, since: int) -> list[NodeHistory]:
        """Those that are finalized."""

        def read() -> NodeHistory:
            height = self._height()
            return NodeHistory("node", height, self._entries(height))

        return [await self._ask(read)]

    async def kept_transaction(self, signature: str) -> KeptTransaction | None:
        """One that is finalized."""

        def read() -> KeptTransaction | None:
            found = self._landed(self._height()).get(signature)
            return None if found is None else KeptTransaction(signature, found.payload, _time(found), {USDC: 6})

        return await self._ask(read)

    async def _ask(self, effect: Callable[[], T]) -> T:
        try:
            return await self._wire.call("history", effect)
        except UnavailableError as error:
            raise Unreachable(str(error)) from error

    def _height(self) -> int:
        return self._clock.unix_ms() // SLOT_MS - FINALITY

    def _entries(self, slot: int) -> tuple[HistoryEntry, ...]:
        """The newest first, as of a slot."""
        found = sorted(self._landed(slot).items(), key=lambda one: one[1].slot, reverse=True)
        memos = [SimulatedSwap.decode(one.payload).nonce for _, one in found]
        return tuple(
            HistoryEntry(signature, one.slot, _time(one), f"[{len(memo)}] {memo}")
            for (signature, one), memo in zip(found, memos, strict=True)
        )


def permission_of(
    comparisons: MemoryComparisons, history: ChainHistory, clock: Clock, observer: Observer
) -> ComparedRecord:
    """What a worker waits for before it takes orders up."""
    wallet = WalletOnChain(genesis=GENESIS, address=PAYER, chain=history, read_own=read_own)
    comparison = Comparison(
        wallet, comparisons.port, record=RECORD, venues={}, pair=(WSOL, USDC), clock=clock, observer=observer
    )
    return ComparedRecord([comparison], clock, observer)


def _time(landed: Landed) -> int:
    return landed.slot * SLOT_MS // 1_000

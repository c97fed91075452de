"""Sealing: turns what an adapter built into signed bytes, which are recorded before they are sent.

There is one sealer per network: `dexexec.settlement.solana.sealer` and `dexexec.settlement.simulated.sealer`. A dry run
does the same checks and ends before the signature.
"""

from dataclasses import dataclass
from typing import Protocol

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.closing import Closing
from dexexec.domain.funds import PriorityFee, Spending
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import SignedSwap
from dexexec.venue import AnyVenue, InsufficientFunds, Unsigned


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed swap that is ready to be recorded. On Solana it has a priority fee, and the amounts of the wallet that
    the record has to reserve for it; `closing` if the order asks to close the account that it empties."""

    signed: SignedSwap
    priority_fee: PriorityFee | None = None
    spending: Spending | None = None
    closing: Closing | None = None


class SwapSimulator(Protocol):
    """Checks the swaps of one wallet, and shows what they would move. It needs no key and signs nothing."""

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""

    async def simulate(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: Unsigned,
        deadline: float,
        attempt: AttemptId,
        *,
        close_account: bool = False,
    ) -> Fill:
        """Returns what the swap that `venue` built from `quote` would move. The checks, the parameters and the errors
        are those of `Sealer.seal`."""

    async def spendable(self, mint: str) -> SpendableBalance:
        """Returns what the wallet can spend of `mint` now. Raises `VenueError`; `Unsupported` where wallets have no
        balances."""

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """Returns what the wallet lacks for `quote`, independent of the transaction. It is None too if the balances are
        older than the slot `newest`. Raises `VenueError`."""


class Sealer(SwapSimulator, Protocol):
    """Signs swaps with one wallet."""

    async def seal(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: Unsigned,
        deadline: float,
        attempt: AttemptId,
        *,
        close_account: bool = False,
    ) -> Sealed:
        """Signs what `venue` built from `quote`, and sends nothing. `deadline` is monotonic seconds; `attempt` names
        the transaction on the chain. `close_account`: the token account that the swap empties is closed. Raises
        `VenueError`, which includes `GuardError`. Other exceptions of an adapter pass through."""

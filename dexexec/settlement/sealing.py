"""Sealing: from what an adapter built to the signed bytes that are recorded and then sent.

The order's way: a venue's adapter builds, a sealer signs, the store records, and only then is anything sent. There is
one sealer per network and process: `dexexec.settlement.solana.sealer` and
`dexexec.settlement.simulated.sealer`.
"""

from dataclasses import dataclass
from typing import Protocol

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.funds import PriorityFee, Spending
from dexexec.domain.quote import Quote
from dexexec.domain.swap import SignedSwap
from dexexec.venue import AnyVenue, InsufficientFunds, Unsigned


@dataclass(frozen=True, slots=True)
class Sealed:
    """A swap ready to be recorded. On Solana also what it offers the network for each compute unit, and what it may
    take of the wallet, which the record reserves."""

    signed: SignedSwap
    priority_fee: PriorityFee | None = None
    spending: Spending | None = None


class Sealer(Protocol):
    """Makes signed bytes for one wallet."""

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""

    async def seal(
        self, venue: AnyVenue, quote: Quote, unsigned: Unsigned, deadline: float, attempt: AttemptId
    ) -> Sealed:
        """The bytes to record and send, for what `venue` built of `quote`; nothing is sent. `deadline` is monotonic
        seconds, `attempt` what the transaction is known as on chain. Raises `VenueError`, `GuardError` among them; what
        an adapter raises otherwise passes through."""

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """What the wallet lacks for `quote` whoever builds it; None also where balances are only shown as of before the
        slot `newest`. Raises `VenueError`."""

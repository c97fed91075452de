"""Sealing: from what an adapter built to the signed bytes that are recorded and then sent.

The order's way: a venue's adapter builds, a sealer signs, the store records, and only then is anything sent. There is
one sealer per network and process; on Solana that is `dexexec.settlement.solana_sealing`, a file of its own, as the
simulated chain must not wait for Solana's libraries.
"""

from dataclasses import dataclass
from typing import Protocol

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.funds import Spending
from dexexec.domain.quote import Quote
from dexexec.domain.swap import SignedSwap, UnsignedSwap
from dexexec.settlement.compute_price import PriorityFee
from dexexec.settlement.signer import Signer
from dexexec.venue import AnyVenue, BadAnswer, Unsigned


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


class SimulatedSealer:
    """Signs for the simulated chain."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""
        return self._signer.payer

    async def seal(
        self, venue: AnyVenue, quote: Quote, unsigned: Unsigned, deadline: float, attempt: AttemptId
    ) -> Sealed:
        """Sign the finished message, which has no room for a memo: what lands here is in the Postgres of the
        orders, and lost with them. Raises `BadAnswer` for instructions."""
        if not isinstance(unsigned, UnsignedSwap):
            raise BadAnswer(f"{venue.name} built instructions for a chain that has none")
        return Sealed(self._signer.sign(unsigned))

"""Sealing: from what an adapter built to the signed bytes that are recorded and then sent.

The order's way: a venue's adapter builds, a sealer signs, the store records, and only then is anything sent. There is
one sealer per network and process; on Solana that is `dexexec.settlement.solana_sealing`, a file of its own, as the
simulated chain must not wait for Solana's libraries.
"""

from dataclasses import dataclass
from typing import Protocol

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.bound import Bound
from dexexec.domain.funds import Spending
from dexexec.domain.quote import Quote
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import SignedSwap, UnsignedSwap
from dexexec.settlement.compute_price import PriorityFee
from dexexec.settlement.rule import GuardError, Rule
from dexexec.settlement.signer import Signer
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, Unsigned


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

    async def shortage(self, quote: Quote) -> InsufficientFunds | None:
        """What the wallet lacks for `quote` whoever builds it, or None. Raises `VenueError`."""


class SimulatedSealer:
    """Signs for the simulated chain. Without `guarded` it signs looser bounds than the quote's, too: so that a test of
    an adapter sees on the chain what it built."""

    def __init__(self, signer: Signer, *, guarded: bool = True) -> None:
        self._signer, self._guarded = signer, guarded

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""
        return self._signer.payer

    async def seal(
        self, venue: AnyVenue, quote: Quote, unsigned: Unsigned, deadline: float, attempt: AttemptId
    ) -> Sealed:
        """Sign the finished message, which has no room for a memo: what lands here is in the Postgres of the
        orders, and lost with them. Raises `BadAnswer` for instructions, `GuardError` for bounds looser than the
        quote's."""
        if not isinstance(unsigned, UnsignedSwap):
            raise BadAnswer(f"{venue.name} built instructions for a chain that has none")
        if self._guarded:
            _check_bounds(venue, quote, unsigned.message)
        return Sealed(self._signer.sign(unsigned))

    async def shortage(self, quote: Quote) -> InsufficientFunds | None:
        """Nothing: wallets of the simulated chain have no balances."""
        return None


def _check_bounds(venue: AnyVenue, quote: Quote, message: bytes) -> None:
    """The guard of the simulated chain: the bounds inside the bytes are what the chain holds the swap to."""
    try:
        swap = SimulatedSwap.decode(message)
    except ValueError:
        return  # the chain refuses it
    if not Bound.of(quote).holds(swap.max_in, swap.min_out):
        raise GuardError(Rule.BOUND, f"{venue.name} built looser bounds than those of its quote")

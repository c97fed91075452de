"""The sealer of the simulated chain: checks what an adapter built against its quote, and signs it."""

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.bound import Bound
from dexexec.domain.quote import Quote
from dexexec.domain.swap import UnsignedSwap
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.sealing import Sealed
from dexexec.settlement.simulated.chain import read_swap
from dexexec.settlement.simulated.signer import Signer
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, Unsigned


class SimulatedSealer:
    """Signs for the simulated chain. Without `guarded` it signs whatever was built: so that a test of an adapter sees
    what that does on the chain."""

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
        orders, and lost with them. Raises `BadAnswer` for what the chain would not take, `GuardError` for what
        does not keep to the quote."""
        if not isinstance(unsigned, UnsignedSwap):
            raise BadAnswer(f"{venue.name} built instructions for a chain that has none")
        if self._guarded:
            _check(venue, quote, unsigned)
        return Sealed(self._signer.sign(unsigned))

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """Nothing: wallets of the simulated chain have no balances."""
        return None


def _check(venue: AnyVenue, quote: Quote, unsigned: UnsignedSwap) -> None:
    """The guard of the simulated chain: it takes these bytes, and holds them to the quote. What it does not take would
    wait until it is proven expired."""
    try:
        swap = read_swap(unsigned.message)
    except ValueError as error:
        raise BadAnswer(f"{venue.name} built what is no swap: {error}") from None
    if swap.blockhash != unsigned.blockhash.hash:
        raise BadAnswer(f"{venue.name} built for another blockhash than it says")
    if (swap.mint_in, swap.mint_out) != (quote.request.mint_in, quote.request.mint_out):
        raise GuardError(Rule.TRANSFER, f"{venue.name} built a swap of other tokens than those of its quote")
    if not Bound.of(quote).holds(swap.max_in, swap.min_out):
        raise GuardError(Rule.BOUND, f"{venue.name} built looser bounds than those of its quote")

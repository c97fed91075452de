"""The sealer of the simulated chain: compares what an adapter built with its quote, and signs it.

This chain has no simulation. A dry run executes the bytes themselves, as the chain does when they land.
"""

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.bound import Bound
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import FailedOnChain, UnsignedSwap, fill_of
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.sealing import Checked, Sealed, Sealer
from dexexec.settlement.signer_errors import SignerError
from dexexec.settlement.simulated.chain import VALID_FOR, read_swap
from dexexec.settlement.simulated.signer import Signer
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, Slippage, Unsigned, Unsupported

NO_BALANCES = (
    "wallets of the simulated chain have no balances and no token accounts: give a fixed amount without closeAccount,"
    " or enable venues on localnet or solana"
)


class SimulatedSealer(Sealer):
    """Signs for the simulated chain. Without `guarded` it signs everything, so that a test of an adapter sees what that
    does on the chain."""

    def __init__(self, signer: Signer, *, guarded: bool = True) -> None:
        self._signer = signer
        self._guarded = guarded

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""
        return self._signer.payer

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
        """Returns the message. Raises `BadAnswer` for bytes that the chain does not accept, `GuardError` for bytes that
        do not keep to the quote, `Unsupported` if an account should be closed."""
        _check_closing(close_account=close_account)
        # It has no memo: this chain's swaps are in the same Postgres as the orders, and are lost only together with
        # them.
        message = _message(venue, unsigned)
        if self._guarded:
            _check(venue, quote, message)
        return Checked(message=message.message, blockhash=message.blockhash)

    async def sign(self, checked: Checked) -> Sealed:
        """Signs at once."""
        return Sealed(self._signer.sign(UnsignedSwap(checked.message, checked.blockhash)))

    def trouble(self) -> SignerError | None:
        """None: its key is here."""
        return None

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
        """Returns the fill that these bytes get when they land. Raises as `seal` does, and `Slippage` if they fail."""
        _check_closing(close_account=close_account)
        message = _message(venue, unsigned)
        swap = _check(venue, quote, message)
        # The bytes alone decide the result, also how far the price moves until they land: it is the same pure function
        # that the chain applies. Only whether the first send would be lost makes no difference here.
        result = swap.execute(message.blockhash.last_valid_height - VALID_FOR)
        if isinstance(result, FailedOnChain):
            raise Slippage(f"the swap would fail: {result.detail}")
        return fill_of(result, quote.request)

    async def spendable(self, mint: str) -> SpendableBalance:
        """Raises `Unsupported`: wallets of the simulated chain have no balances."""
        raise Unsupported(NO_BALANCES)

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """Returns None: wallets of the simulated chain have no balances."""
        return None


def _check_closing(*, close_account: bool) -> None:
    if close_account:
        raise Unsupported(NO_BALANCES)


def _message(venue: AnyVenue, unsigned: Unsigned) -> UnsignedSwap:
    if not isinstance(unsigned, UnsignedSwap):
        raise BadAnswer(f"{venue.name} built instructions, which the simulated chain does not have")
    return unsigned


def _check(venue: AnyVenue, quote: Quote, unsigned: UnsignedSwap) -> SimulatedSwap:
    """The guard of the simulated chain: the bytes must be acceptable to it, and keep to the quote."""
    # An unacceptable swap would be sent until it is proven expired, so it is refused here.
    try:
        swap = read_swap(unsigned.message)
    except ValueError as error:
        raise BadAnswer(f"{venue.name} built invalid bytes: {error}") from None
    if swap.blockhash != unsigned.blockhash.hash:
        raise BadAnswer(f"{venue.name} built for another blockhash than it declares")
    if (swap.mint_in, swap.mint_out) != (quote.request.mint_in, quote.request.mint_out):
        raise GuardError(Rule.TRANSFER, f"{venue.name} built a swap of other tokens than those of its quote")
    if not Bound.of(quote).holds(swap.max_in, swap.min_out):
        raise GuardError(Rule.BOUND, f"{venue.name} built looser bounds than those of its quote")
    return swap

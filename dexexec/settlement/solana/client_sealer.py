"""Sealing for a wallet whose key only its client has: a transaction is checked here, and signed elsewhere.

`sign` therefore never signs: it raises `ClientSignatureNeeded` with what was checked. `complete` makes the transaction
of what came back.
"""

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.handout import Handout
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import SignedSwap
from dexexec.settlement.sealing import Checked, ClientSignatureNeeded, Sealed, Sealer
from dexexec.settlement.signer_errors import SignerError
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.co_signer import CoSigner
from dexexec.settlement.solana.sealer import checked_by
from dexexec.settlement.solana.transaction import assemble, signature_text
from dexexec.venue import AnyVenue, InsufficientFunds, Unsigned


class ClientSealer(Sealer):
    """Checks with `checker`, whose transactions `co_signer` has to sign as well."""

    def __init__(self, checker: SwapChecker, co_signer: CoSigner) -> None:
        self._checker = checker
        self._co_signer = co_signer

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""
        return self._checker.payer

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
        """As `SolanaSealer.check`."""
        ours = frozenset({self.payer, self._co_signer.address(attempt)})
        return await checked_by(
            self._checker, venue, quote, unsigned, deadline, attempt=attempt, ours=ours, close_account=close_account
        )

    async def sign(self, checked: Checked) -> Sealed:
        """Raises `ClientSignatureNeeded`."""
        raise ClientSignatureNeeded(checked)

    def complete(self, handout: Handout, attempt: AttemptId) -> SignedSwap:
        """The transaction that the client has signed, with the signature of the co-signer. From here on it could
        land."""
        assert handout.signature is not None  # noqa: S101 - the caller has it
        # The guard has checked this very message when it was handed out, and the client has signed no other one.
        signatures = {
            **handout.cosigned,
            self.payer: handout.signature,
            self._co_signer.address(attempt): self._co_signer.sign(attempt, handout.message),
        }
        transaction = assemble(handout.message, handout.signers, signatures)
        return SignedSwap(
            signature=signature_text(transaction),
            payload=transaction,
            last_valid_height=handout.last_valid_height,
            network=handout.network,
            genesis=handout.genesis,
        )

    def trouble(self) -> SignerError | None:
        """None: a client that does not sign only delays its own order."""
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
        """As `SolanaSealer.simulate`."""
        return await self._checker.simulate(venue, quote, unsigned, deadline, attempt, close_account=close_account)

    async def spendable(self, mint: str) -> SpendableBalance:
        """Returns what the wallet can spend of `mint` now. Raises `VenueError`."""
        return await self._checker.spendable(mint)

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """Returns what the wallet lacks of the sold token, or None. Raises `VenueError`."""
        return await self._checker.shortage(quote, newest)

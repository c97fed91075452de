"""Sealing on Solana: has a transaction checked, and signs it. Nothing is sent.

The signed message is the one that the guard checked, byte for byte (`checker`).
"""

from collections.abc import Collection, Sequence

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import SignedSwap
from dexexec.settlement.sealing import Checked, Sealed, Sealer
from dexexec.settlement.signer_errors import SignerError
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.limited_signer import LimitedSigner
from dexexec.settlement.solana.transaction import assemble, is_signed, signature_text
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, Unsigned


class CheckedSealer(Sealer):
    """What `checker` lets pass for its wallet; who signs it is the subclass's."""

    def __init__(self, checker: SwapChecker) -> None:
        self._checker = checker

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""
        return self._checker.payer

    def _ours(self, attempt: AttemptId) -> Collection[str]:
        """The signers of the attempt's transaction whose signatures the venue does not give."""
        return frozenset({self.payer})

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
        """Returns the transaction to sign, with `attempt` as its memo. With `close_account` it closes the token account
        that the swap empties. Raises as `SwapChecker.check` does, and `BadAnswer` for invalid signatures of others."""
        ours = self._ours(attempt)
        checked = await self._checker.check(venue, quote, unsigned, deadline, attempt, close_account=close_account)
        # The venue signs first: no wallet signs a transaction that lacks a signature of the others.
        others = [signer for signer in checked.parsed.signers if signer not in ours]
        cosigned = await _cosigned(venue, checked.message, others) if others else {}
        return Checked(
            message=checked.message,
            blockhash=unsigned.blockhash,
            signers=checked.parsed.signers,
            cosigned=cosigned,
            priority_fee=checked.priority_fee,
            spending=checked.spending,
            closing=checked.closing,
            prepared=checked.prepared,
            tip=checked.tip,
        )

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
        """Returns what the swap would move; nothing is signed. Raises as `SwapChecker.check` does."""
        return await self._checker.simulate(venue, quote, unsigned, deadline, attempt, close_account=close_account)

    async def spendable(self, mint: str) -> SpendableBalance:
        """Returns what the wallet can spend of `mint` now. Raises `VenueError`."""
        return await self._checker.spendable(mint)

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """Returns what the wallet lacks of the sold token, or None. Raises `VenueError`."""
        return await self._checker.shortage(quote, newest)


class SolanaSealer(CheckedSealer):
    """Signs with `signer` what `checker` lets pass, which checks for the same wallet."""

    def __init__(self, checker: SwapChecker, signer: LimitedSigner) -> None:
        super().__init__(checker)
        self._signer = signer

    async def sign(self, checked: Checked) -> Sealed:
        """Returns the signed transaction. Raises `SignerError`."""
        signature = await self._signer.sign(checked.message)
        transaction = assemble(checked.message, checked.signers, {**checked.cosigned, self.payer: signature})
        signed = SignedSwap(
            signature=signature_text(transaction),
            payload=transaction,
            last_valid_height=checked.blockhash.last_valid_height,
        )
        return Sealed(
            signed,
            checked.priority_fee,
            checked.spending,
            checked.closing,
            prepared=checked.prepared,
            tip=checked.tip,
        )

    def trouble(self) -> SignerError | None:
        """The outage because of which the signer is not tried now, or None."""
        return self._signer.trouble()


async def _cosigned(venue: AnyVenue, message: bytes, signers: Sequence[str]) -> dict[str, bytes]:
    """Returns the signatures of these signers, each verified for this message."""
    given = await venue.cosign(message)
    signatures = {}
    for signer in signers:
        signature = given.get(signer)
        if not isinstance(signature, bytes) or not is_signed(message, signer, signature):
            raise BadAnswer(f"{venue.name} returned no valid signature of {signer}")
        signatures[signer] = signature
    return signatures

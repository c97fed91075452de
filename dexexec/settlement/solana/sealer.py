"""Sealing on Solana: has a transaction checked, and signs it. Nothing is sent.

The signed message is the one that the guard checked, byte for byte (`checker`).
"""

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import SignedSwap
from dexexec.settlement.sealing import Sealed
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.message import Message
from dexexec.settlement.solana.transaction import assemble, is_signed, signature_text
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, Unsigned


class SolanaSealer:
    """Signs with `wallet` what `checker` lets pass, which checks for the same wallet."""

    def __init__(self, checker: SwapChecker, wallet: Wallet) -> None:
        self._checker = checker
        self._wallet = wallet

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""
        return self._wallet.address

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
        """Returns the signed transaction, with `attempt` as its memo. With `close_account` it closes the token account
        that the swap empties. Raises as `SwapChecker.check` does, and `BadAnswer` for invalid signatures."""
        checked = await self._checker.check(venue, quote, unsigned, deadline, attempt, close_account=close_account)
        signed = await self._sign(venue, checked.message, checked.parsed, unsigned.blockhash.last_valid_height)
        return Sealed(signed, checked.priority_fee, checked.spending, checked.closing)

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

    async def _sign(self, venue: AnyVenue, message: bytes, parsed: Message, last_valid_height: int) -> SignedSwap:
        # The venue signs first: our wallet never signs a transaction that lacks a signature of the others.
        signatures = await self._cosigned(venue, message, parsed)
        signatures[self.payer] = self._wallet.sign(message)
        transaction = assemble(message, parsed.signers, signatures)
        return SignedSwap(
            signature=signature_text(transaction),
            payload=transaction,
            last_valid_height=last_valid_height,
        )

    async def _cosigned(self, venue: AnyVenue, message: bytes, parsed: Message) -> dict[str, bytes]:
        """Returns the signatures of the other signers, each verified for this message."""
        others = [signer for signer in parsed.signers if signer != self.payer]
        given = await venue.cosign(message) if others else {}
        signatures = {}
        for signer in others:
            signature = given.get(signer)
            if not isinstance(signature, bytes) or not is_signed(message, signer, signature):
                raise BadAnswer(f"{venue.name} returned no valid signature of {signer}")
            signatures[signer] = signature
        return signatures

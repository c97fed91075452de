"""Sealing for a wallet whose key only its client has: a transaction is checked here, and signed elsewhere.

`sign` therefore never signs: it raises `ClientSignatureNeeded` with what was checked. `complete` makes the transaction
of what came back.
"""

from collections.abc import Collection

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.handout import Handout
from dexexec.domain.swap import SignedSwap
from dexexec.settlement.sealing import Checked, ClientSignatureNeeded, Sealed
from dexexec.settlement.signer_errors import SignerError
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.co_signer import CoSigner
from dexexec.settlement.solana.sealer import CheckedSealer
from dexexec.settlement.solana.transaction import assemble, signature_text


class ClientSealer(CheckedSealer):
    """Checks with `checker`, whose transactions `co_signer` has to sign as well."""

    def __init__(self, checker: SwapChecker, co_signer: CoSigner) -> None:
        super().__init__(checker)
        self._co_signer = co_signer

    def _ours(self, attempt: AttemptId) -> Collection[str]:
        return frozenset({self.payer, self._co_signer.address(attempt)})

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

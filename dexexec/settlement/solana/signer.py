"""The port of signers: whatever holds a wallet's key, in this process or elsewhere.

The engine gives a signer only messages that the guard has checked, and takes only a signature from it
(`dexexec.settlement.solana.limited_signer`).
"""

from typing import Protocol

from dexexec.settlement.solana.wallet import Wallet


class Signer(Protocol):
    """Signs for one wallet, and sends nothing: bytes that it sent by itself could be a second swap."""

    @property
    def address(self) -> str:
        """The wallet's public key, base58. It is known without a request."""

    async def sign(self, message: bytes) -> bytes:
        """Returns the Ed25519 signature (64 bytes) over `message`, a complete version 0 message. Raises `SignerError`.
        It may be cancelled at any time."""

    async def aclose(self) -> None:
        """Closes its connections."""


class LocalSigner:
    """Signs with a key in this process."""

    def __init__(self, wallet: Wallet) -> None:
        self._wallet = wallet

    @property
    def address(self) -> str:
        """The wallet's public key, base58."""
        return self._wallet.address

    async def sign(self, message: bytes) -> bytes:
        """Signs at once."""
        return self._wallet.sign(message)

    async def aclose(self) -> None:
        """Does nothing: there is no connection."""

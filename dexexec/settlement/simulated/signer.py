"""Signs for the simulated chain, with a key that is not secret. On Solana, `dexexec.settlement.solana.wallet` signs."""

from hashlib import blake2b
from typing import Protocol

from dexexec.domain import base58
from dexexec.domain.swap import SignedSwap, UnsignedSwap


class Signer(Protocol):
    """Signs with one wallet."""

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""

    def sign(self, unsigned: UnsignedSwap) -> SignedSwap:
        """Returns the bytes to record and send. The same message always has the same signature."""


class SimulatedSigner:
    """Signs with a keyed hash in the form of an Ed25519 signature, which is neither secret nor secure.

    The payload is the message itself. `key` is 1 to 64 bytes.
    """

    def __init__(self, key: bytes = b"simulated-wallet") -> None:
        self._key = key
        self._payer = base58.encode(blake2b(b"payer", key=key, digest_size=32).digest())

    @classmethod
    def named(cls, name: str) -> "SimulatedSigner":
        """The signer of a named wallet, which has the same key in every process."""
        return cls(blake2b(name.encode(), key=b"simulated-wallet").digest())

    @property
    def payer(self) -> str:
        """The wallet's public key, base58 of 32 bytes."""
        return self._payer

    def sign(self, unsigned: UnsignedSwap) -> SignedSwap:
        """The signature is base58 of 64 bytes."""
        signature = base58.encode(blake2b(unsigned.message, key=self._key, digest_size=64).digest())
        return SignedSwap(
            signature=signature, payload=unsigned.message, last_valid_height=unsigned.blockhash.last_valid_height
        )

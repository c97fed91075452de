"""The co-signer of transactions that a client signs: a key for each attempt, from the record's secret.

The record has the secret, so every process of an installation has the same keys, and so has a restored backup. The keys
own nothing: their signature only shows that the attempt is recorded.
"""

import hmac
from hashlib import sha256
from typing import NoReturn

from solders.keypair import Keypair

from dexexec.domain.attempt_id import AttemptId


class CoSigner:
    """Signs for attempts of one record. It can be neither copied nor pickled."""

    __slots__ = ("_key_of",)

    def __init__(self, secret: bytes) -> None:
        # In a closure, so that no attribute holds the secret.
        def key_of(attempt: AttemptId) -> Keypair:
            # With the number: what an expired attempt was signed with must be worth nothing for the next one.
            about = b"dexexec co-signer:%b:%d" % (attempt.order_id.bytes, attempt.attempt)
            return Keypair.from_seed(hmac.digest(secret, about, sha256))

        self._key_of = key_of

    def address(self, attempt: AttemptId) -> str:
        """The public key for an attempt, base58."""
        return str(self._key_of(attempt).pubkey())

    def sign(self, attempt: AttemptId, message: bytes) -> bytes:
        """The signature for an attempt, 64 bytes."""
        return bytes(self._key_of(attempt).sign_message(message))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a co-signer does not leave its process")

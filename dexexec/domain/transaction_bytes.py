"""The bytes of a Solana transaction: a message and its signatures, in the forms of all versions. Pure.

Legacy and version 0: the number of signatures, the signatures, the message. Version 1 (SIMD-0385): the message, whose
second byte is the number of signatures, and the signatures at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SIGNATURE_BYTES = 64
VERSION_1 = 0x81
"""The first byte of a message of version 1, and so of its transaction."""
_MOST_SIGNATURES = 127
"""In one byte of the older forms. No transaction that a cluster takes has as many."""


@dataclass(frozen=True, slots=True)
class TransactionParts:
    """The signatures of a transaction, the payer's first, and the message that they are for."""

    signatures: tuple[bytes, ...]
    message: bytes


def join(message: bytes, signatures: Sequence[bytes]) -> bytes:
    """Returns the transaction with these signatures of 64 bytes each, in the order of the message's signers."""
    placed = b"".join(signatures)
    return message + placed if is_version_1(message) else bytes([len(signatures)]) + placed + message


def split(transaction: bytes) -> TransactionParts:
    """Returns the parts of a transaction. Its message is not read. Raises `ValueError` for bytes that are cut off."""
    version_1 = is_version_1(transaction)
    if len(transaction) < 2:
        raise ValueError("the transaction is cut off")
    count = transaction[1] if version_1 else transaction[0]
    size = SIGNATURE_BYTES * count
    if not 0 < count <= _MOST_SIGNATURES or len(transaction) <= size + 1:
        raise ValueError("the transaction is cut off, or has no signature")
    start = len(transaction) - size if version_1 else 1
    signatures = tuple(transaction[at : at + SIGNATURE_BYTES] for at in range(start, start + size, SIGNATURE_BYTES))
    return TransactionParts(signatures, transaction[:start] if version_1 else transaction[start + size :])


def is_version_1(data: bytes) -> bool:
    """Whether a message or a transaction is of version 1."""
    # The older transactions begin with the number of their signatures, which is never as high.
    return data[:1] == bytes([VERSION_1])

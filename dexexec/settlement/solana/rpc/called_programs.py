"""Reads from a transaction's bytes which programs it calls, so that an error can name them.

The format is https://solana.com/docs/core/transactions, legacy and version 0.
"""

from dexexec.domain import base58

_SIGNATURE_BYTES = 64
_KEY_BYTES = 32
_HEADER_BYTES = 3
_VERSION_FLAG = 0x80


def called_programs(transaction: bytes) -> tuple[str, ...]:
    """The program of each instruction, in order. Raises `ValueError` for bytes that are not a transaction."""
    try:
        return _read_programs(transaction)
    except IndexError:
        raise ValueError("the transaction is cut off") from None


def _read_programs(transaction: bytes) -> tuple[str, ...]:
    count, at = _read_length(transaction, 0)
    at += count * _SIGNATURE_BYTES
    # A message of version 0 starts with a version byte, a legacy one directly with its header.
    at += 1 if transaction[at] & _VERSION_FLAG else 0
    count, at = _read_length(transaction, at + _HEADER_BYTES)
    keys = [transaction[start : start + _KEY_BYTES] for start in range(at, at + count * _KEY_BYTES, _KEY_BYTES)]
    # The blockhash follows the keys and has the size of one.
    count, at = _read_length(transaction, at + (count + 1) * _KEY_BYTES)
    programs = []
    for _ in range(count):
        programs.append(base58.encode(keys[transaction[at]]))
        accounts, at = _read_length(transaction, at + 1)
        size, at = _read_length(transaction, at + accounts)
        at += size
    # Slices of cut bytes are short instead of raising, so the end is checked as well.
    if at > len(transaction):
        raise IndexError
    return tuple(programs)


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """A compact-u16 (seven bits per byte, lowest first) and the position after it."""
    value = 0
    shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7

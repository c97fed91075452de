"""The little that is read of a transaction's own bytes here: which programs it calls, so that an error can name them.

The format is Solana's: https://solana.com/docs/core/transactions, legacy and version 0.
"""

from dexexec.domain import base58

_SIGNATURE, _KEY = 64, 32
_VERSIONED = 0x80


def called_programs(transaction: bytes) -> tuple[str, ...]:
    """The program that each instruction calls, in order. Raises `ValueError` for bytes that are no transaction."""
    try:
        return _programs(transaction)
    except IndexError:
        raise ValueError("the transaction is cut off") from None


def _programs(transaction: bytes) -> tuple[str, ...]:
    count, at = _length(transaction, 0)
    at += count * _SIGNATURE
    at += 1 if transaction[at] & _VERSIONED else 0
    count, at = _length(transaction, at + 3)  # after the header
    keys = [transaction[begin : begin + _KEY] for begin in range(at, at + count * _KEY, _KEY)]
    count, at = _length(transaction, at + (count + 1) * _KEY)  # after the blockhash
    programs = []
    for _ in range(count):
        programs.append(base58.encode(keys[transaction[at]]))
        accounts, at = _length(transaction, at + 1)
        size, at = _length(transaction, at + accounts)
        at += size
    if at > len(transaction):
        raise IndexError
    return tuple(programs)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A compact-u16 (seven bits per byte, the lowest first) and the place after it."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7

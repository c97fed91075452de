"""Reads from a transaction's bytes which programs it calls, so that an error can name them.

The format is https://solana.com/docs/core/transactions, legacy and version 0; version 1 is SIMD-0385.
"""

from dexexec.domain import base58
from dexexec.domain.transaction_bytes import is_version_1, split

_KEY_BYTES = 32
_HEADER_BYTES = 3
_VERSION_FLAG = 0x80
_VALUE_BYTES = 4
_STEP_HEADER_BYTES = 4
"""Of an instruction in version 1: the place of its program, the number of its accounts, the size of its data (two)."""


def called_programs(transaction: bytes) -> tuple[str, ...]:
    """The program of each instruction, in order. Raises `ValueError` for bytes that are not a transaction."""
    try:
        return _read_programs(transaction)
    except IndexError:
        raise ValueError("the transaction is cut off") from None


def _read_programs(transaction: bytes) -> tuple[str, ...]:
    message = split(transaction).message
    if is_version_1(message):
        return _read_version_1(message)
    # A message of version 0 starts with a version byte, a legacy one directly with its header.
    at = _HEADER_BYTES + (1 if message[0] & _VERSION_FLAG else 0)
    count, at = _read_length(message, at)
    keys = [message[start : start + _KEY_BYTES] for start in range(at, at + count * _KEY_BYTES, _KEY_BYTES)]
    # The blockhash follows the keys and has the size of one.
    count, at = _read_length(message, at + (count + 1) * _KEY_BYTES)
    programs = []
    for _ in range(count):
        programs.append(base58.encode(keys[message[at]]))
        accounts, at = _read_length(message, at + 1)
        size, at = _read_length(message, at + accounts)
        at += size
    # Slices of cut bytes are short instead of raising, so the end is checked as well.
    if at > len(message):
        raise IndexError
    return tuple(programs)


def _read_version_1(message: bytes) -> tuple[str, ...]:
    """The same of version 1 (SIMD-0385): version, header, mask, blockhash, two counts, keys, values, instructions."""
    mask_at = 1 + _HEADER_BYTES
    mask = int.from_bytes(message[mask_at : mask_at + _VALUE_BYTES], "little")
    counts_at = mask_at + _VALUE_BYTES + _KEY_BYTES
    steps, keys = message[counts_at], message[counts_at + 1]
    keys_at = counts_at + 2
    at = keys_at + keys * _KEY_BYTES + mask.bit_count() * _VALUE_BYTES
    programs = []
    end = at + steps * _STEP_HEADER_BYTES
    for step in range(at, end, _STEP_HEADER_BYTES):
        if message[step] >= keys:
            raise IndexError
        start = keys_at + message[step] * _KEY_BYTES
        programs.append(base58.encode(message[start : start + _KEY_BYTES]))
        end += message[step + 1] + int.from_bytes(message[step + 2 : step + 4], "little")
    if end != len(message):
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

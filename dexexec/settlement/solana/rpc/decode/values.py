"""Decodes the smallest parts of a result: strings, addresses, integers and lists of a known length."""

from typing import Any

from dexexec.domain import base58
from dexexec.domain.order import U64_MAX

DECODE_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What reading a result of an unexpected shape raises."""


def read_text(value: Any) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("not a string")
    return value


def read_address(value: Any) -> str:
    """A public key in base58."""
    if len(base58.decode(read_text(value))) != 32:
        raise ValueError("not an address")
    return str(value)


def read_u64(value: Any) -> int:
    """An unsigned integer of 64 bits, as Solana's own numbers are."""
    # A bool is an int in Python, and `true` in JSON is no number.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= U64_MAX:
        raise ValueError("not an unsigned integer of 64 bits")
    return value


def read_exactly(values: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """The values, if there are exactly `count` of them."""
    if len(values) != count:
        raise ValueError(f"{len(values)} values instead of {count}")
    return values

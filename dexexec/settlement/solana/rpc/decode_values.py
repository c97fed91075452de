"""The smallest parts of a node's answers: what is a number, a text, an address. Pure.

A shape that is not understood raises one of `DECODE_ERRORS`; whoever asks takes it for an answer that is none.
"""

from typing import Any

from dexexec.domain import base58
from dexexec.domain.order import U64_MAX

DECODE_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def read_text(result: Any) -> str:
    """A string."""
    if not isinstance(result, str) or not result:
        raise ValueError("not a string")
    return result


def read_address(result: Any) -> str:
    """A public key in base58."""
    if len(base58.decode(read_text(result))) != 32:
        raise ValueError("not an address")
    return str(result)


def read_u64(value: Any) -> int:
    """An integer that is not negative, and not above what Solana's own numbers can be."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= U64_MAX:
        raise ValueError("not a natural number of 64 bits")
    return value


def read_exactly(found: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """As many answers as there were questions."""
    if len(found) != count:
        raise ValueError(f"{len(found)} answers for {count} questions")
    return found

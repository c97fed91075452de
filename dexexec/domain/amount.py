"""Parses a client's amount into an exact decimal and base units, without floats and without rounding.

A string is a plain decimal: ASCII digits, optionally with a dot between digits, no sign, no exponent, no leading zero.
A JSON number is read from its literal text, and may have an exponent, since serialisers write small numbers that way
(`1e-7`). No memory is allocated by the size of an exponent.
"""

import re
from decimal import Decimal, InvalidOperation

from dexexec.domain.order import U64_MAX
from dexexec.domain.token import Token, from_base_units, to_base_units

MAX_CHARACTERS = 100
"""More than any u64 with any number of decimals needs, and fewer digits than `to_base_units` keeps exactly."""

_PLAIN = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
_WITH_EXPONENT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][+-]?[0-9]+")
_NOT_FINITE = frozenset({"nan", "snan", "qnan", "inf", "infinity"})
_MAX_DISTANCE = 40
"""No u64 amount of a token with up to 18 decimals has a digit this far from the dot."""


class JsonNumber(str):
    """The literal text of a number in a JSON body."""

    __slots__ = ()


class AmountError(Exception):
    """`problem` names the error, `expected` a correct value."""

    def __init__(self, problem: str, expected: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected


def read_amount(text: str, token: Token | None) -> tuple[Decimal, int]:
    """Returns the amount as a decimal and in base units of `token`. Raises `AmountError`.

    Without a token, because its field is invalid, only the checks that need no token are made, and the base units are
    0: a client should learn of all invalid fields at once.
    """
    if len(text) > MAX_CHARACTERS:
        raise AmountError(f"has {len(text)} characters", f"at most {MAX_CHARACTERS} characters")
    if not isinstance(text, JsonNumber) and not _PLAIN.fullmatch(text):
        raise AmountError(_why_not_plain(text), expected_amount(token))
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise AmountError("is out of range", expected_amount(token)) from None
    if amount.is_zero():
        raise AmountError("is zero", expected_amount(token))
    if amount.is_signed():
        raise AmountError("is negative", expected_amount(token))
    # Checked before the conversion, which would allocate as many digits as the exponent has.
    if amount.adjusted() > _MAX_DISTANCE:
        raise AmountError("is too large", _at_most(token))
    base = 0
    if amount.adjusted() < -_MAX_DISTANCE or (token and (base := _base_units(amount, token)) == 0):
        symbol = token.symbol if token else "the token"
        raise AmountError(f"has more decimals than {symbol}", expected_amount(token))
    if base > U64_MAX:
        raise AmountError("is too large", _at_most(token))
    return Decimal(format(amount, "f")), base


def expected_amount(token: Token | None) -> str:
    """The description of a correct amount."""
    decimals = f" with at most {token.decimals} decimals ({token.symbol})" if token else ""
    return f'a positive decimal string such as "0.01",{decimals}'.rstrip(",")


def _base_units(amount: Decimal, token: Token) -> int:
    return to_base_units(amount, token.decimals) or 0


def _at_most(token: Token | None) -> str:
    return (
        f"at most {from_base_units(U64_MAX, token.decimals)} {token.symbol}" if token else "at most 2^64 - 1 base units"
    )


def _why_not_plain(text: str) -> str:
    if not text:
        return "is empty"
    if text != text.strip():
        return "has spaces around it"
    if text.lstrip("+-").lower() in _NOT_FINITE:
        return "is not a finite number"
    if text[0] == "-" and _PLAIN.fullmatch(text[1:]):
        return "is negative"
    if _WITH_EXPONENT.fullmatch(text):
        return "is written with an exponent"
    return "is not a plain decimal number"

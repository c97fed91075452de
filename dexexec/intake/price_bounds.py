"""The client's bound in a body: `minOut`, `maxIn` or `limitPrice`, at most one of them, in base units."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple, Protocol

from dexexec.domain.amount import AmountError, expected_amount, read_amount
from dexexec.domain.bound import amount_at
from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import Mode
from dexexec.domain.token import Token, from_base_units
from dexexec.intake.field_types import DecimalField, Field

MIN_OUT = "minOut"
MAX_IN = "maxIn"
LIMIT_PRICE = "limitPrice"
BOUND_FIELDS: tuple[Field, ...] = (
    DecimalField(name=MIN_OUT, description="With `exactIn`: the least to receive, as a decimal.", example="1.5"),
    DecimalField(name=MAX_IN, description="With `exactOut`: the most to spend, as a decimal.", example="1.5"),
    DecimalField(
        name=LIMIT_PRICE,
        description="The worst price, in `outputMint` per `inputMint` for both sides. A limit order waits for it.",
        example="151.25",
    ),
)
FITS = {Mode.EXACT_IN: MIN_OUT, Mode.EXACT_OUT: MAX_IN}
"""The field for the amount that a mode leaves open."""


class Fields(Protocol):
    """The fields of a body, and the errors found in them."""

    given: Mapping[str, object]

    def wrong(self, name: str, problem: str, expected: str) -> None:
        """Record an invalid field, and what is expected."""

    def kind(self, name: str) -> str:
        """The error for a JSON value of another kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """The swap that the bound applies to, as far as the other fields are valid: base units of `counted`, and the
    pair."""

    mode: Mode
    amount: int
    counted: Token
    input: Token
    output: Token

    @property
    def open(self) -> Token:
        """The token whose amount the mode leaves open."""
        return self.output if self.counted == self.input else self.input


class ClientBound(NamedTuple):
    """The canonical text of the field, and the amount of the open token that it allows."""

    text: str
    base_units: int


def read_bound(fields: Fields, swap: Swap | None) -> ClientBound | None:
    """The client's bound; None if it is missing or invalid. Without `swap` another field is invalid, and only checks
    that do not need it are made."""
    names = [name for name in (MIN_OUT, MAX_IN, LIMIT_PRICE) if name in fields.given]
    for name in names[1:]:
        fields.wrong(name, f"is given beside {names[0]}", "only one of minOut, maxIn and limitPrice")
    if len(names) != 1:
        return None
    [name] = names
    if swap is not None and name not in (LIMIT_PRICE, FITS[swap.mode]):
        fields.wrong(name, f"does not fit the mode {swap.mode}", f"{FITS[swap.mode]} or limitPrice")
        return None
    # A price is not an amount of a token, so no token's decimals limit its digits.
    token = swap.open if swap is not None and name != LIMIT_PRICE else None
    try:
        value = fields.given[name]
        if not isinstance(value, str):
            raise AmountError(fields.kind(name), expected_amount(token))
        amount, base = read_amount(value, token)
    except AmountError as error:
        fields.wrong(name, error.problem, error.expected)
        return None
    if swap is None:
        return None
    if name != LIMIT_PRICE:
        return ClientBound(from_base_units(base, swap.open.decimals), base)
    return _by_price(amount, swap, fields)


def _by_price(price: Decimal, swap: Swap, fields: Fields) -> ClientBound | None:
    """A price is tokens of the output mint per token of the input mint, for both sides."""
    # Exact: a rounded price would move the bound by base units that belong to the client.
    scaled = Fraction(price) * Fraction(10) ** (swap.output.decimals - swap.input.decimals)
    base = amount_at(scaled, swap.amount, given_in_output=swap.counted == swap.output, mode=swap.mode)
    if not 0 < base <= U64_MAX:
        limit = "more than a token account can hold" if base else "less than one base unit"
        fields.wrong(
            LIMIT_PRICE,
            f"makes the other amount {limit}",
            f"a price of one {swap.input.symbol} in {swap.output.symbol}",
        )
        return None
    return ClientBound(plain(price), base)


def plain(price: Decimal) -> str:
    """The one notation of a price: without an exponent and trailing zeros."""
    # The default precision of 28 digits would round a long price.
    with localcontext(prec=120):
        return format(price.normalize(), "f")

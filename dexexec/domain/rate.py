"""The rate of an order's own swap, and its price on the pair.

A rate is base units out per base unit in, so a higher one is always better for the order. A price is tokens of the
pair's output mint per token of its input mint, for both sides: a buy spends the input mint, so a higher price is better
for it; a sell receives the input mint, so a lower one is.
"""

from decimal import Decimal, localcontext
from fractions import Fraction

from dexexec.domain.order import Side

PRICE_DIGITS = 12
"""Significant digits of a price that is shown. Decisions compare exact rates."""


def rate_at(price: Decimal | Fraction, side: Side, *, input_decimals: int, output_decimals: int) -> Fraction:
    """The rate of a swap at `price`. The decimals are those of the pair's mints."""
    scaled = Fraction(price) * Fraction(10) ** (output_decimals - input_decimals)
    return scaled if side is Side.BUY else 1 / scaled


def price_at(rate: Fraction, side: Side, *, input_decimals: int, output_decimals: int) -> Fraction:
    """Inverse of `rate_at`."""
    scaled = rate if side is Side.BUY else 1 / rate
    return scaled * Fraction(10) ** (input_decimals - output_decimals)


def shown(price: Fraction) -> str:
    """`price` as a decimal string, rounded to `PRICE_DIGITS` significant digits."""
    with localcontext(prec=PRICE_DIGITS):
        return format((Decimal(price.numerator) / Decimal(price.denominator)).normalize(), "f")

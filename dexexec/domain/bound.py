"""The bound of an order: the worst amounts that it accepts, fixed once for all venues, rounds and restarts.

A client gives it as an amount or a price; otherwise the first round's best quote and the order's slippage fix it. A
price is output tokens per input token of the pair, for both sides. Rounding never loosens a bound.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from dexexec.domain.quote import BPS, Mode, Quote, max_in, min_out


@dataclass(frozen=True, slots=True)
class Bound:
    """At least `min_out` is received for at most `max_in`, both in base units."""

    min_out: int
    max_in: int

    @classmethod
    def of(cls, quote: Quote) -> "Bound":
        """The limits of a quote, which its swap must keep."""
        return cls(quote.min_out, quote.max_in)

    def holds(self, amount_in: int, amount_out: int) -> bool:
        """Whether a swap of these amounts is within the bound."""
        return amount_in <= self.max_in and amount_out >= self.min_out

    def allows(self, quote: Quote) -> bool:
        """Whether the limits of `quote`, which its swap must keep, are no looser than this bound."""
        return quote.min_out >= self.min_out and quote.max_in <= self.max_in

    def intersect(self, other: "Bound") -> "Bound":
        """Returns a bound that is as tight as both."""
        return Bound(max(self.min_out, other.min_out), min(self.max_in, other.max_in))

    def tighten(self, quote: Quote) -> Quote:
        """`quote` with limits that are no looser than this bound."""
        return replace(quote, min_out=max(quote.min_out, self.min_out), max_in=min(quote.max_in, self.max_in))

    def excess(self, quote: Quote) -> str:
        """How much `quote` is worse than the bound, as text; empty if it is within."""
        if self.holds(quote.amount_in, quote.amount_out):
            return ""
        if quote.amount_out < self.min_out:
            excess = self.min_out - quote.amount_out
            limit, what, kind = self.min_out, "less received", "at least"
        else:
            excess = quote.amount_in - self.max_in
            limit, what, kind = self.max_in, "more paid", "at most"
        bps = -(-excess * BPS // max(1, limit))
        return f"{excess} base units {what} than the order accepts ({kind} {limit}): {bps} bps past its bound"


@dataclass(frozen=True, slots=True)
class FixedBound:
    """A bound as it is stored, with the amounts of the first quote (base units)."""

    bound: Bound
    quoted_in: int
    quoted_out: int


def bound_of(mode: Mode, amount: int, other: int) -> Bound:
    """The bound of a swap that fixes `amount`: `other` is the least received, or the most paid."""
    return Bound(other, amount) if mode is Mode.EXACT_IN else Bound(amount, other)


def bound_by_slippage(quote: Quote) -> Bound:
    """The bound from a first quote and the slippage of its request."""
    request = quote.request
    if request.mode is Mode.EXACT_IN:
        other = min_out(quote.amount_out, request.slippage_bps)
    else:
        other = max_in(quote.amount_in, request.slippage_bps)
    return bound_of(request.mode, request.amount, other)


def amount_at(price: Fraction, amount: int, *, given_in_output: bool, mode: Mode) -> int:
    """The worst amount (base units) of the other token that `price` allows for `amount`: least received (exact in),
    rounded up; most paid (exact out), rounded down.

    `price` is base units of the pair's output mint per base unit of its input mint. `given_in_output`: `amount` counts
    the pair's output mint.
    """
    # Rounded so that the bound gets tighter: a client never gets a worse price than the one it named.
    other = amount / price if given_in_output else amount * price
    return math.ceil(other) if mode is Mode.EXACT_IN else math.floor(other)

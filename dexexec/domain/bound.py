"""What an order accepts at worst. Fixed once, in the record; it holds over all venues, rounds and restarts.

A client gives it as an amount or as a price, or else the first round's best quote and the order's slippage fix it. A
price is what one token of the pair's input mint is worth in the output mint, whichever side the order is on: 150 for
SOL/USDC. A buy wants at least that price for the SOL it spends, a sell pays at most that price for the SOL it gets.
Rounding is always against looseness.
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
        """What the swap of a quote is held to."""
        return cls(quote.min_out, quote.max_in)

    def holds(self, amount_in: int, amount_out: int) -> bool:
        """Whether a swap of these amounts keeps it."""
        return amount_in <= self.max_in and amount_out >= self.min_out

    def allows(self, quote: Quote) -> bool:
        """Whether the bounds of `quote`, which its swap is held to, are no looser."""
        return quote.min_out >= self.min_out and quote.max_in <= self.max_in

    def and_also(self, other: "Bound") -> "Bound":
        """The tighter of both."""
        return Bound(max(self.min_out, other.min_out), min(self.max_in, other.max_in))

    def tighten(self, quote: Quote) -> Quote:
        """`quote` with bounds that are no looser than this."""
        return replace(quote, min_out=max(quote.min_out, self.min_out), max_in=min(quote.max_in, self.max_in))

    def excess(self, quote: Quote) -> str:
        """By how much `quote` is worse, in words; empty when it is within."""
        if self.holds(quote.amount_in, quote.amount_out):
            return ""
        if quote.amount_out < self.min_out:
            short, of, what, kept = self.min_out - quote.amount_out, self.min_out, "less received", "at least"
        else:
            short, of, what, kept = quote.amount_in - self.max_in, self.max_in, "more paid", "at most"
        bps = -(-short * BPS // max(1, of))
        return f"{short} base units {what} than the order accepts ({kept} {of}): {bps} bps past its bound"


@dataclass(frozen=True, slots=True)
class FixedBound:
    """A bound as it goes into the record, with the amounts of the first quote (base units)."""

    bound: Bound
    quoted_in: int
    quoted_out: int


def bound_of(mode: Mode, amount: int, other: int) -> Bound:
    """The bound by `other`, which a swap of `amount` leaves open: least received, or most paid."""
    return Bound(other, amount) if mode is Mode.EXACT_IN else Bound(amount, other)


def bound_by_slippage(quote: Quote) -> Bound:
    """The bound that a first quote and the slippage of its request make."""
    request = quote.request
    exact_in, bps = request.mode is Mode.EXACT_IN, request.slippage_bps
    other = min_out(quote.amount_out, bps) if exact_in else max_in(quote.amount_in, bps)
    return bound_of(request.mode, request.amount, other)


def amount_at(price: Fraction, amount: int, *, given_in_output: bool, mode: Mode) -> int:
    """The amount (base units) of the other token that `price` allows at worst for `amount`: least received (exact in),
    rounded up; most paid (exact out), rounded down.

    `price` is base units of the pair's output mint per base unit of its input mint. `given_in_output`: `amount` counts
    the pair's output mint.
    """
    other = amount / price if given_in_output else amount * price
    return math.ceil(other) if mode is Mode.EXACT_IN else math.floor(other)

"""When a resting order fires: its rate as a key to sort by, and the exact amount that decides.

A rate is base units received per base unit spent, as an exact fraction: higher is better for the order, on both sides.
For a swap that fixes one amount, "the rate is at least x" means an amount of the other token, so the decision compares
integers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from fractions import Fraction
from uuid import UUID

from dexexec.domain.order import U64_MAX, Side
from dexexec.domain.quote import BPS, Mode, Quote
from dexexec.domain.rate import price_at, shown
from dexexec.domain.token import WSOL
from dexexec.venues.ranking import net_amount
from dexexec.venues.router import Routing

KEY_BITS = 128
"""Bits of a key behind the binary point. The lowest rate between two tokens, about 2^-64, keeps 64 of them."""
ANY_RATE = Fraction(1, 2**KEY_BITS)
"""Below every rate between two tokens."""
NO_LIMIT_PPM = 1_000_000
"""A limit of 100 % for the price impact is no limit."""
ROUNDING = 4
"""Base units by which rounding may make an amount worse, at most: of the fee, of the other amount, and of each once
more where a venue takes two steps."""


class Fires(Enum):
    """The side of its rate on which an order fires."""

    AT_OR_ABOVE = "atOrAbove"  # a limit, and a trigger on the profitable side
    AT_OR_BELOW = "atOrBelow"  # a stop, and a trailing stop


@dataclass(frozen=True, slots=True)
class Market:
    """One direction of a pair in one mode. All orders of a market can be compared by their rates."""

    mint_in: str
    mint_out: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class Direction:
    """How a rate is a price of the pair: by the order's side, and the decimals of the pair's mints."""

    side: Side
    input_decimals: int
    output_decimals: int

    def price(self, rate: Fraction) -> str:
        """The price of a rate, as people read it."""
        return shown(
            price_at(rate, self.side, input_decimals=self.input_decimals, output_decimals=self.output_decimals)
        )


@dataclass(slots=True, eq=False, kw_only=True)
class WatchedOrder:
    """What the oracle keeps of an order. There may be 100,000 of them, so it is small.

    `version` is the one that was read: a trigger counts for no other. `amount` is the amount that `market` fixes,
    `impact_ppm` how far the swap may move a price, `quiet_until` the monotonic time (seconds) before which it is not
    triggered. `rate` is where it fires; `key` the same as an integer to sort by, and `other` as the amount that the
    mode leaves open. `stop`: once reached, it is reached for good. A trailing stop (`trail_bps`) has its high-water
    mark in `best`, as such an amount too: most received, or least paid; None before the first quote. `disagreed`: an
    event of this episode reports that the reference price does not agree.
    """

    id: UUID
    version: int
    created_at: datetime
    market: Market
    direction: Direction
    amount: int
    impact_ppm: int
    fires: Fires
    key: int = 0
    other: int = 0
    stop: bool = False
    trail_bps: int = 0
    best: int | None = None
    quiet_until: float = 0.0
    disagreed: bool = False

    def fire_at(self, rate: Fraction) -> None:
        """Set the rate at which it fires."""
        self.key = key_of(rate)
        self.other = other_amount(self.market.mode, self.amount, rate, self.fires)

    def raise_best(self, best: int) -> None:
        """Set the high-water mark of a trailing stop, and with it where it fires."""
        self.best = best
        self.fire_at(rate_of(self.market.mode, self.amount, best) * Fraction(BPS - self.trail_bps, BPS))

    def is_better(self, other: int) -> bool:
        """Whether `other` is better than the high-water mark."""
        if self.best is None:
            return True
        return other > self.best if self.market.mode is Mode.EXACT_IN else other < self.best

    def fires_at(self, other: int) -> bool:
        """Whether it fires when its swap gives, or costs, `other` base units."""
        if self.trail_bps and self.best is None:
            return False  # nothing is known that the price could have fallen from
        enough = (self.fires is Fires.AT_OR_ABOVE) is (self.market.mode is Mode.EXACT_IN)
        return other >= self.other if enough else other <= self.other


def key_of(rate: Fraction) -> int:
    """The rate as an integer, rounded down: equal rates have equal keys, and a higher rate never has a lower key."""
    return (rate.numerator << KEY_BITS) // rate.denominator


def rate_of(mode: Mode, amount: int, other: int) -> Fraction:
    """The rate of a swap that fixes `amount`."""
    return Fraction(other, amount) if mode is Mode.EXACT_IN else Fraction(amount, other)


def other_amount(mode: Mode, amount: int, rate: Fraction, fires: Fires) -> int:
    """The last amount of the other token at which an order with this rate fires: an equivalent of the rate, because
    amounts are integers."""
    exact = amount * rate if mode is Mode.EXACT_IN else amount / rate
    # At least x received and at least x paid round up, at most x rounds down.
    up = (fires is Fires.AT_OR_ABOVE) is (mode is Mode.EXACT_IN)
    return math.ceil(exact) if up else math.floor(exact)


@dataclass(frozen=True, slots=True)
class Executable:
    """A quote that an order would accept. `net` is what it gives or costs with the network's cost, in base units of the
    token that the mode leaves open."""

    quote: Quote
    net: int


def executable(routing: Routing, impact_ppm: int) -> Executable | None:
    """The best quote that an order with this limit for the price impact would accept, if its network cost leaves
    anything."""
    for quote in routing.ranking:
        if impact_ppm >= NO_LIMIT_PPM or quote.price_impact_ppm <= impact_ppm:
            net = net_amount(quote)
            return Executable(quote, net) if net > 0 else None
    return None


def highest_rate(quotes: Sequence[Quote]) -> Fraction:
    """An upper bound of the rate of any swap that is at least as large as those of `quotes`."""
    # A larger swap moves the price further, so it never gets more per unit. The exception is rounding, which weighs
    # more in a smaller swap: it is put back.
    rates = [
        Fraction(quote.amount_out + ROUNDING, quote.amount_in - ROUNDING)
        for quote in quotes
        if quote.amount_in > ROUNDING
    ]
    return max(rates) if len(rates) == len(quotes) else Fraction(U64_MAX)


def lowest_rate(quotes: Sequence[Quote], impact_ppm: int, smallest: int) -> Fraction:
    """A lower bound of the net rate of any swap from the amount `smallest` up to that of `quotes`, for orders whose
    limit for the price impact is `impact_ppm` or more."""
    # The best venue counts only if every order would accept it: otherwise some of them get the next one.
    fitting = [quote for quote in quotes if impact_ppm >= NO_LIMIT_PPM or quote.price_impact_ppm <= impact_ppm]
    if fitting:
        return max(_least_net(quote, smallest) for quote in fitting)
    return min(_least_net(quote, smallest) for quote in quotes)


def _least_net(quote: Quote, smallest: int) -> Fraction:
    # The network's fee and rounding are the same for every size, so they weigh most in the smallest one.
    rounding = Fraction(ROUNDING, smallest)
    fee = Fraction(quote.network_fee, smallest)
    spent_is_sol = quote.request.mint_in == WSOL
    received_is_sol = quote.request.mint_out == WSOL
    # As `router.network_cost`: the fee is in SOL, and the swap's own price converts it to the other token.
    if quote.request.mode is Mode.EXACT_IN:
        gross = max(quote.price - rounding, Fraction(0)) * (max(1 - fee, Fraction(0)) if spent_is_sol else 1)
        return max(gross - rounding - (fee if received_is_sol else 0), Fraction(0))
    paid = (1 / quote.price + rounding) * (1 + fee if received_is_sol else 1)
    return 1 / (paid + rounding + (fee if spent_is_sol else 0))

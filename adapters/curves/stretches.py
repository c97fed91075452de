"""Stretches of constant liquidity as a division over pools needs them (`dexexec.domain.depth`).

With a fee, what the curve gets is `kept_in` of the input, and what the wallet gets is `kept_out` of the curve's output.
The same curve with fees is again one of constant liquidity: roots of prices times `sqrt(kept_in x kept_out)`, liquidity
times `sqrt(kept_out / kept_in)`.
"""

from math import sqrt

from dexexec.domain.depth import Stretch, falling
from dexexec_adapters.curves.integers import Q64

MOST_STRETCHES = 48
"""Of one pool: with eight pools, a division still takes less than a millisecond."""


def product(reserve_in: int, reserve_out: int, *, kept_in: float, kept_out: float = 1.0) -> Stretch:
    """A constant product, whose price falls without end. Reserves are base units."""
    start = sqrt(reserve_out / reserve_in)
    return ranged(start, 0.0, sqrt(reserve_in) * sqrt(reserve_out), kept_in=kept_in, kept_out=kept_out)


def ranged(start: float, end: float, liquidity: float, *, kept_in: float, kept_out: float = 1.0) -> Stretch:
    """A range of constant liquidity (the root of the product of its virtual reserves), from the root `start` of the
    curve's price down to `end`: base units of output per base unit of input."""
    factor = sqrt(kept_in * kept_out)
    return falling(start * factor, end * factor, liquidity * sqrt(kept_out / kept_in))


def between_ticks(price: int, after: int, liquidity: int, *, a_to_b: bool, kept_in: float) -> list[Stretch]:
    """The range between two sqrt prices (Q64.64 roots of token B per token A), in the direction of a swap; none if it
    has no liquidity, or lies behind."""
    if liquidity <= 0 or (after >= price if a_to_b else after <= price):
        return []
    start, end = (price / Q64, after / Q64) if a_to_b else (Q64 / price, Q64 / after)
    return [ranged(start, end, liquidity, kept_in=kept_in)]

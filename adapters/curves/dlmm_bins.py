"""The bins of a Meteora DLMM pool: what one can trade, what that costs, and where the next array of bins is.

It follows MeteoraAg/dlmm-sdk at commit fb02e51, `commons/src/quote.rs` and `commons/src/extensions`. A price is in
Q64.64, base units of Y per base unit of X. A swap that pays X goes down the bins, one that pays Y goes up.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from dexexec_adapters.curves.integers import Q64, U64_MAX, ceil_div, pow64
from dexexec_adapters.curves.swap import CurveError, Refusal

BINS_PER_ARRAY = 70
MIN_BIN_ID = -443_636
MAX_BIN_ID = 443_636
INNER_ARRAYS = 512
"""The pool's own bitmap has this many arrays on each side of 0, the extension the further ones."""
OUTER_ARRAYS = 12 * INNER_ARRAYS
_BASIS_POINTS = 10_000


Layers = tuple[int, int, int]
"""Base units of a bin's reserve, its processed and its open orders. A swap takes them in this order."""
NOTHING = (0, 0, 0)


class Bin(NamedTuple):
    """A bin's reserves (base units), price (0: not computed yet), and the limit orders in it.

    Orders sell X if `ask_side`, otherwise Y. `open_order` are those that no swap has reached yet, `processed_order` is
    what is left of the others.
    """

    amount_x: int = 0
    amount_y: int = 0
    price: int = 0
    open_order: int = 0
    processed_order: int = 0
    ask_side: bool = False

    def layers(self, x_to_y: bool, with_orders: bool) -> Layers:
        """What a swap can take."""
        reserve = self.amount_y if x_to_y else self.amount_x
        if with_orders and self.ask_side != x_to_y:
            return reserve, self.processed_order, self.open_order
        return reserve, 0, 0


class ArrayMap(NamedTuple):
    """Which arrays hold liquidity. Bit n of `inner` is array n - 512, bit n of `above` is array n + 512, bit n of
    `below` is array -n - 513. The program searches `above` and `below` only when the pool has the extension."""

    inner: int
    above: int = 0
    below: int = 0

    def next(self, index: int, x_to_y: bool) -> int | None:
        """The array that is nearest in the swap's direction, beginning with `index` itself; None: there is none."""
        # All in one number: bit 0 is the lowest array.
        lowest = -INNER_ARRAYS - OUTER_ARRAYS
        place = index - lowest
        if x_to_y:
            marked = self._all & ((1 << max(place + 1, 0)) - 1)
            return marked.bit_length() - 1 + lowest if marked else None
        marked = self._all >> max(place, 0)
        return max(index, lowest) + (marked & -marked).bit_length() - 1 if marked else None

    @property
    def _all(self) -> int:
        return _joined(self.inner, self.above, self.below)


@lru_cache(maxsize=1_024)
def _joined(inner: int, above: int, below: int) -> int:
    upside_down = int(format(below, f"0{OUTER_ARRAYS}b")[::-1], 2)
    return upside_down | inner << OUTER_ARRAYS | above << OUTER_ARRAYS + 2 * INNER_ARRAYS


@lru_cache(maxsize=65_536)
def price_of(bin_id: int, bin_step: int) -> int:
    """The price of a bin. Raises `CurveError` (`math_overflow`) where the program fails."""
    try:
        return pow64(Q64 + (bin_step << 64) // _BASIS_POINTS, bin_id)
    except OverflowError as error:
        raise CurveError(Refusal.MATH_OVERFLOW, f"bin {bin_id} has no price: {error}") from error


def is_outer(index: int) -> bool:
    """Whether an array is marked in the bitmap extension, which the program needs to find it."""
    return not -INNER_ARRAYS <= index < INNER_ARRAYS


def ids_of(index: int, start: int, x_to_y: bool) -> Iterator[int]:
    """The bins of array `index` in the swap's direction, from `start` on if that is one of them."""
    low = index * BINS_PER_ARRAY
    high = low + BINS_PER_ARRAY - 1
    return iter(range(min(start, high), low - 1, -1) if x_to_y else range(max(start, low), high + 1))


def cost_of(amount_out: int, price: int, x_to_y: bool) -> int:
    """What `amount_out` costs at a price, without the fee, rounded up."""
    cost = ceil_div(amount_out << 64, price) if x_to_y else ceil_div(amount_out * price, Q64)
    if cost > U64_MAX:
        raise CurveError(Refusal.MATH_OVERFLOW, f"{amount_out} of a bin cost {cost}, which does not fit in 64 bits")
    return cost


def bought(amount_in: int, price: int, x_to_y: bool) -> int:
    """What `amount_in` buys at a price, without the fee, rounded down."""
    out = amount_in * price >> 64 if x_to_y else (amount_in << 64) // price
    if out > U64_MAX:
        raise CurveError(Refusal.MATH_OVERFLOW, f"{amount_in} would buy {out}, which does not fit in 64 bits")
    return out

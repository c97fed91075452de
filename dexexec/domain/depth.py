"""How a pool's price moves with the size of a swap: what is needed to divide a swap over several pools.

A curve is a row of stretches, in the direction of the swap. Prices are floats here, since they only decide how much
goes into which pool: each part is then priced in integers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol, runtime_checkable

from dexexec.domain.quote import Quote, SwapRequest


class Stretch(NamedTuple):
    """A part of a pool's curve on which its liquidity does not change.

    `start` and `end` are square roots of marginal prices at its beginning and end: base units of output per base unit
    of input for the next unit, after all fees. With `start` above `end` the price falls as on a constant product: for
    an input x, `1 / root` grows by `x / liquidity`, and the output is `liquidity x (start - root)`. With both equal the
    price is constant for `amount_in` base units of input.
    """

    start: float
    end: float
    liquidity: float
    amount_in: float

    @property
    def amount_out(self) -> float:
        """What the whole stretch gives."""
        if self.start > self.end:
            return self.liquidity * (self.start - self.end)
        return self.amount_in * self.start * self.start


def falling(start: float, end: float, liquidity: float) -> Stretch:
    """A stretch whose price falls from the root `start` to the root `end` (0: without end)."""
    return Stretch(start, end, liquidity, liquidity * (1 / end - 1 / start) if end else inf)


def constant(root: float, amount_in: float) -> Stretch:
    """A stretch with one price, for `amount_in` base units of input."""
    return Stretch(root, root, 0.0, amount_in)


def sound(stretches: Sequence[Stretch]) -> bool:
    """Whether a division can compute with these: an adapter may show anything."""
    return all(
        0 <= stretch.end <= stretch.start < inf
        and stretch.start > 0
        and (0 <= stretch.amount_in < inf if stretch.end == stretch.start else 0 < stretch.liquidity < inf)
        for stretch in stretches
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDepth:
    """A pool as it was at one slot, for the direction of one request.

    `quote` prices any part of the request in this pool, from the same accounts, without waiting. Raises `VenueError`.
    """

    venue: str
    pool: str
    stretches: tuple[Stretch, ...]
    quote: Callable[[SwapRequest], Quote]


@runtime_checkable
class DeepVenue(Protocol):
    """A venue that shows how the prices of its pools move with the size of a swap, so that a swap can be divided over
    pools of several venues, or go through a third token."""

    async def depths(self, request: SwapRequest, deadline: float) -> Sequence[PoolDepth]:
        """The pools of the pair that can do a part of `request`, all as of one slot. Raises `VenueError`."""

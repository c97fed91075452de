"""Divides a swap over several pools of its pair. Pure.

`division.py` finds where the next unit costs the same everywhere, in floats. Here the parts become integers: each pool
prices its part exactly, and what rounding leaves over in one pool goes to another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dexexec.domain.depth import PoolDepth
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.venue import VenueError
from dexexec.venues.routes.division import divide

MOST_LEGS = 3
"""Pools in one transaction. With more, few swaps fit into its 1,232 bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the swap and the pool that does it."""

    depth: PoolDepth
    quote: Quote


def split(depths: Sequence[PoolDepth], request: SwapRequest) -> tuple[Part, ...]:
    """The parts of `request`, which add up to it exactly. Empty if one pool alone does as well, or one refuses its
    part."""
    parts = _divided(depths, request)
    if not parts:
        return ()
    # Of a few base units, rounding in each pool takes more than the division gains.
    alone = [quote for depth in depths if (quote := priced(depth, request)) is not None]
    if request.mode is Mode.EXACT_IN:
        received = sum(part.quote.amount_out for part in parts)
        return parts if all(received > quote.amount_out for quote in alone) else ()
    paid = sum(part.quote.amount_in for part in parts)
    return parts if all(paid < quote.amount_in for quote in alone) else ()


def priced(depth: PoolDepth, request: SwapRequest) -> Quote | None:
    """The quote of a pool, or None if it refuses the swap."""
    try:
        return depth.quote(request)
    except VenueError:
        return None


def _divided(depths: Sequence[PoolDepth], request: SwapRequest) -> tuple[Part, ...]:
    pools = [depth for depth in depths if depth.stretches]
    while len(pools) > 1:
        shares = divide([pool.stretches for pool in pools], request.amount, request.mode)
        used = [(share, pool) for share, pool in zip(shares, pools, strict=True) if share >= 1]
        if len(used) <= MOST_LEGS:
            return _parts(used, request)
        # Without the pool that matters least, the rest is divided anew.
        pools = [pool for _, pool in sorted(used, key=lambda one: -one[0])[:-1]]
    return ()


def _parts(used: Sequence[tuple[float, PoolDepth]], request: SwapRequest) -> tuple[Part, ...]:
    """Each pool but the last gets no more than its output needs (exact in), or gives all that its input buys (exact
    out); the last one gets what is left."""
    if len(used) < 2:
        return ()
    # The largest part is the last one: of it, what is left over is the smallest share.
    *first, (_, last) = sorted(used, key=lambda one: one[0])
    parts: list[Part] = []
    left = request.amount
    try:
        for share, depth in first:
            quote = _without_rest(depth, replace(request, amount=int(share)), left)
            parts.append(Part(depth, quote))
            left -= _amount(quote)
        if left < 1:
            return ()
        parts.append(Part(last, last.quote(replace(request, amount=left))))
    except VenueError:
        return ()
    return tuple(parts)


def _without_rest(depth: PoolDepth, request: SwapRequest, most: int) -> Quote:
    """The quote of a part, for the smallest input that gives its output, or the largest output that its input buys.
    Raises `VenueError`."""
    quote = depth.quote(request)
    inverse = Mode.EXACT_OUT if request.mode is Mode.EXACT_IN else Mode.EXACT_IN
    fixed = quote.amount_out if request.mode is Mode.EXACT_IN else quote.amount_in
    try:
        turned = depth.quote(replace(request, mode=inverse, amount=fixed))
        exact = turned.amount_in if request.mode is Mode.EXACT_IN else turned.amount_out
        better = depth.quote(replace(request, amount=exact)) if 0 < exact < most else quote
    except VenueError:
        return quote  # the pool does not have the other mode
    # Both modes round against the wallet, so the other one may come out slightly worse.
    return better if (better.amount_out, -better.amount_in) >= (quote.amount_out, -quote.amount_in) else quote


def _amount(quote: Quote) -> int:
    return quote.amount_in if quote.request.mode is Mode.EXACT_IN else quote.amount_out

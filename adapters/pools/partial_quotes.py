"""How the prices of a venue's pools move with the size of a swap, for swaps over several pools."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from dexexec.domain.depth import PoolDepth
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.venue import NoRoute, VenueError
from dexexec_adapters.curves.swap import CurveError, TradeDirection
from dexexec_adapters.pools.needed import MoreNeeded
from dexexec_adapters.pools.pricing import PoolPricing
from dexexec_adapters.pools.program import CurveT, KeysT, PoolProgram, StateT
from dexexec_adapters.pools.quoted import Offer


async def depths_of(
    program: PoolProgram[KeysT, StateT, CurveT],
    pricing: PoolPricing[KeysT, StateT, CurveT],
    pools: Sequence[KeysT],
    request: SwapRequest,
    *,
    venue: str,
    quote: Callable[[Offer, SwapRequest], Quote],
) -> list[PoolDepth]:
    """The pools that can be priced, all as of one slot. `quote` makes a quote of an offer. Raises the node's errors."""
    slot, accounts = await pricing.read(pools)
    found = []
    for pool in pools:
        # A pool that cannot be priced says why where the venue itself quotes.
        with suppress(VenueError, CurveError, MoreNeeded):
            direction = TradeDirection.A_TO_B if request.mint_in == pool.mints[0] else TradeDirection.B_TO_A
            curve = pricing.curve(pool, accounts)
            now = program.now(accounts, slot)
            # Transfer fees are outside of the curve, so the stretches of such a pool would promise too much.
            plain = not pricing.has_transfer_fee(pool, accounts)
            stretches = tuple(program.stretches(curve, direction, now)) if plain else ()
            priced = partial(_quote, partial(pricing.offer, pool, accounts, slot), quote)
            found.append(PoolDepth(venue=venue, pool=pool.address, stretches=stretches, quote=priced))
    return found


def _quote(
    offer: Callable[[SwapRequest], Offer], quote: Callable[[Offer, SwapRequest], Quote], request: SwapRequest
) -> Quote:
    try:
        return quote(offer(request), request)
    except MoreNeeded as error:
        raise NoRoute("the swap reaches too far from the pool's price") from error

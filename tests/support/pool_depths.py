"""Pools for swaps over several of them: real curves, without a chain."""

from functools import partial

from dexexec.domain.depth import PoolDepth, Stretch
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.venue import NoRoute
from dexexec_adapters.curves.raydium_amm import AmmV4Pool, quote_exact_in, quote_exact_out, stretches
from dexexec_adapters.curves.swap import CurveError
from tests.support.curve_values import A_TO_B, NOW

EXPIRES_AT_MS = 1_900_000_000_000


def depth_of(
    name: str, reserve_in: int, reserve_out: int, *, fee: tuple[int, int] = (25, 10_000), venue: str = "raydium-amm"
) -> PoolDepth:
    """A constant product in the direction of the request."""
    pool = AmmV4Pool(vaults=(reserve_in, reserve_out), taken=(0, 0), fee_numerator=fee[0], fee_denominator=fee[1])
    quote = partial(quoted, pool, name, venue)
    return PoolDepth(venue=venue, pool=name, stretches=stretches(pool, A_TO_B, NOW), quote=quote)


def quoted(pool: AmmV4Pool, name: str, venue: str, request: SwapRequest) -> Quote:
    """The quote of a part. Raises `NoRoute`."""
    exact_in = request.mode is Mode.EXACT_IN
    try:
        result = (quote_exact_in if exact_in else quote_exact_out)(pool, request.amount, A_TO_B, NOW)
    except CurveError as error:
        raise NoRoute(str(error)) from error
    return Quote(
        venue=venue,
        request=request,
        amount_in=result.amount_in,
        amount_out=result.amount_out,
        min_out=min_out(result.amount_out, request.slippage_bps) if exact_in else result.amount_out,
        max_in=result.amount_in if exact_in else max_in(result.amount_in, request.slippage_bps),
        fee=result.fee_in,
        fee_mint=request.mint_in,
        network_fee=5_000,
        price_impact_ppm=result.price_impact_ppm,
        expires_at_ms=EXPIRES_AT_MS,
        context_slot=NOW.slot,
        route=(name,),
    )


def output_of(stretch: Stretch, amount_in: float) -> float:
    """What a part of one stretch gives."""
    if stretch.start == stretch.end:
        return amount_in * stretch.start**2
    return stretch.liquidity * (stretch.start - 1 / (1 / stretch.start + amount_in / stretch.liquidity))

"""The quote of a priced swap in one pool."""

from typing import Any, NamedTuple

from dexexec.domain.pace import Pace
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.swap import Blockhash
from dexexec.venue import QuoteExpired
from dexexec_adapters.curves.swap import SwapResult
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.pools.search import PoolKeys

NETWORK_FEE = 5_000
"""Lamports: the base fee of one signature."""


class Offer(NamedTuple):
    """A pool and the swap in it as its curve priced it, with the accounts of `slot`. The wallet pays `amount_in` and
    receives `amount_out` (base units)."""

    pool: PoolKeys
    result: SwapResult[Any]
    amount_in: int
    amount_out: int
    slot: int


def ttl_ms(options: PoolOptions, pace: Pace) -> int:
    """How long a quote holds on a chain with this pace (ms)."""
    slots = max(1, options.quote_max_slots)
    return options.quote_ttl_ms or round(pace.seconds(slots) * 1000)


def check_age(quote: Quote, blockhash: Blockhash, most_slots: int, now_ms: int) -> None:
    """Raises `QuoteExpired` for a quote that is too old to be built with this blockhash."""
    if now_ms >= quote.expires_at_ms:
        raise QuoteExpired("the quote has expired: request a new one")
    # By slots too, because the clock of this process does not show how far the chain has moved since.
    behind = blockhash.newest_slot - quote.context_slot
    if blockhash.slot and quote.context_slot and behind > most_slots:
        raise QuoteExpired(
            f"the quote is of slot {quote.context_slot}, {behind} slots before the newest one, and"
            f" {most_slots} are allowed: request a new one"
        )


def quote_of(offer: Offer, request: SwapRequest, *, venue: str, fee: tuple[int, str], expires_at_ms: int) -> Quote:
    """The quote of an offer. `fee` is the venue's, with the mint."""
    exact_in = request.mode is Mode.EXACT_IN
    return Quote(
        venue=venue,
        request=request,
        amount_in=offer.amount_in,
        amount_out=offer.amount_out,
        min_out=min_out(offer.amount_out, request.slippage_bps) if exact_in else offer.amount_out,
        max_in=offer.amount_in if exact_in else max_in(offer.amount_in, request.slippage_bps),
        fee=fee[0],
        fee_mint=fee[1],
        network_fee=NETWORK_FEE,
        price_impact_ppm=offer.result.price_impact_ppm,
        expires_at_ms=expires_at_ms,
        context_slot=offer.slot,
        route=(offer.pool.address,),
        raw={"pool": offer.pool, "arrays": offer.result.arrays},
    )


def arrays_of(quote: Quote) -> tuple[int, ...]:
    """The arrays that the quoted swap passes through, by index, in its direction."""
    arrays = quote.raw["arrays"]
    return arrays if isinstance(arrays, tuple) else ()

"""Whether what an adapter answered can be a quote for the request: the first thing that happens to it.

Each field is read once, checked for its type and its range, and put into a quote of our own, so that whatever an
adapter hands out, no order is filled past its bound, ranked by nonsense or lost in the record because of it.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.observe.untrusted_text import LONGEST_NAME, clean
from dexexec.venue import AnyVenue, BadAnswer

MOST_NETWORK_FEE = 10**9
"""Lamports (1 SOL): more than any swap pays to the network."""
MOST_IMPACT_PPM = 10**9
MOST_POOLS = 16
"""Pools of a route that are kept."""
_RANGES = {
    "amount_in": (1, U64_MAX),
    "amount_out": (1, U64_MAX),
    "min_out": (0, U64_MAX),
    "max_in": (0, U64_MAX),
    "fee": (0, U64_MAX),
    "network_fee": (0, MOST_NETWORK_FEE),
    "price_impact_ppm": (0, MOST_IMPACT_PPM),
    "expires_at_ms": (0, 2**62),
    "context_slot": (0, U64_MAX),
}


def checked(venue: str, request: SwapRequest, answer: object, now_ms: int) -> Quote:
    """The quote of `venue` for `request`. Raises `BadAnswer` for anything that cannot be one; whatever reading the
    answer raises passes through."""
    if not isinstance(answer, Quote):
        raise BadAnswer("the answer is no quote")
    numbers = {name: _integer(name, getattr(answer, name), *limits) for name, limits in _RANGES.items()}
    said: Any = answer.request
    if type(said) is not SwapRequest or answer.venue != venue or said != request:
        raise BadAnswer("the quote is for another venue or another request")
    fee_mint, route, raw = answer.fee_mint, answer.route, answer.raw
    if fee_mint not in (request.mint_in, request.mint_out):
        raise BadAnswer("fee_mint is of neither token")
    if not isinstance(route, tuple | list) or not all(isinstance(pool, str) for pool in route):
        raise BadAnswer("route must be a tuple of texts")
    if not isinstance(raw, Mapping):
        raise BadAnswer("raw must be a mapping")
    quote = Quote(
        venue=venue,
        request=request,
        fee_mint=request.mint_in if fee_mint == request.mint_in else request.mint_out,
        route=tuple(clean(pool, LONGEST_NAME) for pool in route[:MOST_POOLS]),
        raw=raw,
        **numbers,
    )
    if not _bounded(quote):
        raise BadAnswer("the amounts do not fit the request and its slippage bound")
    if quote.expires_at_ms <= now_ms:
        raise BadAnswer("the quote has expired already")
    return quote


def refusal_of(venue: AnyVenue, request: SwapRequest) -> str:
    """Why the venue need not be asked; empty if it is to be. Raises `BadAnswer` for anything but a text or None, as a
    coroutine of a `refusal` that is written with `async`; whatever the adapter raises passes through."""
    refusal: object = venue.capabilities.refusal(request)
    if isinstance(refusal, str):
        return refusal
    if refusal is None:
        return ""
    if inspect.iscoroutine(refusal):
        refusal.close()
    kind = type(refusal).__name__
    raise BadAnswer(f"capabilities.refusal gave a {kind}: a text or None is due, and no coroutine")


def _integer(name: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise BadAnswer(f"{name} must be an integer from {least} to {most}")
    return value


def _bounded(quote: Quote) -> bool:
    """Whether the amounts answer the request, and the bounds are at most its slippage away from them."""
    request = quote.request
    if request.mode is Mode.EXACT_IN:
        least = min_out(quote.amount_out, request.slippage_bps)
        return quote.amount_in == quote.max_in == request.amount and least <= quote.min_out <= quote.amount_out
    most = max_in(quote.amount_in, request.slippage_bps)
    return request.amount <= quote.min_out <= quote.amount_out and quote.amount_in <= quote.max_in <= most

"""Checks an adapter's answer to a request, before anything else uses it.

Each field is read once, checked for type and range, and copied into a new quote. So a faulty adapter cannot make an
order exceed its bound, break the ranking or prevent the quote from being stored.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.observe.untrusted_text import LONGEST_NAME, clean
from dexexec.venue import AnyVenue, BadAnswer

MOST_NETWORK_FEE = 10**9
"""Lamports (1 SOL). No swap pays as much to the network."""
MOST_IMPACT_PPM = 10**9
MOST_POOLS = 16
"""How many pools of a route are stored."""
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


def checked(venue: str, request: SwapRequest, answer: object, now_ms: int, *, combined: bool = False) -> Quote:
    """A copy of the answer, as the quote of `venue` for `request`. Legs are only kept of a `combined` venue: they let
    the swap pass through other tokens of the wallet.

    Raises `BadAnswer` for an invalid answer. Exceptions from reading the answer pass through.
    """
    if not isinstance(answer, Quote):
        raise BadAnswer("the answer is not a quote")
    numbers: dict[str, Any] = {name: _integer(name, getattr(answer, name), *limits) for name, limits in _RANGES.items()}
    # An exact type: a subclass could have its own `__eq__`.
    quoted: Any = answer.request
    if type(quoted) is not SwapRequest or answer.venue != venue or quoted != request:
        raise BadAnswer("the quote is for another venue or another request")
    fee_mint = answer.fee_mint
    route = answer.route
    raw = answer.raw
    if fee_mint not in (request.mint_in, request.mint_out):
        raise BadAnswer("fee_mint is neither token of the pair")
    if not isinstance(route, tuple | list) or not all(isinstance(pool, str) for pool in route):
        raise BadAnswer("route must be a tuple of strings")
    if not isinstance(raw, Mapping):
        raise BadAnswer("raw must be a mapping")
    quote = Quote(
        venue=venue,
        request=request,
        fee_mint=request.mint_in if fee_mint == request.mint_in else request.mint_out,
        route=tuple(clean(pool, LONGEST_NAME) for pool in route[:MOST_POOLS]),
        raw=raw,
        legs=answer.legs if combined else (),
        **numbers,
    )
    if not _bounded(quote):
        raise BadAnswer("the amounts do not fit the request and its slippage bound")
    if quote.expires_at_ms <= now_ms:
        raise BadAnswer("the quote has expired already")
    return quote


def refusal_of(venue: AnyVenue, request: SwapRequest) -> str:
    """Why the venue cannot serve the request, or an empty string.

    Raises `BadAnswer` if the adapter returns anything but a string or None. Its exceptions pass through.
    """
    refusal: object = venue.capabilities.refusal(request)
    if isinstance(refusal, str):
        return refusal
    if refusal is None:
        return ""
    # A `refusal` written with `async` returns a coroutine. Closing it avoids a warning that it was never awaited.
    if inspect.iscoroutine(refusal):
        refusal.close()
    kind = type(refusal).__name__
    raise BadAnswer(
        f"capabilities.refusal returned a {kind}: it must be a plain function that returns a string or None"
    )


def _integer(name: str, value: object, least: int, most: int) -> int:
    # An exact type again: True is an int for isinstance.
    if type(value) is not int or not least <= value <= most:
        raise BadAnswer(f"{name} must be an integer from {least} to {most}")
    return value


def _bounded(quote: Quote) -> bool:
    """Whether the amounts match the request, and the bounds are within its slippage."""
    request = quote.request
    if request.mode is Mode.EXACT_IN:
        least = min_out(quote.amount_out, request.slippage_bps)
        return quote.amount_in == quote.max_in == request.amount and least <= quote.min_out <= quote.amount_out
    most = max_in(quote.amount_in, request.slippage_bps)
    return request.amount <= quote.min_out <= quote.amount_out and quote.amount_in <= quote.max_in <= most

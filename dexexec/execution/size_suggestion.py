"""Finds a size that would not move a venue's price too far, for an order whose size does.

Clients get it with the reason `price-impact`. Constant-product pools have a formula for it; its result is then quoted,
so that the suggestion is a venue's answer and not an estimate.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.venues.router import Routing

PPM = 1_000_000
MAX_ROUNDS = 5
"""Rounds of quotes at most."""
LARGEST_DIVISOR = 1_000
"""A size is divided by at most this much between two rounds: the impact of a much larger size is a poor estimate."""


@dataclass(frozen=True, slots=True)
class SuggestedSize:
    """An amount (base units of the mint that the request counts) that `venue` quoted within the limit."""

    amount: int
    venue: str


async def suggest_size(
    route: Callable[[SwapRequest], Awaitable[Routing]], request: SwapRequest, quotes: list[Quote], limit_ppm: int
) -> SuggestedSize | None:
    """A size close to the largest that is within `limit_ppm` at some venue, as that venue quotes it; None if none was
    found. `quotes` are those for `request`, all beyond the limit."""
    amount = request.amount
    for _ in range(MAX_ROUNDS):
        if not quotes:
            return None
        amount = smaller(amount, min(quote.price_impact_ppm for quote in quotes), limit_ppm, request.mode)
        if not amount:
            return None
        # Pools that are not constant-product have other curves, so each round starts from what the last one quoted.
        routing = await route(replace(request, amount=amount))
        quotes = [answer.quote for answer in routing.answers if answer.quote is not None]
        within = [quote for quote in quotes if quote.price_impact_ppm <= limit_ppm]
        if within:
            return SuggestedSize(amount, min(within, key=lambda quote: quote.price_impact_ppm).venue)
    return None


def smaller(amount: int, impact_ppm: int, limit_ppm: int, mode: Mode) -> int:
    """The amount whose impact is just below `limit_ppm` in a constant-product pool where `amount` has `impact_ppm`; 0
    if there is no such amount.

    An input x has the impact x / (r + x) there, and an output y has y / r, with the pool's reserve r.
    """
    if limit_ppm <= 0:
        return 0
    # Reported impacts are rounded up. 100 % would divide by zero, and one within the limit would not shrink the amount.
    impact = min(max(impact_ppm, limit_ppm + 1), PPM - 1)
    result = amount * limit_ppm // impact
    if mode is Mode.EXACT_IN:
        result = result * (PPM - impact) // (PPM - limit_ppm)
    # A thousandth less, so that neither rounding nor a small move of the pool leaves it just above the limit.
    return max(result * 999 // 1_000, amount // LARGEST_DIVISOR if amount > LARGEST_DIVISOR else 0)

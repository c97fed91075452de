"""What size of an order would not move a venue's price too far, when the one that was asked for does.

Told to the client with the reason `price-impact`. Pools of constant liquidity have a closed form for it; whatever it
comes to is then asked as a quote, so that what is told is what a venue said, and not a guess.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.venues.router import Routing

PPM = 1_000_000
QUESTIONS = 5
"""Rounds of quotes at most."""
SMALLEST_STEP = 1_000
"""A size is divided by at most this much from one question to the next: past that the impact says too little."""


@dataclass(frozen=True, slots=True)
class FittingSize:
    """An amount (base units of what the request counts) that `venue` quoted within the limit."""

    amount: int
    venue: str


async def fitting_size(
    route: Callable[[SwapRequest], Awaitable[Routing]], request: SwapRequest, quotes: list[Quote], limit_ppm: int
) -> FittingSize | None:
    """A size close to the largest that is within `limit_ppm` at some venue, as that venue quotes it; None where none
    was found. `quotes` are those for `request`, all beyond the limit."""
    amount = request.amount
    for _ in range(QUESTIONS):
        if not quotes:
            return None
        amount = smaller(amount, min(quote.price_impact_ppm for quote in quotes), limit_ppm, request.mode)
        if not amount:
            return None
        routing = await route(replace(request, amount=amount))
        quotes = [answer.quote for answer in routing.answers if answer.quote is not None]
        fitting = [quote for quote in quotes if quote.price_impact_ppm <= limit_ppm]
        if fitting:
            return FittingSize(amount, min(fitting, key=lambda quote: quote.price_impact_ppm).venue)
    return None


def smaller(amount: int, impact_ppm: int, limit_ppm: int, mode: Mode) -> int:
    """The amount whose impact is just below `limit_ppm`, where `amount` has `impact_ppm`, in a pool of constant
    liquidity; 0 where there is none.

    An input x has the impact x / (r + x) there, an output y has y / r: r is what the pool holds of it at its price.
    """
    if limit_ppm <= 0:
        return 0
    impact = min(max(impact_ppm, limit_ppm + 1), PPM - 1)  # as told, rounded up
    found = amount * limit_ppm // impact
    if mode is Mode.EXACT_IN:
        found = found * (PPM - impact) // (PPM - limit_ppm)
    return max(found * 999 // 1_000, amount // SMALLEST_STEP if amount > SMALLEST_STEP else 0)

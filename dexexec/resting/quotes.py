"""Quotes for the oracle: from a router of its own, so that no breaker or figure of the orders' router depends on it."""

import asyncio
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.quote import SwapRequest
from dexexec.resting.conditions import Executable, Market
from dexexec.resting.reference_check import NoReference, Reference
from dexexec.venues.ranking import net_amount
from dexexec.venues.router import HARMLESS, Routing

AT_ONCE = 32
"""Sizes that are quoted at the same time. A price that crosses a thousand orders must not send a thousand requests to a
venue's node at once."""
SECONDS = 60.0
"""Longer than the router's own time limit, which applies."""


class QuoteRouter(Protocol):
    """The part of `dexexec.venues.router.Router` that the oracle uses."""

    async def route(self, request: SwapRequest, deadline: float) -> Routing:
        """Quotes of all venues."""


class OracleQuotes:
    """Quotes sizes of a market, a limited number at a time. `reference` decides which quotes are believed."""

    def __init__(
        self, router: QuoteRouter, clock: Clock, reference: Reference | None = None, *, at_once: int = AT_ONCE
    ) -> None:
        self._router = router
        self._clock = clock
        self._reference = reference or NoReference()
        self._free = asyncio.Semaphore(at_once)

    async def quote(self, market: Market, amount: int) -> Routing:
        """The quotes of all venues for one size."""
        # Slippage has no part in an amount; an order's own is applied when a worker executes it.
        request = SwapRequest(
            mint_in=market.mint_in, mint_out=market.mint_out, amount=amount, mode=market.mode, slippage_bps=0
        )
        async with self._free:
            return await self._router.route(request, self._clock.monotonic() + SECONDS)

    async def believed(self, market: Market, amount: int) -> Routing:
        """The same, without the quotes that the reference does not agree with. If it agrees with none, all are left:
        then they show what keeps an order from being triggered."""
        routing = await self.quote(market, amount)
        # One venue with a price that is not there would hide a fall from every stop, as the best of all venues.
        ranking = [
            quote
            for quote in routing.ranking
            if (await self._reference.agreement(market, Executable(quote, net_amount(quote)))).holds
        ]
        return Routing(routing.answers, tuple(ranking)) if ranking else routing


def is_refused(routing: Routing) -> bool:
    """Whether every venue answered that it has no route for this size: it is reachable, and another size may have
    one."""
    return bool(routing.answers) and all(answer.code in HARMLESS for answer in routing.answers)

"""Quotes of constant product pools for tests of the oracle, with every request counted."""

import asyncio
from collections.abc import Callable
from fractions import Fraction

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.venue import NoRoute, Unreachable
from dexexec.venues.router import Answer, Routing
from tests.support.scripted import quote_of

DEEP = 10**15


class Pool:
    """A pool that holds `depth` base units of the token that is paid, and as many times `price` of the other one."""

    def __init__(self, name: str, price: Fraction, *, depth: int = DEEP, fee_ppm: int = 2_500) -> None:
        self.name = name
        self.price = price
        self.depth = depth
        self.fee_ppm = fee_ppm
        self.is_down = False
        self.least = 1
        """The smallest size that it quotes."""

    def quote(self, request: SwapRequest) -> Quote:
        """The price now. Raises `NoRoute` or `Unreachable`."""
        if self.is_down:
            raise Unreachable("the pool is away")
        held_in = self.depth
        held_out = int(self.depth * self.price)
        if request.mode is Mode.EXACT_IN:
            fee = -(-request.amount * self.fee_ppm // 1_000_000)
            other = held_out * (request.amount - fee) // (held_in + request.amount - fee)
        elif request.amount >= held_out:
            raise NoRoute("more than the pool has")
        else:
            without = -(-held_in * request.amount // (held_out - request.amount))
            other = -(-without * 1_000_000 // (1_000_000 - self.fee_ppm))
        if request.amount < self.least or not other:
            raise NoRoute("too small for the pool")
        spent = request.amount if request.mode is Mode.EXACT_IN else other
        return quote_of(self.name, request, other, price_impact_ppm=spent * 1_000_000 // (held_in + spent))


class PoolRouter:
    """The part of a router that the oracle uses. `sizes` are the amounts that were quoted."""

    def __init__(self, *pools: Pool) -> None:
        self.pools = pools
        self.sizes: list[int] = []
        self.busy = 0
        self.most_busy = 0
        self.on_quote: Callable[[SwapRequest], None] = lambda _: None

    async def route(self, request: SwapRequest, deadline: float) -> Routing:
        """The quotes of all pools."""
        self.sizes.append(request.amount)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(0)
        self.on_quote(request)
        self.busy -= 1
        answers = []
        for pool in self.pools:
            try:
                answers.append(Answer(venue=pool.name, quote=pool.quote(request)))
            except (NoRoute, Unreachable) as error:
                answers.append(Answer.of(pool.name, error))
        return Routing.of(answers)

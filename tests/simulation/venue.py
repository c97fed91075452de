"""Venues whose prices, delays, failures, swaps and lies come from the seed."""

import random
from dataclasses import replace

from dexexec.clock import Clock
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import Blockhash, ProgramFailure, UnsignedSwap
from dexexec.domain.token import KNOWN, WSOL, Tokens
from dexexec.venue import (
    Capabilities,
    Chain,
    Network,
    NoOptions,
    NoRoute,
    Slippage,
    Unreachable,
    Venue,
    VenueContext,
    VenueError,
)
from tests.support.lying_venue import Lies
from tests.support.scripted import quote_of


class SeededVenue(Venue[NoOptions]):
    """`trouble` is the share of calls that fail or hang."""

    capabilities = Capabilities(network=Network.SIMULATED, needs_wallet=False)

    def __init__(
        self,
        name: str,
        clock: Clock,
        chain: Chain,
        rng: random.Random,
        trouble: float,
    ) -> None:
        super().__init__(VenueContext(clock, Tokens(KNOWN), chain, NoOptions()))
        self.name = name  # type: ignore[misc]
        self._rng, self._trouble = rng, trouble

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """About 150 USDC for a SOL."""
        rng, clock = self._rng, self.context.clock
        hangs = rng.random() < self._trouble / 2
        await clock.sleep(30 if hangs else rng.uniform(0.001, 0.1))
        if rng.random() < self._trouble:
            raise rng.choice((NoRoute, Unreachable))("so the seed will have it")
        price = rng.randint(145_000_000, 155_000_000)
        sol_is_given = (request.mint_in == WSOL) == (request.mode is Mode.EXACT_IN)
        other = request.amount * price // 10**9 if sol_is_given else request.amount * 10**9 // price
        return quote_of(self.name, request, other, expires_at_ms=clock.unix_ms() + 10_000)

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> UnsignedSwap:
        """A swap that lands at some time, may be lost at first, and may fail on a price move past its bound."""
        rng, request = self._rng, quote.request
        if rng.random() < self._trouble:
            raise Slippage("so the seed will have it")
        swap = SimulatedSwap(
            venue=self.name,
            mint_in=request.mint_in,
            mint_out=request.mint_out,
            amount_in=quote.amount_in,
            amount_out=quote.amount_out,
            min_out=quote.min_out,
            max_in=quote.max_in,
            exact_in=request.mode is Mode.EXACT_IN,
            payer=payer,
            blockhash=blockhash.hash,
            nonce=f"{rng.getrandbits(64):x}",
            fee=5_000,
            landing_ms=rng.choice((0, 400, rng.randint(0, 4_000), rng.randint(0, 70_000) if rng.random() < 0.1 else 0)),
            move_ppm=rng.choice((0, 100, 4_000, 9_000)) if rng.random() < 0.5 else 0,
            dropped=rng.random() < 0.15,
        )
        return UnsignedSwap(swap.encode(), blockhash)


class LyingVenue(SeededVenue):
    """False in every way that an adapter can be, in a `share` of its answers."""

    def __init__(self, name: str, clock: Clock, chain: Chain, rng: random.Random, share: float) -> None:
        self._lies, self._claimed = Lies(rng, share), SeededVenue.capabilities
        super().__init__(name, clock, chain, rng, 0)
        self.submit = self.status = self._lies.outcome  # for an engine that asked it

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """The capabilities it claims, which vary from call to call."""
        return replace(self._claimed, network=self._lies.network(self._claimed.network))

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """A quote, which may be wrong."""
        wrong: Quote = self._lies.quote(await super().quote(request, deadline))
        return wrong

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> UnsignedSwap:
        """A swap, which may be another one than was quoted, or none."""
        built = await super().build(quote, payer, blockhash)
        if self._lies.due():
            swap = SimulatedSwap.decode(built.message)
            changes = self._rng.choice((
                {"min_out": 0}, {"max_in": 2**64 - 1}, {"amount_out": 1}, {"amount_in": 10 * swap.amount_in},
                {"mint_out": swap.mint_in}, {"exact_in": not swap.exact_in}, {"blockhash": "another"},
            ))  # fmt: skip
            built = UnsignedSwap(replace(swap, **changes).encode(), built.blockhash)
        wrong: UnsignedSwap = self._lies.build(built, blockhash)
        return wrong

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """Nonsense."""
        wrong: VenueError | None = self._lies.explain(failure)
        return wrong

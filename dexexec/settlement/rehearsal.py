"""Rehearses small swaps without signing them, so that what the first order needs is in memory before it comes.

The quote reads the pool, the check the wallet and the priority fee, and the simulation the programs that the swap calls
(`solana.warm`). Nothing is signed, recorded or sent, and what fails costs the first order's time only.
"""

import uuid
from collections.abc import Mapping

from dexexec.clock import Clock
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import Tokens
from dexexec.settlement.sealing import SwapSimulator
from dexexec.venue import AnyVenue, Chain, VenueError

SHARE = 1_000
"""A rehearsal sells one part in so many of a whole token: nearly every wallet has that much SOL."""
SECONDS = 10.0
"""For one rehearsal."""
TIMES = 4
"""At first: each one finds what the one before was missing and had read, and the last is compared with a node."""
PAUSE_SECONDS = 1.0
"""Between these: several slots, in which what was missing is read."""


class Rehearsal:
    """Rehearses swaps of the default wallet on `chains`, with `simulators` by network. `slippage_bps` is that of orders
    without one."""

    def __init__(
        self,
        chains: Mapping[str, Chain],
        simulators: Mapping[str, SwapSimulator],
        tokens: Tokens,
        clock: Clock,
        *,
        slippage_bps: int,
    ) -> None:
        self._chains = chains
        self._simulators = simulators
        self._tokens = tokens
        self._clock = clock
        self._slippage_bps = slippage_bps
        self._rehearsed: set[str] = set()

    async def rehearse(self, venue: AnyVenue, pair: tuple[str, str]) -> None:
        """Rehearses a swap in each direction: several times for a new venue, then once."""
        # A venue without programs of its own makes the price, the quote and what it holds by itself.
        if not venue.programs or venue.capabilities.network not in self._simulators:
            return
        if venue.capabilities.metered:
            return
        times = 1 if venue.name in self._rehearsed else TIMES
        for mint_in, mint_out in (pair, pair[::-1]):
            for again in range(times):
                if again:
                    await self._clock.sleep(PAUSE_SECONDS)
                try:
                    await self._swap(venue, mint_in, mint_out)
                except VenueError:
                    break  # the wallet lacks the token, or there is no pool: an order would find the same
                self._rehearsed.add(venue.name)

    async def _swap(self, venue: AnyVenue, mint_in: str, mint_out: str) -> None:
        network = venue.capabilities.network
        simulator = self._simulators[network]
        until = self._clock.monotonic() + SECONDS
        token = self._tokens.get(mint_in)
        request = SwapRequest(
            mint_in=mint_in,
            mint_out=mint_out,
            amount=max(1, 10 ** (token.decimals if token else 0) // SHARE),
            mode=Mode.EXACT_IN,
            slippage_bps=self._slippage_bps,
        )
        quote = await venue.quote(request, until)
        unsigned = await venue.build(quote, simulator.payer, await self._chains[network].blockhash())
        await simulator.simulate(venue, quote, unsigned, until, AttemptId(uuid.uuid4(), 1))

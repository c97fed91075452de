"""An adapter of the soak that is wrong about everything that an adapter can still be wrong about."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure, UnsignedSwap
from dexexec.venue import Unsigned, VenueContext, VenueError
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions
from tests.support.lying_venue import Lies

SHARE = 0.3
"""The share of wrong answers."""


class Liar(MockRaydium):
    """A mock venue of its own price, which is right most of the time."""

    name = "liar"

    def __init__(self, context: VenueContext[MockOptions]) -> None:
        super().__init__(context)
        self._lies = Lies(random.Random(), SHARE, tempting=False)
        self.submit = self.status = self._lies.outcome  # for an engine that asked it

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """A quote, which may be wrong."""
        wrong: Quote = self._lies.quote(await super().quote(request, deadline))
        return wrong

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        """A swap, which may be another one than was quoted, or none."""
        built = await super().build(quote, payer, blockhash)
        if self._lies.due():
            built = self._greedy(built)
        wrong: Unsigned = self._lies.build(built, blockhash)
        return wrong

    async def cosign(self, message: bytes) -> Mapping[str, bytes]:
        """The signatures, or wrong ones."""
        signatures = await super().cosign(message)
        return dict.fromkeys(signatures, bytes(64)) if self._lies.due() else signatures

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """Nonsense."""
        wrong: VenueError | None = self._lies.explain(failure)
        return wrong

    @staticmethod
    def _greedy(built: Unsigned) -> Unsigned:
        """It takes twice what was quoted, or gives next to nothing."""
        if isinstance(built, SwapInstructions):
            return replace(built, instructions=(*built.instructions, *built.instructions))
        changes: dict[str, Any] = {"amount_out": 1, "min_out": 0}
        return UnsignedSwap(replace(SimulatedSwap.decode(built.message), **changes).encode(), built.blockhash)

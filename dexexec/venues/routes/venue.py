"""The venues `split` and `hops`: swaps over several pools in one transaction, combined from the pools of other venues.

To the router they are venues like others: each quotes its best way, and an order takes it if it nets more than the best
single pool. All parts are in one transaction, so that either all of them happen or none.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dexexec.concurrency.cancellation import ignore_exception
from dexexec.domain import base58
from dexexec.domain.depth import DeepVenue, PoolDepth, sound
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.observe.untrusted_text import LONGEST_NAME, clean
from dexexec.venue import (
    AnyVenue,
    Capabilities,
    NoOptions,
    Unsupported,
    Venue,
    VenueContext,
    VenueError,
)
from dexexec.venues.quote_check import checked
from dexexec.venues.ranking import rank
from dexexec.venues.routes.combine import bounded, instructions_of, quote_of
from dexexec.venues.routes.hops import through
from dexexec.venues.routes.split import Part, split

STAND_IN = base58.encode(bytes([1]) * 32)
"""In the place of a wallet, where only the size of a transaction counts."""
NO_BLOCKHASH = Blockhash(STAND_IN, 0)
Fits = Callable[[SwapInstructions, str], bool]
"""Whether a swap of this wallet fits into a transaction. Known where transactions are signed."""
WAITING_SHARE = 0.6
"""The part of the time for quotes in which venues must have shown their pools."""
LATE_SECONDS = 5.0
"""How long a venue is left out that had not shown its pools by then. Every order would wait for it again."""
LEAST_SECONDS = 0.1
"""A shorter wait is due to the order's deadline, and shows nothing of a venue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRules:
    """The operator's settings. `hop_mints` are the tokens that a swap may pass through. Of what it is expected to give
    there, `hop_tolerance_bps` are kept back. Each pool after the first costs `leg_lamports` of priority fee."""

    hop_mints: tuple[str, ...]
    hop_tolerance_bps: int
    leg_lamports: int


class Routes(Venue[NoOptions], ABC):
    """Combines the pools of `venues`, which all settle on one network. `quarantine` returns why one of them gets no
    orders at present, and `fits` whether a way fits into a transaction (None: not known)."""

    def __init__(
        self,
        context: VenueContext[NoOptions],
        venues: Sequence[AnyVenue],
        rules: RouteRules,
        quarantine: Callable[[str], str] = lambda _: "",
        fits: Fits | None = None,
    ) -> None:
        super().__init__(context)
        self._venues = {venue.name: venue for venue in venues if isinstance(venue, DeepVenue)}
        self._rules = rules
        self._quarantine = quarantine
        self._late_until: dict[str, float] = {}
        self._fits = fits
        self.capabilities = Capabilities(network=venues[0].capabilities.network)

    @property
    def combines(self) -> tuple[str, ...]:
        """The venues whose pools are combined."""
        return tuple(self._venues)

    @property
    def programs(self) -> frozenset[str]:
        """The programs of all venues whose pools are combined."""
        return frozenset(program for venue in self._venues.values() for program in venue.programs)

    @abstractmethod
    async def ways(self, request: SwapRequest, deadline: float) -> list[tuple[Part, ...]]:
        """The ways that are worth a quote. Raises one of `VENUE_ERRORS`."""

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """The way that nets most. Raises `Unsupported` if there is none."""
        quotes = [self._quote_of(parts, request) for parts in await self.ways(request, deadline) if parts]
        if not quotes:
            # Not `NoRoute`: waiting for another answer is up to the venues themselves, which answer too.
            raise Unsupported("one pool alone is the best way, or the only one")
        # The best quote fixes an order's bound: one that cannot be sent would only keep the next best from being taken.
        for quote in rank(quotes):
            if self._fits is None or self._fits(await self.build(quote, STAND_IN, NO_BLOCKHASH), STAND_IN):
                return quote
        raise Unsupported("the transaction would be too large")

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> SwapInstructions:
        """The instructions of all parts. Raises what the parts' venues raise."""
        quotes = quote.raw.get("quotes")
        if quote.venue != self.name or not isinstance(quotes, tuple):
            raise Unsupported(f"a quote of {quote.venue} cannot be built by {self.name}")
        # The order's bound has made the whole quote's tighter since it was quoted, and the parts' are what is signed.
        quotes = bounded(quotes, quote)
        built = await asyncio.gather(*(self._venues[one.venue].build(one, payer, blockhash) for one in quotes))
        if not all(isinstance(part, SwapInstructions) for part in built):
            raise Unsupported("a part of the swap is not given as instructions, so it cannot be combined")
        parts = [part for part in built if isinstance(part, SwapInstructions)]
        return SwapInstructions(
            instructions_of(parts, quotes, payer),
            blockhash,
            signers=tuple(dict.fromkeys(signer for part in parts for signer in part.signers)),
            lookup_tables=tuple(dict.fromkeys(table for part in parts for table in part.lookup_tables)),
        )

    async def cosign(self, message: bytes) -> Mapping[str, bytes]:
        """The signatures of the parts' venues."""
        signed = await asyncio.gather(*(venue.cosign(message) for venue in self._venues.values()))
        return {signer: signature for one in signed for signer, signature in one.items()}

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """The meaning that the venue of the failed program gives it."""
        meanings = (venue.explain(failure) for venue in self._venues.values())
        return next((meaning for meaning in meanings if meaning is not None), None)

    def _quote_of(self, parts: Sequence[Part], request: SwapRequest) -> Quote:
        fee = max(part.quote.network_fee for part in parts) + self._rules.leg_lamports * (len(parts) - 1)
        return quote_of(parts, request, self.name, fee)

    async def depths_of(self, request: SwapRequest, deadline: float) -> list[PoolDepth]:
        """The pools of all venues that answer in time; one that fails says why in its own quote."""
        begun = self.context.clock.monotonic()
        reading = {
            name: asyncio.create_task(_read(venue, replace(request), deadline))
            for name, venue in self._venues.items()
            if not self._quarantine(name) and self._late_until.get(name, begun) <= begun
        }
        if not reading:
            return []
        # A venue that hangs must not take the others with it.
        most = max(0.0, deadline - begun) * WAITING_SHARE
        try:
            await asyncio.wait(reading.values(), timeout=most)
        finally:
            for task in reading.values():
                task.add_done_callback(ignore_exception)
                task.cancel()
        found = []
        for name, task in reading.items():
            if not task.done():
                if most >= LEAST_SECONDS:
                    self._late_until[name] = self.context.clock.monotonic() + LATE_SECONDS
                continue
            if task.cancelled() or isinstance(error := task.exception(), VenueError):
                continue
            if error is not None:
                raise error
            for depth in task.result():
                pool = clean(depth.pool, LONGEST_NAME)
                found.append(replace(depth, venue=name, pool=pool, quote=partial(self._checked, name, depth)))
        return [depth if sound(depth.stretches) else replace(depth, stretches=()) for depth in found]

    def _checked(self, venue: str, depth: PoolDepth, request: SwapRequest) -> Quote:
        """A part's quote, as carefully read as a whole one. Raises `VenueError`."""
        return checked(venue, request, depth.quote(replace(request)), self.context.clock.unix_ms())


async def _read(venue: DeepVenue, request: SwapRequest, deadline: float) -> Sequence[PoolDepth]:
    return await venue.depths(request, deadline)


class Split(Routes):
    """Divides a swap over the pools of its pair."""

    name = "split"

    async def ways(self, request: SwapRequest, deadline: float) -> list[tuple[Part, ...]]:
        """One: the best division."""
        return [split(await self.depths_of(request, deadline), request)]


class Hops(Routes):
    """Sells the input for another token, and that one for the output."""

    name = "hops"

    async def ways(self, request: SwapRequest, deadline: float) -> list[tuple[Part, ...]]:
        """The best two pools for each of the tokens that may be passed through."""
        hops = [mint for mint in self._rules.hop_mints if mint not in (request.mint_in, request.mint_out)]
        halves = [half for hop in hops for half in (replace(request, mint_out=hop), replace(request, mint_in=hop))]
        depths = await asyncio.gather(*(self.depths_of(half, deadline) for half in halves))
        tolerance = min(self._rules.hop_tolerance_bps, request.slippage_bps)
        return [
            through(depths[2 * place], depths[2 * place + 1], request, hop, tolerance) for place, hop in enumerate(hops)
        ]

    async def warm(self, pair: tuple[str, str]) -> None:
        """Read in advance what ways through the other tokens need."""
        for hop in self._rules.hop_mints:
            for mint in pair if hop not in pair else ():
                await asyncio.gather(*(venue.warm((mint, hop)) for venue in self._venues.values()))

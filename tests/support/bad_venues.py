"""Venues that each break one rule of the contract, and keep all the others. `BROKEN` maps each to its rule."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from dexexec.domain.launch import NewPool
from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.venue import Capabilities, Network, NoRoute, Slippage, Unsigned, Unsupported, Venue, VenueError
from dexexec_adapters.mock.raydium import MockRaydium


class PromisesBothModes(MockRaydium):
    name = "promises-both-modes"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        if request.mode is Mode.EXACT_OUT:
            raise Unsupported("exact out is not done")
        return await super().quote(request, deadline)


class HidesAMode(MockRaydium):
    name = "hides-a-mode"
    capabilities = Capabilities(modes=frozenset({Mode.EXACT_IN}), network=Network.SIMULATED)


class AnswersAnotherRequest(MockRaydium):
    name = "answers-another-request"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        quote = await super().quote(request, deadline)
        return replace(quote, request=replace(request, slippage_bps=request.slippage_bps + 1))


class CountsInFloats(MockRaydium):
    name = "counts-in-floats"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        quote = await super().quote(request, deadline)
        return replace(quote, fee=quote.fee * 1.0)  # type: ignore[arg-type]


class NamesNoPool(MockRaydium):
    name = "names-no-pool"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        return replace(await super().quote(request, deadline), route=())


class LeavesRoomForItself(MockRaydium):
    name = "leaves-room-for-itself"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        quote = await super().quote(request, deadline)
        if request.mode is Mode.EXACT_IN:
            return replace(quote, min_out=quote.min_out * 99 // 100)
        return replace(quote, max_in=quote.max_in * 101 // 100)


class GivesLessForMore(MockRaydium):
    name = "gives-less-for-more"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        quote = await super().quote(request, deadline)
        if request.mode is Mode.EXACT_IN and request.amount > 5 * 10**9:
            amount_out = quote.amount_out // 100
            least = min_out(amount_out, request.slippage_bps)
            return replace(quote, amount_out=amount_out, min_out=least, price_impact_ppm=1_000_000)
        return quote


class ChargesTwiceForExactOut(MockRaydium):
    name = "charges-twice-for-exact-out"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        quote = await super().quote(request, deadline)
        if request.mode is Mode.EXACT_OUT:
            amount_in = quote.amount_in + quote.fee
            return replace(quote, amount_in=amount_in, max_in=max_in(amount_in, request.slippage_bps))
        return quote


class TakesItsTime(MockRaydium):
    name = "takes-its-time"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        await self.context.clock.sleep(self.options.latency_ms / 1000)
        return await super().quote(request, float("inf"))


class Hangs(MockRaydium):
    name = "hangs"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        if self.options.latency_ms:
            await asyncio.Event().wait()
        return await super().quote(request, deadline)


class LetsItsOwnErrorsOut(MockRaydium):
    name = "lets-its-own-errors-out"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        if request.amount == U64_MAX:
            raise OverflowError("int too large to convert")
        return await super().quote(request, deadline)


class BuildsAnything(MockRaydium):
    name = "builds-anything"

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        if not quote.raw:
            raise KeyError("step")
        return await super().build(quote, payer, blockhash)


class RemembersTheLastRequest(MockRaydium):
    name = "remembers-the-last-request"
    request: SwapRequest

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        self.request = request
        await asyncio.sleep(0)
        return await super().quote(self.request, deadline)


class SharesItsNotes(MockRaydium):
    name = "shares-its-notes"
    notes: dict[str, object]

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        quote = await super().quote(request, deadline)
        self.notes = getattr(self, "notes", {"pool": "main"})
        return replace(quote, raw=self.notes)


class BuildsFromOldQuotes(MockRaydium):
    name = "builds-from-old-quotes"

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        return await super().build(replace(quote, expires_at_ms=U64_MAX), payer, blockhash)


class TiresEarly(MockRaydium):
    name = "tires-early"

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        return await super().build(replace(quote, expires_at_ms=quote.expires_at_ms - 5_000), payer, blockhash)


class RoundsUp(MockRaydium):
    """Quotes one unit more than its swap gives."""

    name = "rounds-up"

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        given = quote.amount_out - (quote.request.mode is Mode.EXACT_IN)
        return await super().build(replace(quote, amount_out=given), payer, blockhash)


class FailsToExplain(MockRaydium):
    name = "fails-to-explain"

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        return {6_000: Slippage("moved")}[failure.custom or 0]


class ExplainsInItsOwnWords(MockRaydium):
    name = "explains-in-its-own-words"

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        return failure.text  # type: ignore[return-value]


class ForgetsTheBounds(MockRaydium):
    name = "forgets-the-bounds"

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        return await super().build(replace(quote, min_out=0, max_in=U64_MAX), payer, blockhash)


class HidesItsImpact(MockRaydium):
    name = "hides-its-impact"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        return replace(await super().quote(request, deadline), price_impact_ppm=0)


class BuildsFromTheRequest(MockRaydium):
    """Takes the bounds from the request's slippage, although those of the quote are tighter."""

    name = "builds-from-the-request"

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        bps, exact_in = quote.request.slippage_bps, quote.request.mode is Mode.EXACT_IN
        least = min_out(quote.amount_out, bps) if exact_in else quote.amount_out
        most = quote.amount_in if exact_in else max_in(quote.amount_in, bps)
        return await super().build(replace(quote, min_out=least, max_in=most), payer, blockhash)


class ReportsTokensAsFloats(MockRaydium):
    name = "reports-tokens-as-floats"

    def watch_pools(self, pair: tuple[str, str]) -> AsyncGenerator[NewPool, None] | None:
        pools = super().watch_pools(pair)
        return None if pools is None else self._in_floats(pools)

    async def _in_floats(self, pools: AsyncGenerator[NewPool, None]) -> AsyncGenerator[NewPool, None]:
        async with aclosing(pools):
            async for pool in pools:
                first, second = pool.tokens
                yield replace(pool, tokens=(replace(first, reserve=first.reserve / 1.0), second))  # type: ignore[arg-type]


class ReportsPoolsThatItDoesNotQuote(MockRaydium):
    """Reports a pool for any pair, also for those that it has none of."""

    name = "reports-pools-that-it-does-not-quote"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        if not {request.mint_in, request.mint_out} <= {token.mint for token in self.context.tokens}:
            raise NoRoute("there is no pool")
        return await super().quote(request, deadline)


class KeepsItsPoolsToItself(MockRaydium):
    name = "keeps-its-pools-to-itself"

    def watch_pools(self, pair: tuple[str, str]) -> AsyncGenerator[NewPool, None] | None:
        pools = super().watch_pools(pair)
        return None if pools is None else self._nothing_of(pools)

    async def _nothing_of(self, pools: AsyncGenerator[NewPool, None]) -> AsyncGenerator[NewPool, None]:
        async with aclosing(pools):
            async for pool in pools:
                if not pool.address:
                    yield pool


BROKEN: dict[type[Venue[Any]], str] = {
    PromisesBothModes: "capabilities-are-true",
    HidesAMode: "capabilities-are-true",
    AnswersAnotherRequest: "quote-answers-the-request",
    CountsInFloats: "quote-is-in-base-units",
    NamesNoPool: "quote-is-in-base-units",
    LeavesRoomForItself: "bounds-follow-slippage",
    GivesLessForMore: "larger-gives-no-less",
    ChargesTwiceForExactOut: "modes-agree",
    HidesItsImpact: "impact-is-told",
    TakesItsTime: "deadline-is-obeyed",
    Hangs: "deadline-is-obeyed",
    LetsItsOwnErrorsOut: "only-known-errors-escape",
    BuildsAnything: "only-known-errors-escape",
    RemembersTheLastRequest: "quotes-are-independent",
    SharesItsNotes: "quotes-are-independent",
    BuildsFromOldQuotes: "expired-quote-is-refused",
    ReportsTokensAsFloats: "reported-pools-are-true",
    ReportsPoolsThatItDoesNotQuote: "reported-pools-are-true",
    KeepsItsPoolsToItself: "reported-pools-are-true",
    TiresEarly: "expired-quote-is-refused",
    RoundsUp: "fill-equals-quote",
    FailsToExplain: "explain-never-raises",
    ExplainsInItsOwnWords: "explain-never-raises",
    ForgetsTheBounds: "bounds-hold-on-chain",
    BuildsFromTheRequest: "bounds-hold-on-chain",
}

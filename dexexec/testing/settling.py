"""The rules of the contract that concern swaps: what is built, and what it does on chain."""

from dataclasses import replace

from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import FailedOnChain, Landed, ProgramFailure, fill_of
from dexexec.testing.harness import Broken, Condition, Harness, World, describe, expect
from dexexec.venue import QuoteExpired, Slippage, VenueError

LOOSE_BPS = 500
TRIES = 12
"""Swaps that are tried while the price moves."""


async def expired_quote_is_refused(harness: Harness) -> None:
    """`build` raises `QuoteExpired` from `expires_at_ms` on, and not before."""
    async with harness.world() as world:
        quote = await world.quote(world.request(world.amount()))
        left = (quote.expires_at_ms - world.clock.unix_ms()) / 1000
        world.clock.advance(left - 0.001)
        early = await world.build(quote, await world.chain.blockhash())
        if isinstance(early, QuoteExpired):
            raise Broken("a quote was refused as expired 1 ms before expires_at_ms")
        world.clock.advance(0.001)
        built = await world.build(quote, await world.chain.blockhash())
        if not isinstance(built, QuoteExpired):
            raise Broken(f"a quote that has expired gave {describe(built)}: QuoteExpired was due")


async def fill_equals_quote(harness: Harness) -> None:
    """While the market stands still, a swap moves exactly what was quoted, both ways."""
    async with harness.settling_world() as world:
        for request in await world.requests():
            quote = await world.quote(request)
            fill = fill_of(await world.land(quote), request)
            if (fill.amount_in, fill.amount_out) != (quote.amount_in, quote.amount_out):
                raise Broken(f"quoted {quote.amount_in} for {quote.amount_out}, filled {_amounts(fill)}")


async def explain_never_raises(harness: Harness) -> None:
    """`explain` gives an error of `dexexec.venue` or None, whatever failed, and raises nothing."""
    async with harness.world() as world:
        programs = (*sorted(world.venue.programs), "11111111111111111111111111111111")
        for program in programs:
            for custom in (None, 0, 1, 6_000, 2**32 - 1):
                failure = ProgramFailure(255, program, custom, "custom program error")
                try:
                    explained = world.venue.explain(failure)
                except Exception as error:
                    raise Broken(f"explain raised {describe(error)} for {failure}") from error
                if explained is not None and not isinstance(explained, VenueError):
                    raise Broken(f"explain gave {describe(explained)} for {failure}")


async def bounds_hold_on_chain(harness: Harness) -> None:
    """When the price moves, a swap fills within `min_out` and `max_in` of its quote, or not at all: also where they are
    tighter than the request's slippage."""
    async with harness.settling_world(Condition.MOVING) as world:
        for bps in (0, 10, 100):
            for request in await world.requests(bps):
                for _ in range(TRIES):
                    await _fills_within_bounds(world, await world.quote(request))
        for request in await world.requests(LOOSE_BPS):
            for _ in range(TRIES):
                quote = await world.quote(request)
                await _fills_within_bounds(world, replace(quote, min_out=quote.amount_out, max_in=quote.amount_in))


async def _fills_within_bounds(world: World, quote: Quote) -> None:
    try:
        status = await world.settle(await world.sign(quote))
    except Slippage:
        return
    if isinstance(status, FailedOnChain):
        return
    fill = fill_of(expect(Landed, status, "what was built, sent,"), quote.request)
    if fill.amount_out < quote.min_out or fill.amount_in > quote.max_in:
        raise Broken(
            f"filled {_amounts(fill)}, out of bounds: at least {quote.min_out} for at most {quote.max_in} was due"
        )


def _amounts(fill: Fill) -> str:
    return f"{fill.amount_in} for {fill.amount_out}"

"""The contract's rules for swaps: what is built, and what it does on chain."""

from dataclasses import replace

from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import FailedOnChain, Landed, ProgramFailure, fill_of
from dexexec.testing.harness import Condition, Harness, RuleBroken, VenueSetup, describe, expect
from dexexec.venue import QuoteExpired, Slippage, VenueError

LOOSE_BPS = 500
TRIES = 12
"""How many swaps are sent while the price moves."""


async def expired_quote_is_refused(harness: Harness) -> None:
    """`build` raises `QuoteExpired` from `expires_at_ms` on, and not earlier."""
    async with harness.venue_setup() as setup:
        quote = await setup.quote(setup.request(setup.amount()))
        # One millisecond to each side of the expiry.
        left = (quote.expires_at_ms - setup.clock.unix_ms()) / 1000
        setup.clock.advance(left - 0.001)
        early = await setup.build(quote, await setup.chain.blockhash())
        if isinstance(early, QuoteExpired):
            raise RuleBroken("build raised QuoteExpired 1 ms before expires_at_ms")
        setup.clock.advance(0.001)
        built = await setup.build(quote, await setup.chain.blockhash())
        if not isinstance(built, QuoteExpired):
            raise RuleBroken(f"build returned {describe(built)} for an expired quote: it must raise QuoteExpired")


async def fill_equals_quote(harness: Harness) -> None:
    """While prices do not change, a swap moves exactly the quoted amounts, in both modes."""
    async with harness.settling_venue_setup() as setup:
        for request in await setup.ordinary_requests():
            quote = await setup.quote(request)
            fill = fill_of(await setup.land(quote), request)
            if (fill.amount_in, fill.amount_out) != (quote.amount_in, quote.amount_out):
                raise RuleBroken(f"quoted {quote.amount_in} for {quote.amount_out}, but filled {_amounts(fill)}")


async def explain_never_raises(harness: Harness) -> None:
    """`explain` returns an error of `dexexec.venue` or None for every failure, and raises nothing."""
    async with harness.venue_setup() as setup:
        # Also for a program that is not the venue's: the system program.
        programs = (*sorted(setup.venue.programs), "11111111111111111111111111111111")
        for program in programs:
            for custom in (None, 0, 1, 6_000, 2**32 - 1):
                failure = ProgramFailure(index=255, program=program, custom=custom, text="custom program error")
                try:
                    explained = setup.venue.explain(failure)
                except Exception as error:
                    raise RuleBroken(f"explain raised {describe(error)} for {failure}") from error
                if explained is not None and not isinstance(explained, VenueError):
                    raise RuleBroken(f"explain returned {describe(explained)} for {failure}")


async def bounds_hold_on_chain(harness: Harness) -> None:
    """When prices move, a swap fills within its quote's `min_out` and `max_in`, or not at all."""
    async with harness.settling_venue_setup(Condition.MOVING) as setup:
        for bps in (0, 10, 100):
            for request in await setup.ordinary_requests(bps):
                for _ in range(TRIES):
                    await _fills_within_bounds(setup, await setup.quote(request))
        # Bounds tighter than the request's slippage: the engine may tighten them, and they must hold too.
        for request in await setup.ordinary_requests(LOOSE_BPS):
            for _ in range(TRIES):
                quote = await setup.quote(request)
                await _fills_within_bounds(setup, replace(quote, min_out=quote.amount_out, max_in=quote.amount_in))


async def _fills_within_bounds(setup: VenueSetup, quote: Quote) -> None:
    try:
        status = await setup.settle(await setup.sign(quote))
    except Slippage:
        return
    if isinstance(status, FailedOnChain):
        return
    fill = fill_of(expect(Landed, status, "sending the built swap"), quote.request)
    if fill.amount_out < quote.min_out or fill.amount_in > quote.max_in:
        raise RuleBroken(
            f"filled {_amounts(fill)}, out of bounds: at least {quote.min_out} for at most {quote.max_in} is required"
        )


def _amounts(fill: Fill) -> str:
    return f"{fill.amount_in} for {fill.amount_out}"

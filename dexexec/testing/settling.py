"""The rules of the contract that concern swaps: what is built, sent and found again."""

from dexexec.domain import base58
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import Accepted, FailedOnChain, Landed, NotSeen, fill_of
from dexexec.testing.harness import Broken, Condition, Harness, World, describe, expect, outcome
from dexexec.venue import QuoteExpired, Slippage

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
            _, landed = await world.land(quote)
            fill = fill_of(landed, request)
            if (fill.amount_in, fill.amount_out) != (quote.amount_in, quote.amount_out):
                raise Broken(f"quoted {quote.amount_in} for {quote.amount_out}, filled {_amounts(fill)}")


async def submit_twice_is_one_swap(harness: Harness) -> None:
    """Sending the same bytes again is accepted, and changes nothing: one swap, the same fill."""
    async with harness.settling_world() as world:
        quote = await _ordinary(world)
        signed, landed = await world.land(quote)
        for _ in range(2):
            expect(Accepted, await outcome(world.venue.submit(signed)), "submit of bytes that were accepted before")
        world.clock.advance(1)
        again = await world.statuses(signed.signature)
        if again != [landed]:
            filled = _amounts(fill_of(landed, quote.request))
            raise Broken(f"after sending the same bytes again, {filled} became {describe(again[0])}")
        if len(world.ledger) != 1:
            raise Broken(f"the same bytes, sent three times, made {len(world.ledger)} swaps")


async def unknown_signature_is_not_seen(harness: Harness) -> None:
    """A signature that nobody sent is `NotSeen`: never a failure, never a fill."""
    async with harness.settling_world() as world:
        unsent = await world.sign(await _ordinary(world))
        for what, signature in (
            ("made up", base58.encode(bytes(range(64)))),
            ("signed but not sent", unsent.signature),
        ):
            [status] = await world.statuses(signature)
            if not isinstance(status, NotSeen):
                raise Broken(f"a signature that was {what} is {describe(status)}: NotSeen was due")


async def status_keeps_the_order(harness: Harness) -> None:
    """`status` gives one answer per signature, in the order asked, twice for one that is asked twice."""
    async with harness.settling_world() as world:
        small, small_fill = await world.land(await world.quote(world.request(world.amount(1, 2))))
        large, large_fill = await world.land(await world.quote(world.request(world.amount())))
        for asked in ((small, large), (large, small), (small, large, small)):
            due = [small_fill if signed is small else large_fill for signed in asked]
            if await world.statuses(*(signed.signature for signed in asked)) != due:
                raise Broken("the answers are not in the order of the signatures")
        if await world.statuses():
            raise Broken("no signatures were asked for, and an answer came")


async def bounds_hold_on_chain(harness: Harness) -> None:
    """When the price moves, a swap fills within `min_out` and `max_in`, or not at all."""
    async with harness.settling_world(Condition.MOVING) as world:
        for bps in (0, 10, 100):
            for request in await world.requests(bps):
                for _ in range(TRIES):
                    await _fills_within_bounds(world, await world.quote(request))


async def _fills_within_bounds(world: World, quote: Quote) -> None:
    try:
        status = await world.settle(await world.sign(quote))
    except Slippage:
        return
    if isinstance(status, FailedOnChain):
        return
    fill = fill_of(expect(Landed, status, "status"), quote.request)
    if fill.amount_out < quote.min_out or fill.amount_in > quote.max_in:
        raise Broken(
            f"filled {_amounts(fill)}, out of bounds: at least {quote.min_out} for at most {quote.max_in} was due"
        )


async def _ordinary(world: World) -> Quote:
    """A quote in whichever mode the venue does."""
    for request in await world.requests():
        return await world.quote(request)
    raise Broken("no mode gives a quote")


def _amounts(fill: Fill) -> str:
    return f"{fill.amount_in} for {fill.amount_out}"

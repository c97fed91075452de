"""The contract's rules for quotes. The docstring of a check is the text of its rule in reports."""

import asyncio
from collections.abc import Mapping
from dataclasses import fields, replace

from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import Mode, Quote, max_in, min_out
from dexexec.testing.harness import (
    DEADLINE,
    SLIPPAGE_BPS,
    Condition,
    Harness,
    NotApplicable,
    RuleBroken,
    describe,
    outcome,
)
from dexexec.venue import VENUE_ERRORS, Network, Timeout, Unsupported

PPM = 1_000_000
SMALL = 10
"""How many times larger an ordinary swap is than a small one."""
ROUNDING_PPM = 20
ALLOWED_DELAY = 0.25
"""Seconds by which an answer may be late."""
# Taken from the type, so that a new amount of `Quote` is checked without a change here.
_INTEGERS = tuple(field.name for field in fields(Quote) if field.type is int)


async def capabilities_are_true(harness: Harness) -> None:
    """Every mode of the capabilities is supported, and every other mode is `Unsupported`."""
    claimed = harness.venue_class.capabilities
    if claimed.network not in (Network.SIMULATED, Network.LOCALNET, Network.SOLANA):
        raise RuleBroken(f"there is no network {claimed.network!r}")
    if not claimed.modes:
        raise RuleBroken("the capabilities have no mode, so the venue can quote nothing")
    async with harness.venue_setup() as setup:
        for mode in Mode:
            answer = await setup.try_quote(await setup.ordinary_request(mode))
            if mode in claimed.modes and not isinstance(answer, Quote):
                raise RuleBroken(f"{mode} is in the capabilities, but an ordinary request returned {describe(answer)}")
            if mode not in claimed.modes and not isinstance(answer, Unsupported):
                raise RuleBroken(
                    f"{mode} is not in the capabilities: it must raise Unsupported, not {describe(answer)}"
                )


async def quote_answers_the_request(harness: Harness) -> None:
    """A quote has the venue's name and the request in it, and the amount that the request fixed."""
    async with harness.venue_setup() as setup:
        for request in await setup.ordinary_requests():
            quote = await setup.quote(request)
            if quote.venue != setup.venue.name:
                raise RuleBroken(f"the quote has the venue {quote.venue!r} instead of {setup.venue.name!r}")
            if quote.request != request:
                raise RuleBroken(f"the quote has the request {quote.request} instead of {request}")
            fixed = quote.amount_in if request.mode is Mode.EXACT_IN else quote.amount_out
            if fixed != request.amount:
                raise RuleBroken(f"{request.mode} of {request.amount} was quoted for {fixed}")


async def quote_is_in_base_units(harness: Harness) -> None:
    """Amounts are integers that fit a token account, and the fee's mint, the expiry and the route are valid."""
    async with harness.venue_setup() as setup:
        for request in await setup.ordinary_requests():
            quote = await setup.quote(request)
            for name in _INTEGERS:
                value = getattr(quote, name)
                if type(value) is not int or not 0 <= value <= U64_MAX:
                    raise RuleBroken(f"{name} is {value!r}: it must be an int from 0 to 2^64 - 1")
            if not quote.amount_in or not quote.amount_out:
                raise RuleBroken("an amount is 0: the venue must raise NoRoute")
            if quote.fee_mint not in (request.mint_in, request.mint_out):
                raise RuleBroken(f"fee_mint is {quote.fee_mint}, which is not a token of the pair")
            if quote.expires_at_ms <= setup.clock.unix_ms():
                raise RuleBroken(
                    "the quote has already expired (expires_at_ms is Unix milliseconds by the context's clock)"
                )
            if not quote.route or not all(isinstance(pool, str) and pool for pool in quote.route):
                raise RuleBroken(f"route is {quote.route!r}: it must name at least one pool")
            if not isinstance(quote.raw, Mapping):
                raise RuleBroken(f"raw is a {type(quote.raw).__name__}, not a mapping")


async def bounds_follow_slippage(harness: Harness) -> None:
    """`min_out <= amount_out`, `amount_in <= max_in`, and both follow the order's slippage to the unit."""
    async with harness.venue_setup() as setup:
        for bps in (0, SLIPPAGE_BPS, 500):
            for request in await setup.ordinary_requests(bps):
                quote = await setup.quote(request)
                exact_in = request.mode is Mode.EXACT_IN
                least = min_out(quote.amount_out, bps) if exact_in else quote.amount_out
                most = quote.amount_in if exact_in else max_in(quote.amount_in, bps)
                if quote.min_out != least:
                    raise RuleBroken(
                        f"min_out is {quote.min_out} for {quote.amount_out} at {bps} bps: it must be {least}"
                    )
                if quote.max_in != most:
                    raise RuleBroken(f"max_in is {quote.max_in} for {quote.amount_in} at {bps} bps: it must be {most}")


async def larger_gives_no_less(harness: Harness) -> None:
    """Paying more never gives less, and receiving more never costs less."""
    async with harness.venue_setup() as setup:
        for ordinary in await setup.ordinary_requests():
            exact_in = ordinary.mode is Mode.EXACT_IN
            last: Quote | None = None
            # Close to the ordinary size, where fees and ticks may jump, and far beyond it.
            for tenths in (1, 5, 9, 10, 11, 20, 50, 100, 500, 1_000, 10_000):
                answer = await setup.try_quote(replace(ordinary, amount=max(1, ordinary.amount * tenths // 10)))
                # The venue may lack the liquidity for a larger size, and a smaller one may give nothing.
                if not isinstance(answer, Quote):
                    continue
                if last and (answer.amount_out < last.amount_out if exact_in else answer.amount_in < last.amount_in):
                    raise RuleBroken(
                        f"{ordinary.mode}: {last.amount_in} for {last.amount_out},"
                        f" but the larger {answer.amount_in} for {answer.amount_out}"
                    )
                last = answer


async def modes_agree(harness: Harness) -> None:
    """The output of an exact-in swap costs the same input as an exact-out swap, except for rounding."""
    if len(harness.venue_class.capabilities.modes) < len(Mode):
        raise NotApplicable("the capabilities have only one mode")
    async with harness.venue_setup() as setup:
        for over in (1, 3, 7):
            paid = await setup.quote(setup.request(setup.amount(1, over)))
            back = await setup.try_quote(setup.request(paid.amount_out, Mode.EXACT_OUT))
            if isinstance(back, Unsupported):
                return
            if not isinstance(back, Quote):
                raise RuleBroken(
                    f"{paid.amount_in} gives {paid.amount_out}, but exactly that output returned {describe(back)}"
                )
            # Two units of the output in each direction, priced in the input, and a 100,000th for rounded fees.
            allowed = 2 + 2 * paid.amount_in // paid.amount_out + paid.amount_in // 100_000
            if abs(back.amount_in - paid.amount_in) > allowed:
                raise RuleBroken(
                    f"{paid.amount_in} gives {paid.amount_out}, but exactly that output costs {back.amount_in}"
                )


async def impact_is_told(harness: Harness) -> None:
    """`price_impact_ppm` is at least the difference between the prices of a small and of a large swap."""
    async with harness.venue_setup() as setup:
        for ordinary in await setup.ordinary_requests():
            small = await setup.try_quote(replace(ordinary, amount=max(1, ordinary.amount // SMALL)))
            if not isinstance(small, Quote):
                continue
            for times in (1, 10, 100, 1_000, 10_000, 100_000):
                large = await setup.try_quote(replace(ordinary, amount=ordinary.amount * times))
                if isinstance(large, Quote) and large.price_impact_ppm < _least_impact(small, large):
                    raise RuleBroken(
                        f"{large.amount_in} for {large.amount_out} is {_least_impact(small, large)} ppm worse than"
                        f" {small.amount_in} for {small.amount_out}: price_impact_ppm is {large.price_impact_ppm}"
                    )


def _least_impact(small: Quote, large: Quote) -> int:
    """How much worse the price of `large` is than that of `small` (ppm), less the effect of rounding."""
    worse = PPM - PPM * large.amount_out * small.amount_in // (large.amount_in * small.amount_out)
    # Rounding to units changes the price of the small swap most.
    return worse - 2 * PPM // min(small.amount_in, small.amount_out) - ROUNDING_PPM


async def deadline_is_obeyed(harness: Harness) -> None:
    """`quote` ends by its deadline, with a quote or with `Timeout`, even when the venue is slow."""
    # Only an adapter with an option for this condition becomes slow. Others still must not answer after the deadline.
    async with harness.venue_setup(Condition.SLOW) as setup:
        request = setup.request(setup.amount())
        for seconds in (DEADLINE, 0.0, -DEADLINE):
            start = setup.clock.monotonic()
            answer = await outcome(setup.venue.quote(request, start + seconds))
            late = setup.clock.monotonic() - start - max(seconds, 0.0)
            if late > ALLOWED_DELAY:
                raise RuleBroken(
                    f"with a deadline in {seconds:g} s, the answer came {late:.3f} s late: it must be Timeout"
                )
            if not isinstance(answer, Quote | Timeout):
                raise RuleBroken(
                    f"with a deadline in {seconds:g} s, quote returned {describe(answer)} instead of Timeout"
                )
            if isinstance(answer, Quote) and harness.can_set(Condition.SLOW):
                raise RuleBroken(
                    f"with options for a slow venue, it quoted within {seconds:g} s: the options have no effect"
                )


async def only_known_errors_escape(harness: Harness) -> None:
    """Every request is answered with a quote or an error of `dexexec.venue.VENUE_ERRORS`."""
    async with harness.venue_setup() as setup:
        ordinary = setup.request(setup.amount())
        # The smallest and largest amounts, both ends of the slippage, and mints that are equal, unknown or invalid.
        odd = [replace(ordinary, amount=amount) for amount in (1, 2, U64_MAX - 1, U64_MAX)]
        odd += [replace(ordinary, slippage_bps=bps) for bps in (0, 10_000)]
        odd += [
            replace(ordinary, mint_out=ordinary.mint_in),
            replace(ordinary, mint_out="1" * 32),
            replace(ordinary, mint_in="not a mint", amount=5),
        ]
        for request in odd:
            for mode in Mode:
                variant = replace(request, mode=mode)
                _check_answer(await setup.try_quote(variant), f"quote for {variant}")
        quote = await setup.quote(ordinary)
        foreign = replace(quote, venue="another-venue", raw={})
        _check_answer(await setup.build(foreign, await setup.chain.blockhash()), "build of another venue's quote")


async def quotes_are_independent(harness: Harness) -> None:
    """Concurrent quotes are the same as consecutive ones, and share no mutable state."""
    async with harness.venue_setup() as setup:
        ordinary = await setup.ordinary_requests()
        requests = [
            replace(request, amount=request.amount * fifths // 5 or 1) for fifths in (5, 7, 9) for request in ordinary
        ] * 2
        alone = [await setup.quote(request) for request in requests]
        together = await asyncio.gather(*(setup.quote(request) for request in requests))
        for before, quote in zip(alone, together, strict=True):
            if quote.request != before.request:
                raise RuleBroken(f"among concurrent requests, {before.request} got the quote for {quote.request}")
            if (quote.amount_in, quote.amount_out) != (before.amount_in, before.amount_out):
                raise RuleBroken(
                    f"a single request got {before.amount_in} for {before.amount_out},"
                    f" a concurrent one {quote.amount_in} for {quote.amount_out}"
                )
        # The engine stores `raw` with the quote: a shared object would carry one order's data into another's.
        first = together[0].raw
        second = together[1].raw
        kept = dict(second)
        if isinstance(first, dict):
            first.clear()
            if dict(second) != kept:
                raise RuleBroken("two quotes share one `raw` object")


def _check_answer(answer: object, what: str) -> None:
    if isinstance(answer, BaseException) and not isinstance(answer, VENUE_ERRORS):
        raise RuleBroken(f"{what} raised {describe(answer)}, which is not one of VENUE_ERRORS")

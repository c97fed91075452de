"""Several parts become one quote with one bound, and one list of instructions that opens and closes accounts once."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.solana import Instruction, SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import USDC, WSOL
from dexexec.venues.routes.combine import bounded, instructions_of, quote_of
from dexexec.venues.routes.hops import through
from dexexec.venues.routes.split import Part, split
from dexexec_adapters.solana import spl
from tests.support.pool_depths import depth_of

PROPERTY = settings(deadline=None, max_examples=50)
DEPTHS = [depth_of("one", 10**12, 10**12), depth_of("two", 10**12, 10**12), depth_of("three", 10**12, 10**12)]
PAYER, WRAPPED, OTHER = "Payer", "Wrapped", "Other"
BLOCKHASH = Blockhash("hash", 1)


def request_of(mode: Mode = Mode.EXACT_IN, amount: int = 10**11, slippage_bps: int = 50) -> SwapRequest:
    return SwapRequest(mint_in=WSOL, mint_out=USDC, amount=amount, mode=mode, slippage_bps=slippage_bps)


def quotes_of(quote: Quote) -> tuple[Quote, ...]:
    found = quote.raw["quotes"]
    assert isinstance(found, tuple)
    return found


@PROPERTY
@given(st.sampled_from(Mode), st.integers(10**9, 10**12), st.integers(0, 5_000))
def test_the_bounds_of_the_parts_add_up_to_the_bound_of_the_whole(mode: Mode, amount: int, bps: int) -> None:
    request = request_of(mode, amount, bps)
    parts = split(DEPTHS, request)
    quote = quote_of(parts, request, "routes", 5_000)
    if mode is Mode.EXACT_IN:
        assert quote.amount_in == quote.max_in == amount
        assert quote.min_out == min_out(quote.amount_out, bps)
        assert sum(part.min_out for part in quotes_of(quote)) == quote.min_out
    else:
        assert quote.amount_out == quote.min_out == amount
        assert quote.max_in == max_in(quote.amount_in, bps)
        assert sum(part.max_in for part in quotes_of(quote)) == quote.max_in
    assert all(part.min_out <= part.amount_out and part.amount_in <= part.max_in for part in quotes_of(quote))


@PROPERTY
@given(st.sampled_from(Mode), st.integers(10**9, 10**12), st.integers(0, 10_000), st.integers(0, 100))
def test_parts_keep_a_bound_that_an_order_has_tightened_and_none_must_beat_its_quote(
    mode: Mode, amount: int, bps: int, percent: int
) -> None:
    request = request_of(mode, amount, bps)
    quote = quote_of(split(DEPTHS, request), request, "routes", 5_000)
    tight = replace(
        quote,
        min_out=quote.min_out + (quote.amount_out - quote.min_out) * percent // 100,
        max_in=quote.max_in - (quote.max_in - quote.amount_in) * percent // 100,
    )
    parts = bounded(quotes_of(quote), tight)
    if mode is Mode.EXACT_IN:
        assert sum(part.min_out for part in parts) == tight.min_out
    else:
        assert sum(part.max_in for part in parts) == tight.max_in
    assert all(0 <= part.min_out <= part.amount_out and part.amount_in <= part.max_in for part in parts)


@pytest.mark.parametrize("mode", Mode)
def test_a_way_through_a_third_token_keeps_a_bound_that_an_order_has_tightened(mode: Mode) -> None:
    quote = quote_of(through(DEPTHS, DEPTHS, request_of(mode), "Hop", 5), request_of(mode), "routes", 5_000)
    first, last = bounded(quotes_of(quote), replace(quote, min_out=quote.amount_out, max_in=quote.amount_in))
    assert first.max_in == quote.amount_in
    assert last.min_out == quote.amount_out
    # What is passed through is bound as before.
    assert (first.min_out, last.max_in) == (quotes_of(quote)[0].min_out, quotes_of(quote)[1].max_in)


def test_the_legs_name_pools_and_amounts_and_nothing_is_passed_through() -> None:
    quote = quote_of(split(DEPTHS, request_of()), request_of(), "routes", 5_000)
    assert quote.via == frozenset()
    assert {leg.pool for leg in quote.legs} == {"one", "two", "three"} == set(quote.route)
    assert sum(leg.amount_in for leg in quote.legs) == 10**11
    assert sum(leg.amount_out for leg in quote.legs) == quote.amount_out


def test_a_way_through_a_third_token_names_it() -> None:
    parts = through(DEPTHS, DEPTHS, request_of(), "Hop", 5)
    quote = quote_of(parts, request_of(), "routes", 5_000)
    assert quote.via == {"Hop"}
    assert (quote.amount_in, quote.amount_out) == (10**11, parts[1].quote.amount_out)
    assert quotes_of(quote) == tuple(part.quote for part in parts)
    # Two fees of 25 bps of about what each pool gives, in the output token.
    assert 40 < 10_000 * quote.fee // quote.amount_out < 60
    assert quote.price_impact_ppm == sum(part.quote.price_impact_ppm for part in parts)


def built_by(quote: Quote) -> SwapInstructions:
    """As an adapter builds a part: it opens, wraps, swaps and closes as if it was alone."""
    source, target = (
        spl.TokenAccount(WRAPPED if mint == WSOL else f"Account of {mint}", mint)
        for mint in (quote.request.mint_in, quote.request.mint_out)
    )
    swap = Instruction(f"Program of {quote.route[0]}", (), b"")
    return SwapInstructions(spl.between_accounts(PAYER, source, target, quote.max_in, (swap,)), BLOCKHASH)


def steps_of(quotes: tuple[Quote, ...]) -> tuple[Instruction, ...]:
    return instructions_of([built_by(quote) for quote in quotes], quotes, PAYER)


def lamports(steps: tuple[Instruction, ...]) -> list[int]:
    return [int.from_bytes(step.data[4:], "little") for step in steps if step.program == spl.SYSTEM]


@pytest.mark.parametrize("mode", Mode)
def test_a_divided_sale_of_sol_wraps_once_and_closes_once_at_the_end(mode: Mode) -> None:
    quote = quote_of(split(DEPTHS, request_of(mode)), request_of(mode), "routes", 5_000)
    steps = steps_of(quotes_of(quote))
    assert lamports(steps) == [quote.max_in]
    assert [step.program for step in steps].count(spl.ASSOCIATED_TOKEN) == 2
    assert [step.data for step in steps].count(spl.SYNC_NATIVE) == 1
    assert [step.data for step in steps].count(spl.CLOSE_ACCOUNT) == 1
    assert steps[-1].data == spl.CLOSE_ACCOUNT
    swaps = [place for place, step in enumerate(steps) if step.program.startswith("Program of")]
    assert len(swaps) == 3
    assert swaps[0] > next(place for place, step in enumerate(steps) if step.data == spl.SYNC_NATIVE)


def test_sol_that_is_only_passed_through_is_not_wrapped() -> None:
    request = replace(request_of(), mint_in=OTHER)
    parts = through(DEPTHS, DEPTHS, request, WSOL, 5)
    steps = steps_of(tuple(part.quote for part in parts))
    assert lamports(steps) == []
    assert spl.SYNC_NATIVE not in [step.data for step in steps]
    assert [step.data for step in steps].count(spl.CLOSE_ACCOUNT) == 1
    assert steps[-1].data == spl.CLOSE_ACCOUNT
    assert [step.program for step in steps].count(spl.ASSOCIATED_TOKEN) == 2


def test_tokens_that_are_no_sol_need_nothing_wrapped_or_closed() -> None:
    request = replace(request_of(), mint_in=OTHER)
    parts: tuple[Part, ...] = split(DEPTHS, request)
    steps = steps_of(tuple(part.quote for part in parts))
    assert [step.program for step in steps].count(spl.ASSOCIATED_TOKEN) == 1
    assert len(steps) == 1 + len(parts)

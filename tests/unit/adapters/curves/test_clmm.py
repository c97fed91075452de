"""Raydium CLMM is priced like the program does, to the unit, and what no run confirmed is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dexexec_adapters.curves.clmm import (
    MOST_RANGES,
    ClmmConfig,
    ClmmPool,
    arrays_ahead,
    quote_exact_in,
    quote_exact_out,
    with_neighbours,
)
from dexexec_adapters.curves.clmm_ticks import MAX_SQRT_PRICE, MIN_SQRT_PRICE, Tick, TickArray, sqrt_price_at
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import ChainTime, CurveError, MissingArray, Refusal, SwapResult, TradeDirection
from tests.support.clmm_pools import CONFIG, Position, pool_of_positions, pool_of_ticks
from tests.support.curve_values import A_TO_B, B_TO_A, NOW
from tests.vectors.accounts import load

SPAN = 60 * 60
"""Ticks of an array whose spacing is 60."""
POSITIONS = (Position(-600, 600, 10**12), Position(-6000, 6000, 10**11), Position(-60_000, 60_000, 10**10))
POOL = pool_of_positions(POSITIONS, tick=7, beyond=1234)


def recorded_pool(record: dict[str, Any]) -> ClmmPool:
    trade, protocol, fund = record["rates"]
    return pool_of_ticks(
        [Tick(index, int(net)) for index, net in record["ticks"]],
        tick_current=record["tick"],
        sqrt_price=int(record["sqrtPrice"]),
        liquidity=int(record["liquidity"]),
        spacing=record["spacing"],
        config=ClmmConfig(trade_fee_rate=trade, protocol_fee_rate=protocol, fund_fee_rate=fund),
    )


def swap(pool: ClmmPool, amount: int, direction: TradeDirection, *, exact_in: bool) -> SwapResult[ClmmPool]:
    return (quote_exact_in if exact_in else quote_exact_out)(pool, amount, direction, NOW)


# ---- what the program did ------------------------------------------------------------------------------------------


def test_every_recorded_swap_and_the_pool_after_it_come_out_to_the_unit() -> None:
    swaps = refused = 0
    for record in load("clmm.json"):
        pool = recorded_pool(record)
        for recorded in record["swaps"]:
            direction = TradeDirection(recorded["direction"])
            if recorded.get("refused"):
                with pytest.raises(CurveError):
                    swap(pool, recorded["amount"], direction, exact_in=recorded["exactIn"])
                refused += 1
                continue
            result = swap(pool, recorded["amount"], direction, exact_in=recorded["exactIn"])
            assert (result.amount_in, result.amount_out) == (recorded["amountIn"], recorded["amountOut"])
            assert result.protocol_fee == recorded["protocolFee"]
            pool = result.pool_after
            assert pool.sqrt_price == int(recorded["sqrtPrice"])
            assert pool.tick_current == recorded["tick"]
            assert pool.liquidity == int(recorded["liquidity"])
            swaps += 1
    assert (swaps, refused) == (237, 40)


def test_swaps_of_mainnet_come_out_to_the_unit_from_the_ticks_on_their_way() -> None:
    seen = 0
    for record in load("clmm_mainnet.json"):
        [recorded] = record["swaps"]
        direction = TradeDirection(recorded["direction"])
        result = swap(recorded_pool(record), recorded["amount"], direction, exact_in=recorded["exactIn"])
        assert (result.amount_in, result.amount_out) == (recorded["amountIn"], recorded["amountOut"]), record[
            "signature"
        ]
        seen += 1
    assert seen == 17


# ---- where the price needs accounts --------------------------------------------------------------------------------


def test_a_swap_reports_the_arrays_that_it_needs_in_its_order() -> None:
    deep = quote_exact_in(POOL, 6 * 10**10, A_TO_B, NOW)
    assert deep.arrays == (0, -SPAN, -2 * SPAN)
    assert quote_exact_in(POOL, 10**6, B_TO_A, NOW).arrays == (0,)
    assert quote_exact_in(POOL, 10**6, A_TO_B, NOW).arrays == (0, -SPAN), (
        "the current array, though it has no tick below"
    )
    assert arrays_ahead(POOL, 2, a_to_b=True) == [0, -SPAN]
    assert arrays_ahead(POOL, 9, a_to_b=False) == [0, SPAN, 16 * SPAN]


@pytest.mark.parametrize("quote", [quote_exact_in, quote_exact_out])
def test_an_array_that_was_not_read_is_named_with_the_next_ones_and_never_guessed(
    quote: Callable[..., SwapResult[ClmmPool]],
) -> None:
    with pytest.raises(MissingArray, match="the arrays 0, 3600, 57600 were not read") as missing:
        quote(replace(POOL, arrays={}), 5, B_TO_A, NOW)
    assert missing.value.indexes == (0, SPAN, 16 * SPAN)
    arrays = {start: array for start, array in POOL.arrays.items() if start != SPAN}
    shallow = replace(POOL, arrays=arrays)
    assert quote(shallow, 5, B_TO_A, NOW).arrays == (0,), "an array that the swap does not reach is not needed"
    with pytest.raises(MissingArray) as missing:
        quote(shallow, 10**11, B_TO_A, NOW)
    assert missing.value.indexes == (SPAN, 16 * SPAN)


def test_a_price_in_a_gap_needs_no_array_of_its_own() -> None:
    pool = pool_of_positions([Position(7200, 7260, 10**12)], tick=0)
    bought = quote_exact_in(pool, 10**6, B_TO_A, NOW)
    assert bought.arrays == (2 * SPAN,)
    with pytest.raises(CurveError, match="more than the pool's liquidity") as refused:
        quote_exact_in(pool, 10**6, A_TO_B, NOW)
    assert refused.value.code is Refusal.INSUFFICIENT_LIQUIDITY


def test_a_swap_names_an_array_more_at_each_end_as_far_as_there_is_room() -> None:
    assert with_neighbours(POOL, (0,), 8, a_to_b=False) == (-SPAN, 0, SPAN)
    assert with_neighbours(POOL, (0, -SPAN), 8, a_to_b=True) == (SPAN, 0, -SPAN, -2 * SPAN)
    assert with_neighbours(POOL, (0, -SPAN), 3, a_to_b=True) == (0, -SPAN, -2 * SPAN)
    assert with_neighbours(POOL, (0, -SPAN), 2, a_to_b=True) == (0, -SPAN)
    to_the_end = (0, SPAN, 16 * SPAN)
    assert with_neighbours(POOL, to_the_end, 8, a_to_b=False) == (-SPAN, *to_the_end), "no array follows the last one"


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "code", "text"),
    [
        (replace(POOL, status=16), Refusal.CLOSED, "swaps are disabled"),
        (replace(POOL, open_time=NOW.unix_timestamp), Refusal.CLOSED, "opens after"),
        (replace(POOL, has_dynamic_fee=True), Refusal.UNSUPPORTED, "dynamic fee"),
        (replace(POOL, fee_on=1), Refusal.UNSUPPORTED, "fee_on is 1"),
        (replace(POOL, tick_spacing=0), Refusal.UNSUPPORTED, "spacing 0"),
        (replace(POOL, tick_current=500_000), Refusal.UNSUPPORTED, "tick 500000"),
        (replace(POOL, sqrt_price=0), Refusal.PRICE_RANGE, "sqrt_price is 0"),
        (replace(POOL, sqrt_price=MIN_SQRT_PRICE + 1), Refusal.PRICE_RANGE, "sqrt_price"),
        (replace(POOL, sqrt_price=MAX_SQRT_PRICE), Refusal.PRICE_RANGE, "sqrt_price"),
        (replace(POOL, sqrt_price=sqrt_price_at(-700)), Refusal.PRICE_RANGE, "not ahead of the price"),
        (replace(POOL, liquidity=1), Refusal.MATH_OVERFLOW, "the liquidity would be -"),
        (
            replace(POOL, arrays={0: TickArray(0, ()), -SPAN: TickArray(-SPAN, ())}),
            Refusal.INSUFFICIENT_LIQUIDITY,
            "no",
        ),
    ],
)
def test_a_pool_that_cannot_be_swapped_with_or_priced_is_refused_with_the_reason(
    pool: ClmmPool, code: Refusal, text: str
) -> None:
    for quote in (quote_exact_in, quote_exact_out):
        with pytest.raises(CurveError, match=text) as refused:
            quote(pool, 4 * 10**9, A_TO_B, NOW)
        assert refused.value.code is code


def test_a_pool_opens_in_the_second_after_its_opening_time() -> None:
    pool = replace(POOL, open_time=NOW.unix_timestamp)
    later = ChainTime(NOW.slot, NOW.unix_timestamp + 1)
    assert quote_exact_in(pool, 10**6, A_TO_B, later).amount_out > 0


def test_limit_orders_are_refused_only_where_the_swap_reaches_their_tick() -> None:
    array = POOL.arrays[-SPAN]
    ticks = tuple(tick._replace(has_orders=tick.at == -600) for tick in array.ticks)
    pool = replace(POOL, arrays={**POOL.arrays, -SPAN: TickArray(-SPAN, ticks)})
    with pytest.raises(CurveError, match="tick -600 has limit orders") as refused:
        quote_exact_in(pool, 6 * 10**10, A_TO_B, NOW)
    assert refused.value.code is Refusal.UNSUPPORTED
    assert quote_exact_in(pool, 10**9, B_TO_A, NOW).amount_out > 0


def test_a_swap_through_more_ticks_than_a_transaction_can_compute_is_refused() -> None:
    pool = pool_of_positions([Position(-step, step, 10**9) for step in range(1, MOST_RANGES + 2)], tick=0, spacing=1)
    for quote in (quote_exact_in, quote_exact_out):
        most = quote(pool, 120_000_000, A_TO_B, NOW)
        assert most.pool_after.tick_current < -40
        with pytest.raises(CurveError, match="crosses more than 71 ticks"):
            quote(pool, 10**9, A_TO_B, NOW)


@pytest.mark.parametrize("amount", [0, -1, U64_MAX + 1])
def test_amounts_that_no_token_account_can_hold_are_refused(amount: int) -> None:
    for quote in (quote_exact_in, quote_exact_out):
        with pytest.raises(CurveError) as refused:
            quote(POOL, amount, A_TO_B, NOW)
        assert refused.value.code is Refusal.INVALID_AMOUNT


def test_an_amount_that_fees_and_rounding_eat_up_is_refused() -> None:
    with pytest.raises(CurveError) as refused:
        quote_exact_in(POOL, 1, A_TO_B, NOW)
    assert refused.value.code is Refusal.ZERO_OUTPUT


def test_the_whole_range_ends_at_the_last_price_of_the_program() -> None:
    pool = pool_of_positions([Position(-443_636, 443_636, 10**9)], tick=0, spacing=4)
    for direction in TradeDirection:
        with pytest.raises(CurveError, match="end of the program's range") as refused:
            quote_exact_in(pool, U64_MAX, direction, NOW)
        assert refused.value.code is Refusal.PRICE_RANGE


@pytest.mark.parametrize("rates", [(-1, 0, 0), (10**6, 0, 0), (0, -1, 0), (0, 600_000, 500_000)])
def test_rates_that_leave_nothing_are_an_error(rates: tuple[int, int, int]) -> None:
    trade, protocol, fund = rates
    with pytest.raises(ValueError, match="rate"):
        ClmmConfig(trade_fee_rate=trade, protocol_fee_rate=protocol, fund_fee_rate=fund)


def test_the_impact_is_that_of_the_size_alone() -> None:
    small = quote_exact_in(POOL, 10**6, B_TO_A, NOW)
    large = quote_exact_in(POOL, 10**9, B_TO_A, NOW)
    assert small.price_impact_ppm <= 3
    # In a range of constant liquidity the average price is off by the part by which the root moves.
    moved = large.pool_after.sqrt_price / POOL.sqrt_price - 1
    assert large.price_impact_ppm == pytest.approx(moved * 1e6, abs=2)
    assert (small.fee_in, small.fee_out) == (2_500, 0)
    assert small.protocol_fee == 2_500 * CONFIG.protocol_fee_rate // 10**6

"""Orca's Whirlpools are priced like the program does: where it stops, what it needs, and how its fee moves."""

from dataclasses import replace
from typing import Any

import pytest

from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import ChainTime, CurveError, MissingArray, Refusal, TradeDirection
from dexexec_adapters.curves.ticks import MAX_TICK, MIN_TICK
from dexexec_adapters.curves.whirlpool import Whirlpool, quote_exact_in, quote_exact_out
from dexexec_adapters.curves.whirlpool_fees import MOST_FEE_RATE, AdaptiveFee
from dexexec_adapters.curves.whirlpool_ticks import (
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    array_starts,
    sqrt_price_at,
    tick_at,
)
from tests.support.curve_values import A_TO_B, B_TO_A, NOW
from tests.support.whirlpool_pools import FEE, Position, pool_of_positions

SPAN = 88 * 64
WIDE = Position(-SPAN * 10, SPAN * 10, 10**12)
POOL = pool_of_positions([WIDE, Position(-640, 640, 10**12)], tick=7, beyond=1234)
ADAPTIVE = replace(POOL, adaptive_fee=FEE)


def refused(pool: Whirlpool, amount: int, direction: TradeDirection, now: ChainTime = NOW) -> Refusal:
    codes = set()
    for quote in (quote_exact_in, quote_exact_out):
        with pytest.raises(CurveError) as error:
            quote(pool, amount, direction, now)
        codes.add(error.value.code)
    [code] = codes
    return code


# ---- prices of ticks -----------------------------------------------------------------------------------------------


def test_the_prices_of_the_first_the_middle_and_the_last_tick_are_the_programs() -> None:
    assert [sqrt_price_at(tick) for tick in (MIN_TICK, 0, MAX_TICK)] == [MIN_SQRT_PRICE, 2**64, MAX_SQRT_PRICE]
    for tick in (MIN_TICK - 1, MAX_TICK + 1):
        with pytest.raises(CurveError, match="out of range"):
            sqrt_price_at(tick)


@pytest.mark.parametrize("tick", [MIN_TICK, -65_537, -1, 0, 1, 64, 262_144, MAX_TICK - 1])
def test_a_price_has_the_greatest_tick_that_is_not_above_it(tick: int) -> None:
    price, above = sqrt_price_at(tick), sqrt_price_at(tick + 1)
    assert above / price == pytest.approx(1.0001**0.5, abs=2e-9)
    assert [tick_at(price), tick_at(above - 1), tick_at(above)] == [tick, tick, tick + 1]


# ---- the way through arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tick", "down", "up"),
    [
        (7, [0, -1, -2], [0, 1, 2]),
        (-1, [-1, -2, -3], [0, 1, 2]),
        (SPAN - 64, [0, -1, -2], [1, 2, 3]),
        (SPAN - 65, [0, -1, -2], [0, 1, 2]),
        (MIN_TICK, [-79], [-79, -78, -77]),
        (MAX_TICK - 100, [78, 77, 76], [78]),
    ],
)
def test_a_swap_may_pass_through_three_arrays_and_none_beyond_the_programs_range(
    tick: int, down: list[int], up: list[int]
) -> None:
    assert array_starts(tick, 64, a_to_b=True) == tuple(number * SPAN for number in down)
    assert array_starts(tick, 64, a_to_b=False) == tuple(number * SPAN for number in up)


def test_an_array_that_was_not_read_is_named_with_those_behind_it_and_never_guessed() -> None:
    unread = replace(POOL, arrays={0: POOL.arrays[0]})
    assert quote_exact_in(unread, 10**6, B_TO_A, NOW).arrays == (0, SPAN, 2 * SPAN)
    for amount, direction, indexes in ((10**12, B_TO_A, (SPAN, 2 * SPAN)), (10**12, A_TO_B, (-SPAN, -2 * SPAN))):
        with pytest.raises(MissingArray) as missing:
            quote_exact_in(unread, amount, direction, NOW)
        assert missing.value.indexes == indexes


@pytest.mark.parametrize("direction", TradeDirection)
def test_a_swap_beyond_the_third_array_is_refused_and_one_to_its_end_is_not(direction: TradeDirection) -> None:
    assert refused(POOL, 10**13, direction) is Refusal.INSUFFICIENT_LIQUIDITY
    low, high = 0, 10**13
    while high - low > 1:
        middle = (low + high) // 2
        try:
            quote_exact_in(POOL, middle, direction, NOW)
        except CurveError:
            high = middle
        else:
            low = middle
    after = quote_exact_in(POOL, low, direction, NOW).pool_after
    edge = -2 * SPAN if direction is A_TO_B else 3 * SPAN - 1
    assert abs(after.tick_current - edge) <= 1


@pytest.mark.parametrize("direction", TradeDirection)
def test_a_gap_without_liquidity_costs_nothing_to_cross(direction: TradeDirection) -> None:
    pool = pool_of_positions([Position(-6400, -640, 10**12), Position(640, 6400, 10**12)], tick=0)
    result = quote_exact_in(pool, 10**6, direction, NOW)
    assert pool.liquidity == 0
    assert result.pool_after.liquidity == 10**12
    assert abs(result.pool_after.tick_current) >= 640


def test_a_price_at_a_tick_belongs_to_the_tick_below_after_it_was_crossed_downwards() -> None:
    exact = quote_exact_in(pool_of_positions([WIDE], tick=64, beyond=0), 10, A_TO_B, NOW).pool_after
    assert exact.tick_current == 63
    pool = pool_of_positions([Position(0, 640, 10**12), Position(-640, 0, 10**9)], tick=0)
    down = quote_exact_in(pool, 10**4, A_TO_B, NOW).pool_after
    assert (down.liquidity, down.tick_current < 0) == (10**9, True)


# ---- what the program refuses --------------------------------------------------------------------------------------


def test_what_the_program_would_refuse_or_fill_in_part_is_refused() -> None:
    edge = pool_of_positions([Position(443_520, 443_584, 10**4)], tick=443_530)
    assert refused(edge, 10**15, B_TO_A) is Refusal.PRICE_RANGE
    assert refused(replace(edge, sqrt_price=MAX_SQRT_PRICE), 1, B_TO_A) is Refusal.PRICE_RANGE
    assert refused(replace(POOL, opens_at=NOW.unix_timestamp + 1), 10**6, A_TO_B) is Refusal.CLOSED
    assert refused(POOL, U64_MAX + 1, A_TO_B) is Refusal.INVALID_AMOUNT
    with pytest.raises(CurveError) as nothing:
        quote_exact_in(POOL, 1, A_TO_B, NOW)
    assert nothing.value.code is Refusal.ZERO_OUTPUT
    with pytest.raises(CurveError) as large:
        quote_exact_in(replace(POOL, liquidity=2**128 - 1), 10**6, A_TO_B, NOW)
    assert large.value.code is Refusal.MATH_OVERFLOW


@pytest.mark.parametrize(
    "wrong", [{"tick_spacing": 0}, {"tick_current": MAX_TICK + 1}, {"sqrt_price": 0}, {"protocol_fee_rate": 10_001}]
)
def test_values_that_no_pool_has_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"price|protocol_fee_rate"):
        replace(POOL, **wrong)


@pytest.mark.parametrize("wrong", [{"group_size": 0}, {"max_volatility": 2**32 - 1}, {"major_swap_ticks": 0}])
def test_constants_of_an_adaptive_fee_that_the_program_refuses_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="impossible"):
        replace(FEE, **wrong)
    with pytest.raises(ValueError, match="above max_volatility"):
        replace(FEE, volatility_reference=FEE.max_volatility + 1)


# ---- the adaptive fee ----------------------------------------------------------------------------------------------


def test_the_first_group_has_the_static_fee_and_each_further_one_a_higher_one() -> None:
    near = quote_exact_in(ADAPTIVE, 10**6, A_TO_B, NOW)
    assert near.fee_in == quote_exact_in(POOL, 10**6, A_TO_B, NOW).fee_in
    fees = [quote_exact_in(ADAPTIVE, amount, A_TO_B, NOW).fee_in / amount for amount in (10**9, 10**10, 10**11)]
    assert near.fee_in / 10**6 < fees[0] < fees[1] < fees[2] < MOST_FEE_RATE / 10**6


def test_a_large_swap_raises_the_fee_of_the_next_one_until_it_decays() -> None:
    after = quote_exact_in(ADAPTIVE, 10**11, A_TO_B, NOW).pool_after
    assert after.adaptive_fee is not None
    assert after.adaptive_fee.major_swap_at == NOW.unix_timestamp

    def fee(seconds: int) -> int:
        return quote_exact_in(after, 10**8, B_TO_A, ChainTime(1, NOW.unix_timestamp + seconds)).fee_in

    assert fee(0) == fee(29) > fee(30) > fee(600) == fee(3_601)
    with pytest.raises(CurveError, match="last swap"):
        fee(-1)


def test_the_fee_is_at_most_a_tenth_and_without_a_control_factor_only_the_static_one() -> None:
    wild = replace(ADAPTIVE, adaptive_fee=replace(FEE, control_factor=99_999, max_volatility=10_000_000))
    assert quote_exact_in(wild, 10**11, A_TO_B, NOW).fee_in < 10**11 * MOST_FEE_RATE // 10**6
    assert FEE.rate(FEE.max_volatility) <= MOST_FEE_RATE
    calm = replace(ADAPTIVE, adaptive_fee=replace(FEE, control_factor=0))
    same, fixed = (quote_exact_in(pool, 10**11, A_TO_B, NOW) for pool in (calm, POOL))
    assert (same.amount_out, same.fee_in) == (fixed.amount_out, fixed.fee_in)
    assert isinstance(same.pool_after.adaptive_fee, AdaptiveFee)

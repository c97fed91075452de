"""Meteora DAMM v2 is priced like the program does, to the unit, and never in favour of the swapping wallet."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from dexexec_adapters.curves.damm_v2 import (
    BOTH_TOKENS,
    BY_SLOT,
    BY_TIMESTAMP,
    COMPOUNDING,
    ONLY_B,
    DammV2Pool,
    liquidity_from_b,
    quote_exact_in,
    quote_exact_out,
    range_reserves,
    sqrt_price_from_amounts,
)
from dexexec_adapters.curves.damm_v2_fees import BaseFee
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import ChainTime, CurveError, Refusal, SwapResult, TradeDirection
from tests.support.curve_values import A_TO_B, B_TO_A, NOW, VOLATILE
from tests.vectors.accounts import damm_v2_pool, load

RECORDS = load("damm_v2.json")

# 150 USDC per SOL between 50 and 400, from 3,750,000 USDC of B.
PRICE, LOWEST, HIGHEST = (sqrt_price_from_amounts(10**9, usdc * 10**6) for usdc in (150, 50, 400))
LIQUIDITY = liquidity_from_b(3_750_000 * 10**6, PRICE, LOWEST)
RESERVES = range_reserves(LIQUIDITY, PRICE, LOWEST, HIGHEST)
SOL_USDC = DammV2Pool(
    base_fee=BaseFee(cliff_fee_numerator=2_500_000),
    dynamic_fee=None,
    liquidity=LIQUIDITY,
    sqrt_price=PRICE,
    token_a_amount=RESERVES[0],
    token_b_amount=RESERVES[1],
    sqrt_min_price=LOWEST,
    sqrt_max_price=HIGHEST,
    collect_fee_mode=ONLY_B,
)


def recorded_swap(pool: DammV2Pool, swap: dict[str, Any]) -> SwapResult[DammV2Pool]:
    direction = TradeDirection(swap["direction"])
    now = ChainTime(swap["slot"], swap["unix"])
    if swap["kind"] == "exact_in":
        return quote_exact_in(pool, swap["amount_in"], direction, now)
    return quote_exact_out(pool, swap["amount_out"], direction, now)


# ---- what the program did ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", RECORDS, ids=[record["pool"] for record in RECORDS])
def test_every_recorded_swap_and_the_account_it_ends_in_come_out_to_the_unit(record: dict[str, Any]) -> None:
    """Amounts, reserves, price, protocol and position fees, volatility: the whole state, over all forty swaps."""
    pool = damm_v2_pool(record["account_at_start"])
    for number, swap in enumerate(record["swaps"]):
        result = recorded_swap(pool, swap)
        assert (result.amount_in, result.amount_out) == (swap["amount_in"], swap["amount_out"]), number
        pool = result.pool_after
    assert pool == damm_v2_pool(record["account_at_end"])


@pytest.mark.parametrize("record", RECORDS, ids=[record["pool"] for record in RECORDS])
def test_every_recorded_swap_with_its_account_comes_out_to_the_unit_from_that_account_alone(
    record: dict[str, Any],
) -> None:
    swaps = [swap for swap in record["swaps"] if "pool_before" in swap]
    assert len(swaps) == 6
    for swap in swaps:
        result = recorded_swap(damm_v2_pool(swap["pool_before"]), swap)
        assert (result.amount_in, result.amount_out) == (swap["amount_in"], swap["amount_out"])


@pytest.mark.parametrize("record", RECORDS, ids=[record["pool"] for record in RECORDS])
def test_a_new_pool_holds_what_its_liquidity_and_price_imply(record: dict[str, Any]) -> None:
    pool = damm_v2_pool(record["account_at_start"])
    amounts = pool.token_a_amount, pool.token_b_amount
    if pool.collect_fee_mode == COMPOUNDING:
        assert sqrt_price_from_amounts(*amounts) == pool.sqrt_price
    else:
        assert range_reserves(pool.liquidity, pool.sqrt_price, pool.sqrt_min_price, pool.sqrt_max_price) == amounts


def test_liquidity_from_an_amount_of_b_is_backed_by_just_that_amount() -> None:
    assert SOL_USDC.token_b_amount == 3_750_000 * 10**6


def test_a_pool_that_did_not_track_its_reserves_counts_them_at_its_next_swap() -> None:
    untracked = replace(SOL_USDC, token_a_amount=0, token_b_amount=0, layout_version=0)
    results = [quote_exact_in(pool, 10**9, A_TO_B, NOW) for pool in (untracked, SOL_USDC)]
    assert results[0] == results[1]


# ---- where the fee is taken, and how it is split ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "direction", "on_input", "token"),
    [
        (BOTH_TOKENS, A_TO_B, False, "b"),
        (BOTH_TOKENS, B_TO_A, False, "a"),
        (ONLY_B, A_TO_B, False, "b"),
        (ONLY_B, B_TO_A, True, "b"),
        (COMPOUNDING, A_TO_B, False, "b"),
        (COMPOUNDING, B_TO_A, True, "b"),
    ],
)
def test_the_fee_is_taken_from_the_side_of_the_collect_fee_mode(
    mode: int, direction: TradeDirection, on_input: bool, token: str
) -> None:
    pool = replace(SOL_USDC, collect_fee_mode=mode)
    for result in (quote_exact_in(pool, 10**8, direction, NOW), quote_exact_out(pool, 10**8, direction, NOW)):
        assert (result.fee_in > 0, result.fee_out > 0) == (on_input, not on_input)
        after = result.pool_after
        booked = {"a": after.protocol_a_fee, "b": after.protocol_b_fee}
        assert booked.pop(token) == result.protocol_fee == (result.fee_in + result.fee_out) // 5
        assert list(booked.values()) == [0]


def test_a_compounding_pool_puts_its_part_of_the_fee_back_into_reserve_b() -> None:
    pool = replace(
        SOL_USDC, collect_fee_mode=COMPOUNDING, compounding_fee_bps=5_000, token_a_amount=10**9, token_b_amount=10**9
    )
    result = quote_exact_in(pool, 10**6, B_TO_A, NOW)
    assert (result.fee_in, result.protocol_fee, result.amount_out) == (2_500, 500, 996_505)
    assert result.pool_after.token_a_amount == 10**9 - 996_505
    assert result.pool_after.token_b_amount == 10**9 + 997_500 + 1_000


@pytest.mark.parametrize(("activation_type", "fee"), [(BY_SLOT, 4_000_000), (BY_TIMESTAMP, 3_000_000)])
def test_a_schedule_runs_on_the_clock_the_pool_chose(activation_type: int, fee: int) -> None:
    schedule = BaseFee(
        cliff_fee_numerator=5_000_000,
        base_fee_mode=0,
        number_of_period=4,
        period_frequency=1_000,
        reduction_factor=1_000_000,
    )
    pool = replace(SOL_USDC, base_fee=schedule, activation_type=activation_type, activation_point=10_000)
    result = quote_exact_in(pool, 10**9, B_TO_A, ChainTime(slot=11_000, unix_timestamp=12_000))
    assert result.fee_in == fee


def test_a_swap_pays_for_the_moves_before_it_not_for_its_own() -> None:
    pool = replace(SOL_USDC, base_fee=BaseFee(cliff_fee_numerator=2_500_000), dynamic_fee=VOLATILE)
    first = quote_exact_in(pool, 500_000 * 10**6, B_TO_A, NOW)
    calm = quote_exact_in(first.pool_after, 10**9, B_TO_A, NOW)
    assert first.fee_in == 500_000 * 2_500
    assert calm.fee_in == 2_500_000 + 9_188


# ---- price impact ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", TradeDirection)
def test_a_higher_fee_raises_the_cost_but_not_the_price_impact(direction: TradeDirection) -> None:
    dear = replace(SOL_USDC, base_fee=BaseFee(cliff_fee_numerator=10_000_000), collect_fee_mode=ONLY_B)
    pool = replace(dear, base_fee=BaseFee(cliff_fee_numerator=2_500_000))
    if direction is A_TO_B:
        low, high = (quote_exact_in(each, 100 * 10**9, direction, NOW) for each in (pool, dear))
    else:
        low, high = (quote_exact_out(each, 100 * 10**9, direction, NOW) for each in (pool, dear))
    assert low.price_impact_ppm == high.price_impact_ppm > 0
    assert (low.fee_in + low.fee_out) * 3 < high.fee_in + high.fee_out


@pytest.mark.parametrize("direction", TradeDirection)
@pytest.mark.parametrize("mode", [BOTH_TOKENS, COMPOUNDING])
def test_price_impact_is_what_the_curve_itself_takes_off_the_spot_price(direction: TradeDirection, mode: int) -> None:
    pool = replace(SOL_USDC, collect_fee_mode=mode, base_fee=BaseFee(cliff_fee_numerator=100_000_000))
    if mode == COMPOUNDING:
        pool = replace(pool, compounding_fee_bps=5_000)
        pool = replace(pool, sqrt_price=sqrt_price_from_amounts(pool.token_a_amount, pool.token_b_amount))
    result = quote_exact_in(pool, 10**11, direction, NOW)
    spot = Fraction(pool.sqrt_price, 1 << 64) ** 2
    price = Fraction(result.amount_out + result.fee_out, result.amount_in - result.fee_in)
    worse = 1 - price / (spot if direction is A_TO_B else 1 / spot)
    assert result.price_impact_ppm > 100
    assert abs(result.price_impact_ppm - worse * 1_000_000) < 2


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "amount", "code", "message"),
    [
        (SOL_USDC, 0, Refusal.INVALID_AMOUNT, "amount_in is 0"),
        (SOL_USDC, U64_MAX + 1, Refusal.INVALID_AMOUNT, "from 1 to 18446744073709551615"),
        (SOL_USDC, 1, Refusal.ZERO_OUTPUT, "too small"),
        (SOL_USDC, 10, Refusal.ZERO_OUTPUT, "too small"),  # the curve gives one unit, and the fee takes it
        (SOL_USDC, U64_MAX, Refusal.PRICE_RANGE, "sqrt_price"),
        (replace(SOL_USDC, token_b_amount=10), 10**9, Refusal.INSUFFICIENT_LIQUIDITY, "reserve"),
        (replace(SOL_USDC, liquidity=0), 10**9, Refusal.INSUFFICIENT_LIQUIDITY, "liquidity is 0"),
        (replace(SOL_USDC, token_a_amount=U64_MAX), 10**9, Refusal.MATH_OVERFLOW, "token_a_amount"),
        (replace(SOL_USDC, pool_status=1), 10**9, Refusal.CLOSED, "pool_status is 1"),
        (replace(SOL_USDC, activation_point=NOW.slot + 1), 10**9, Refusal.CLOSED, "opens at 400000001"),
        (
            replace(SOL_USDC, base_fee=BaseFee(cliff_fee_numerator=50, base_fee_mode=2)),
            10**9,
            Refusal.UNSUPPORTED,
            "rate limiter",
        ),
        (
            replace(SOL_USDC, base_fee=BaseFee(cliff_fee_numerator=50, base_fee_mode=3)),
            10**9,
            Refusal.UNSUPPORTED,
            "market-cap scheduler",
        ),
        (
            replace(SOL_USDC, base_fee=BaseFee(cliff_fee_numerator=50, base_fee_mode=4)),
            10**9,
            Refusal.UNSUPPORTED,
            "market-cap scheduler",
        ),
        (
            replace(SOL_USDC, base_fee=BaseFee(cliff_fee_numerator=50, base_fee_mode=5)),
            10**9,
            Refusal.UNSUPPORTED,
            "base_fee_mode is 5",
        ),
        (replace(SOL_USDC, collect_fee_mode=3), 10**9, Refusal.UNSUPPORTED, "collect_fee_mode is 3"),
        (replace(SOL_USDC, activation_type=2), 10**9, Refusal.UNSUPPORTED, "activation_type is 2"),
        (replace(SOL_USDC, fee_version=2), 10**9, Refusal.UNSUPPORTED, "fee_version is 2"),
        (
            replace(SOL_USDC, collect_fee_mode=COMPOUNDING, token_a_amount=0),
            10**9,
            Refusal.INSUFFICIENT_LIQUIDITY,
            "reserves are 0",
        ),
    ],
)
def test_a_swap_that_cannot_be_done_or_priced_is_refused_with_a_code(
    pool: DammV2Pool, amount: int, code: Refusal, message: str
) -> None:
    with pytest.raises(CurveError, match=message) as refused:
        quote_exact_in(pool, amount, A_TO_B, NOW)
    assert refused.value.code is code


@pytest.mark.parametrize(
    ("pool", "amount", "direction", "code"),
    [
        (SOL_USDC, 0, A_TO_B, Refusal.INVALID_AMOUNT),
        (SOL_USDC, 3_750_001 * 10**6, A_TO_B, Refusal.PRICE_RANGE),
        (SOL_USDC, SOL_USDC.token_a_amount + 1, B_TO_A, Refusal.PRICE_RANGE),
        (SOL_USDC, 10**17, B_TO_A, Refusal.INSUFFICIENT_LIQUIDITY),
        (replace(SOL_USDC, liquidity=PRICE * 10**9), 10**9, B_TO_A, Refusal.INSUFFICIENT_LIQUIDITY),
        (
            replace(SOL_USDC, collect_fee_mode=COMPOUNDING),
            SOL_USDC.token_a_amount,
            B_TO_A,
            Refusal.INSUFFICIENT_LIQUIDITY,
        ),
        (replace(SOL_USDC, collect_fee_mode=COMPOUNDING), SOL_USDC.token_a_amount - 1, B_TO_A, Refusal.MATH_OVERFLOW),
    ],
)
def test_an_output_the_pool_cannot_give_is_refused_with_a_code(
    pool: DammV2Pool, amount: int, direction: TradeDirection, code: Refusal
) -> None:
    with pytest.raises(CurveError) as refused:
        quote_exact_out(pool, amount, direction, NOW)
    assert refused.value.code is code


def test_a_cost_that_only_its_fee_lifts_beyond_a_token_account_is_refused() -> None:
    pool = replace(SOL_USDC, collect_fee_mode=COMPOUNDING, token_a_amount=10**9, token_b_amount=10**9, fee_version=1)
    with pytest.raises(CurveError, match="amount_in would be") as refused:
        quote_exact_out(replace(pool, base_fee=BaseFee(cliff_fee_numerator=990_000_000)), 10**9 - 1, B_TO_A, NOW)
    assert refused.value.code is Refusal.MATH_OVERFLOW


def test_a_swap_may_go_to_the_very_edge_of_the_range_but_not_past_it() -> None:
    down, up = (quote_exact_in(SOL_USDC, 10**9, direction, NOW) for direction in (A_TO_B, B_TO_A))
    low = down.pool_after.sqrt_price
    high = up.pool_after.sqrt_price
    edge = replace(SOL_USDC, sqrt_min_price=low, sqrt_max_price=high)
    assert quote_exact_in(edge, 10**9, A_TO_B, NOW).amount_out == down.amount_out
    assert quote_exact_in(edge, 10**9, B_TO_A, NOW).amount_out == up.amount_out
    for pool, direction in (
        (replace(edge, sqrt_min_price=low + 1), A_TO_B),
        (replace(edge, sqrt_max_price=high - 1), B_TO_A),
    ):
        with pytest.raises(CurveError) as refused:
            quote_exact_in(pool, 10**9, direction, NOW)
        assert refused.value.code is Refusal.PRICE_RANGE


def test_a_swap_may_take_the_last_unit_of_a_reserve() -> None:
    result = quote_exact_in(SOL_USDC, 10**9, A_TO_B, NOW)
    last = replace(SOL_USDC, token_b_amount=result.amount_out + result.fee_out)
    assert quote_exact_in(last, 10**9, A_TO_B, NOW).pool_after.token_b_amount == 0

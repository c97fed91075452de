"""Raydium CPMM is priced like the program does, to the unit, and never in favour of the swapping wallet."""

from dataclasses import replace
from typing import Any

import pytest

from dexexec_adapters.curves.cpmm import (
    BOTH_TOKENS,
    ONLY_TOKEN_0,
    ONLY_TOKEN_1,
    AmmConfig,
    CpmmPool,
    quote_exact_in,
    quote_exact_out,
)
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import CurveError, Refusal, SwapResult, TradeDirection
from tests.support.curve_values import A_TO_B, B_TO_A, NOW
from tests.vectors.accounts import cpmm_pool, load

CONFIG = AmmConfig(trade_fee_rate=2_500, protocol_fee_rate=120_000, fund_fee_rate=40_000)
SOL_USDC = CpmmPool(amm_config=CONFIG, vault_0_amount=50_000 * 10**9, vault_1_amount=7_500_000 * 10**6)
MILLION = CpmmPool(
    amm_config=replace(CONFIG, creator_fee_rate=500),
    vault_0_amount=10**6,
    vault_1_amount=10**6,
    enable_creator_fee=True,
)


def recorded_swap(pool: CpmmPool, swap: dict[str, Any]) -> SwapResult[CpmmPool]:
    direction = {"0_to_1": A_TO_B, "1_to_0": B_TO_A}[swap["direction"]]
    if swap["kind"] == "base_input":
        return quote_exact_in(pool, swap["amount_in"], direction, NOW)
    return quote_exact_out(pool, swap["amount_out"], direction, NOW)


def reserves(pool: CpmmPool, direction: TradeDirection) -> tuple[int, int]:
    reserve_0, reserve_1 = pool.reserves
    return (reserve_0, reserve_1) if direction is A_TO_B else (reserve_1, reserve_0)


# ---- what the program did ------------------------------------------------------------------------------------------


def test_every_recorded_swap_and_the_account_it_ends_in_come_out_to_the_unit() -> None:
    for record in load("cpmm.json"):
        pool = cpmm_pool(record["amm_config"], record["account_at_start"], *record["vaults_at_start"])
        for number, swap in enumerate(record["swaps"]):
            result = recorded_swap(pool, swap)
            assert (result.amount_in, result.amount_out) == (swap["amount_in"], swap["amount_out"]), number
            pool = result.pool_after
        assert pool == cpmm_pool(record["amm_config"], record["account_at_end"], *record["vaults_at_end"])


def test_every_recorded_swap_with_its_account_comes_out_to_the_unit_from_that_account_alone() -> None:
    seen = 0
    for record in load("cpmm.json"):
        for swap in record["swaps"]:
            if before := swap.get("before"):
                pool = cpmm_pool(record["amm_config"], before["pool"], before["vault_0"], before["vault_1"])
                result = recorded_swap(pool, swap)
                assert (result.amount_in, result.amount_out) == (swap["amount_in"], swap["amount_out"])
                seen += 1
    assert seen == 10


def test_no_recorded_swap_is_small_enough_for_the_old_dust_rule_to_matter() -> None:
    """The recorded build rounded a cost below one unit to 0 or 1; the current program, and this code, charge 1."""
    for record in load("cpmm.json"):
        pool = cpmm_pool(record["amm_config"], record["account_at_start"], *record["vaults_at_start"])
        for swap in record["swaps"]:
            if swap["kind"] == "base_output":
                reserve_in, reserve_out = reserves(pool, A_TO_B if swap["direction"] == "0_to_1" else B_TO_A)
                assert reserve_in * swap["amount_out"] >= reserve_out - swap["amount_out"]
            pool = recorded_swap(pool, swap).pool_after


def test_dust_that_is_worth_less_than_one_unit_costs_one_unit_and_its_fee() -> None:
    pool = CpmmPool(amm_config=CONFIG, vault_0_amount=1_000, vault_1_amount=10**9)
    result = quote_exact_out(pool, 1, A_TO_B, NOW)
    assert (result.amount_in, result.fee_in) == (2, 1)


# ---- creator fee: numbers worked out by hand from the program's formulas ---------------------------------------------


@pytest.mark.parametrize("creator_fee_on", [BOTH_TOKENS, ONLY_TOKEN_0])
def test_a_creator_fee_on_the_input_is_rounded_with_the_trade_fee_and_leaves_the_reserve(creator_fee_on: int) -> None:
    result = quote_exact_in(replace(MILLION, creator_fee_on=creator_fee_on), 100_000, A_TO_B, NOW)
    pool = result.pool_after
    assert (result.amount_out, result.fee_in, result.fee_out, result.protocol_fee) == (90_661, 300, 0, 30)
    assert (pool.vault_0_amount, pool.vault_1_amount) == (1_100_000, 909_339)
    assert (pool.protocol_fees_token_0, pool.fund_fees_token_0) == (30, 10)
    assert (pool.creator_fees_token_0, pool.creator_fees_token_1) == (50, 0)
    assert pool.reserves == (1_099_910, 909_339)


def test_a_creator_fee_on_the_output_is_taken_from_what_the_curve_gives() -> None:
    result = quote_exact_in(replace(MILLION, creator_fee_on=ONLY_TOKEN_1), 100_000, A_TO_B, NOW)
    assert (result.amount_out, result.fee_in, result.fee_out, result.protocol_fee) == (90_656, 250, 46, 30)
    assert (result.pool_after.creator_fees_token_0, result.pool_after.creator_fees_token_1) == (0, 46)
    assert result.pool_after.reserves == (1_099_960, 909_298)


def test_a_creator_fee_is_grossed_up_when_the_output_is_fixed() -> None:
    on_input = quote_exact_out(replace(MILLION, creator_fee_on=ONLY_TOKEN_1), 90_000, B_TO_A, NOW)
    assert (on_input.amount_in, on_input.fee_in, on_input.fee_out) == (99_200, 298, 0)
    assert on_input.pool_after.creator_fees_token_1 == 49
    on_output = quote_exact_out(replace(MILLION, creator_fee_on=ONLY_TOKEN_0), 90_000, B_TO_A, NOW)
    assert (on_output.amount_in, on_output.fee_in, on_output.fee_out) == (99_206, 249, 46)
    assert on_output.pool_after.creator_fees_token_0 == 46


def test_a_creator_rate_in_the_config_does_nothing_unless_the_pool_enables_it() -> None:
    off = replace(MILLION, enable_creator_fee=False)
    plain = replace(off, amm_config=CONFIG)
    result, expected = (quote_exact_in(pool, 100_000, A_TO_B, NOW) for pool in (off, plain))
    assert (result.amount_out, result.fee_in) == (expected.amount_out, expected.fee_in)


# ---- price impact ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sol", "impact_ppm"), [(1, 20), (10, 200), (100, 1_992), (1_000, 19_560)])
def test_price_impact_grows_with_size_alone(sol: int, impact_ppm: int) -> None:
    assert quote_exact_in(SOL_USDC, sol * 10**9, A_TO_B, NOW).price_impact_ppm == impact_ppm


def test_a_higher_fee_raises_the_cost_but_not_the_price_impact() -> None:
    dear = replace(SOL_USDC, amm_config=replace(CONFIG, trade_fee_rate=10_000))
    low, high = (quote_exact_out(pool, 15_000 * 10**6, A_TO_B, NOW) for pool in (SOL_USDC, dear))
    assert low.price_impact_ppm == high.price_impact_ppm
    assert low.fee_in * 3 < high.fee_in
    assert high.amount_in - high.fee_in == low.amount_in - low.fee_in


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "amount", "code", "message"),
    [
        (SOL_USDC, 0, Refusal.INVALID_AMOUNT, "amount_in is 0"),
        (SOL_USDC, U64_MAX + 1, Refusal.INVALID_AMOUNT, "from 1 to 18446744073709551615"),
        (SOL_USDC, 1, Refusal.ZERO_OUTPUT, "too small"),
        (SOL_USDC, U64_MAX, Refusal.MATH_OVERFLOW, "vault_0_amount"),
        (replace(SOL_USDC, status=4), 10**9, Refusal.CLOSED, "disabled"),
        (replace(SOL_USDC, open_time=NOW.unix_timestamp + 1), 10**9, Refusal.CLOSED, "opens at 1800000001"),
        (replace(MILLION, creator_fee_on=ONLY_TOKEN_1), 3, Refusal.ZERO_OUTPUT, "too small"),
        (replace(SOL_USDC, vault_0_amount=0), 10**9, Refusal.INSUFFICIENT_LIQUIDITY, "reserves are 0 and"),
        (replace(SOL_USDC, vault_1_amount=0), 10**9, Refusal.INSUFFICIENT_LIQUIDITY, "reserves"),
        (replace(SOL_USDC, fund_fees_token_0=10**14), 10**9, Refusal.INSUFFICIENT_LIQUIDITY, "reserves"),
        (replace(MILLION, creator_fee_on=3), 10**3, Refusal.UNSUPPORTED, "creator_fee_on is 3"),
    ],
)
def test_a_swap_the_program_would_refuse_is_refused_with_a_code(
    pool: CpmmPool, amount: int, code: Refusal, message: str
) -> None:
    with pytest.raises(CurveError, match=message) as refused:
        quote_exact_in(pool, amount, A_TO_B, NOW)
    assert refused.value.code is code


def test_neither_vault_may_outgrow_a_token_account() -> None:
    with pytest.raises(CurveError, match="vault_1_amount") as refused:
        quote_exact_in(SOL_USDC, U64_MAX, B_TO_A, NOW)
    assert refused.value.code is Refusal.MATH_OVERFLOW


@pytest.mark.parametrize(
    ("pool", "amount", "code"),
    [
        (SOL_USDC, 0, Refusal.INVALID_AMOUNT),
        (SOL_USDC, SOL_USDC.vault_1_amount, Refusal.INSUFFICIENT_LIQUIDITY),
        (SOL_USDC, SOL_USDC.vault_1_amount - 1, Refusal.MATH_OVERFLOW),
        (
            replace(SOL_USDC, protocol_fees_token_1=10**6),
            SOL_USDC.vault_1_amount - 10**6,
            Refusal.INSUFFICIENT_LIQUIDITY,
        ),
    ],
)
def test_an_output_the_pool_cannot_give_is_refused_with_a_code(pool: CpmmPool, amount: int, code: Refusal) -> None:
    with pytest.raises(CurveError) as refused:
        quote_exact_out(pool, amount, A_TO_B, NOW)
    assert refused.value.code is code


def test_a_pool_with_deposits_off_or_just_opened_still_swaps() -> None:
    pool = replace(SOL_USDC, status=3, open_time=NOW.unix_timestamp)
    assert quote_exact_in(pool, 10**9, A_TO_B, NOW).amount_out > 0


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ((-1, 0, 0, 0), "negative"),
        ((600_000, 0, 0, 400_000), "trade_fee_rate"),
        ((2_500, 900_000, 100_001, 0), "protocol_fee_rate"),
    ],
)
def test_rates_that_would_take_everything_are_no_config(rates: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AmmConfig(*rates)


def test_protocol_and_fund_may_share_the_whole_trade_fee() -> None:
    pool = replace(MILLION, amm_config=AmmConfig(2_500, 900_000, 100_000), enable_creator_fee=False)
    result = quote_exact_in(pool, 100_000, A_TO_B, NOW)
    assert result.pool_after.reserves[0] == 10**6 + 100_000 - result.fee_in

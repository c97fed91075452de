"""The fee of a DAMM v2 pool: schedules that fall with time, and the surcharge that follows volatility."""

from dataclasses import replace
from fractions import Fraction

import pytest

from dexexec_adapters.curves.damm_v2_fees import BaseFee, total_fee_numerator
from dexexec_adapters.curves.integers import Q64, pow64
from dexexec_adapters.curves.swap import CurveError, Refusal
from tests.support.curve_values import VOLATILE

# ---- base fee --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "fee"),
    [(999, 30), (1_000, 50), (1_059, 50), (1_060, 48), (1_120, 46), (1_600, 30), (9_999, 30)],
)
def test_a_linear_schedule_falls_once_a_period_until_the_last(point: int, fee: int) -> None:
    """Before activation the program charges the last period's fee."""
    assert (
        BaseFee(
            cliff_fee_numerator=50, base_fee_mode=0, number_of_period=10, period_frequency=60, reduction_factor=2
        ).numerator(point, activation_point=1_000)
        == fee
    )


def test_an_exponential_schedule_keeps_a_share_each_period() -> None:
    schedule = BaseFee(
        cliff_fee_numerator=50_000_000, base_fee_mode=1, number_of_period=100, period_frequency=60, reduction_factor=200
    )
    assert schedule.numerator(1_000, 1_000) == 50_000_000
    # 0.98 in Q64.64 is rounded up, so that one period leaves the whole 49,000,000.
    assert schedule.numerator(1_060, 1_000) == 49_000_000
    exact = 50_000_000 * Fraction(98, 100) ** 100
    assert abs(schedule.numerator(1_000 + 60 * 100, 1_000) - exact) < 1


@pytest.mark.parametrize(
    "schedule",
    [
        BaseFee(cliff_fee_numerator=50),
        BaseFee(cliff_fee_numerator=50, base_fee_mode=1, number_of_period=10, period_frequency=60, reduction_factor=0),
        BaseFee(cliff_fee_numerator=50, base_fee_mode=0, number_of_period=10, period_frequency=0, reduction_factor=2),
    ],
)
def test_a_schedule_without_periods_or_reduction_stays_at_its_cliff(schedule: BaseFee) -> None:
    assert schedule.numerator(10**9, 0) == 50


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            BaseFee(
                cliff_fee_numerator=50, base_fee_mode=0, number_of_period=10, period_frequency=60, reduction_factor=6
            ),
            "below 0",
        ),
        (
            BaseFee(
                cliff_fee_numerator=50,
                base_fee_mode=1,
                number_of_period=10,
                period_frequency=60,
                reduction_factor=10_000,
            ),
            "vanishes",
        ),
    ],
)
def test_a_schedule_the_program_cannot_compute_is_refused(schedule: BaseFee, message: str) -> None:
    with pytest.raises(CurveError, match=message) as refused:
        schedule.numerator(10**9, 0)
    assert refused.value.code is Refusal.MATH_OVERFLOW


def test_a_linear_schedule_may_end_at_no_fee_at_all() -> None:
    assert (
        BaseFee(
            cliff_fee_numerator=50, base_fee_mode=0, number_of_period=10, period_frequency=60, reduction_factor=5
        ).numerator(10**9, 0)
        == 0
    )


@pytest.mark.parametrize(("version", "cap"), [(0, 500_000_000), (1, 990_000_000)])
def test_the_whole_fee_is_capped_by_the_fee_version(version: int, cap: int) -> None:
    wild = replace(VOLATILE, variable_fee_control=10**9, volatility_accumulator=350_000)
    assert total_fee_numerator(BaseFee(cliff_fee_numerator=2_500_000), wild, version, 0, 0) == cap


# ---- dynamic fee -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("volatility", "fee"), [(0, 0), (1, 1), (200_000, 3_000), (350_000, 9_188)])
def test_the_surcharge_grows_with_the_square_of_the_volatility_and_is_rounded_up(volatility: int, fee: int) -> None:
    assert replace(VOLATILE, volatility_accumulator=volatility).numerator() == fee


STEP = VOLATILE.bin_step_u128
START = 1 << 64
TRADED = replace(VOLATILE, last_update_timestamp=1_000, sqrt_price_reference=START, volatility_accumulator=100_000)


@pytest.mark.parametrize(
    ("at", "reference", "volatility_reference", "accumulator"),
    [
        (1_009, START, 0, 100_000),  # inside the filter period the references stay: 5 steps from the start price
        (1_010, START + 2 * STEP, 50_000, 50_000 + 40_000),  # then volatility decays, counted from the current price
        (1_119, START + 2 * STEP, 50_000, 50_000 + 40_000),
        (1_120, START + 2 * STEP, 0, 40_000),  # and in the end it is forgotten
    ],
)
def test_volatility_is_kept_then_decays_then_is_forgotten(
    at: int, reference: int, volatility_reference: int, accumulator: int
) -> None:
    after = TRADED.after_swap(START + 2 * STEP, START + 5 * STEP, at)
    assert after == replace(
        TRADED,
        last_update_timestamp=at,
        sqrt_price_reference=reference,
        volatility_reference=volatility_reference,
        volatility_accumulator=accumulator,
    )


def test_a_swap_within_one_bin_does_not_restart_the_clock() -> None:
    after = TRADED.after_swap(START, START + STEP - 1, 1_500)
    assert (after.last_update_timestamp, after.volatility_accumulator) == (1_000, 0)


def test_volatility_never_exceeds_its_maximum() -> None:
    assert TRADED.after_swap(START, START * 2, 1_500).volatility_accumulator == VOLATILE.max_volatility_accumulator


def test_a_pool_that_never_traded_takes_its_price_as_reference_at_any_time() -> None:
    after = VOLATILE.after_swap(START, START + 3 * STEP, unix_timestamp=0)
    assert (after.sqrt_price_reference, after.volatility_accumulator) == (START, 60_000)


# ---- powers in Q64.64 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "exponent", "power"),
    [
        (Q64 // 2, 0, Q64),
        (Q64 // 2, 3, Q64 // 8),
        (Q64 // 2, 64, 1),
        (0, 0, Q64),
        # A base of one or more is inverted, floored, and inverted back: 2 cubed is 8 and a trace.
        (2 * Q64, 3, 8 * Q64 + 64),
        (2 * Q64, -3, Q64 // 8 - 1),
        (Q64 // 2, -3, 8 * Q64 - 1),
    ],
)
def test_a_power_floors_where_the_program_floors(base: int, exponent: int, power: int) -> None:
    assert pow64(base, exponent) == power


@pytest.mark.parametrize("exponent", [1, 7, 100, 2_047, -100])
def test_a_power_is_close_to_the_exact_one(exponent: int) -> None:
    base = Q64 + Q64 // 10_000
    assert abs(pow64(base, exponent) / (Fraction(base, Q64) ** exponent * Q64) - 1) < Fraction(1, 10**12)


@pytest.mark.parametrize(("base", "exponent"), [(Q64 // 2, 65), (Q64 // 2, 0x80000), (0, 1)])
def test_a_power_the_program_gives_up_on_raises(base: int, exponent: int) -> None:
    with pytest.raises(OverflowError):
        pow64(base, exponent)

"""Meteora DLMM is priced like the program does, to the unit, and what is closed or unknown is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dexexec_adapters.curves.dlmm import (
    MAX_BINS,
    ONLY_Y,
    DlmmPool,
    arrays_ahead,
    quote_exact_in,
    quote_exact_out,
)
from dexexec_adapters.curves.dlmm_bins import BINS_PER_ARRAY, Bin, price_of
from dexexec_adapters.curves.dlmm_fees import MAX_FEE_RATE, DlmmFee, DlmmVolatility
from dexexec_adapters.curves.integers import Q64, U64_MAX
from dexexec_adapters.curves.swap import ChainTime, CurveError, MissingArray, Refusal, SwapResult, TradeDirection
from tests.support.curve_values import A_TO_B, B_TO_A, NOW
from tests.support.dlmm_pools import FEE, even_pool, pool_of_bins
from tests.vectors.accounts import load

POOL = even_pool(0, 30, 10**9)
Quote = Callable[[DlmmPool, int, TradeDirection, ChainTime], SwapResult[DlmmPool]]


def recorded_bins(rows: list[list[Any]]) -> dict[int, Bin]:
    return {
        bin_id: Bin(x, y, int(price), opened, processed, bool(ask))
        for bin_id, x, y, price, opened, processed, ask in rows
    }


def recorded_pool(record: dict[str, Any]) -> DlmmPool:
    return pool_of_bins(
        recorded_bins(record["bins"]),
        fee=DlmmFee(**record["fee"]),
        active_id=record["active"],
        volatility=DlmmVolatility(updated_at=record["updatedAt"]),
        collect_fee_mode=record["collectFeeMode"],
        with_orders=record["withOrders"],
    )


def filled(pool: DlmmPool) -> dict[int, Bin]:
    """The bins that hold something, without the prices."""
    return {
        index * BINS_PER_ARRAY + place: one._replace(price=0)
        for index, bins in pool.arrays.items()
        for place, one in enumerate(bins)
        if any((one.amount_x, one.amount_y, one.open_order, one.processed_order))
    }


def refusal(quote: Callable[[], object]) -> CurveError:
    with pytest.raises(CurveError) as refused:
        quote()
    return refused.value


# ---- what the program did ------------------------------------------------------------------------------------------


def test_every_recorded_swap_and_the_pool_after_it_come_out_to_the_unit() -> None:
    swaps = refused = 0
    for record in load("dlmm.json"):
        pool = recorded_pool(record)
        for recorded in record["swaps"]:
            quote: Quote = quote_exact_in if recorded["exactIn"] else quote_exact_out
            direction = TradeDirection(recorded["direction"])
            now = ChainTime(recorded["slot"], recorded["unix"])
            if recorded.get("refused"):
                with pytest.raises(CurveError):
                    quote(pool, recorded["amount"], direction, now)
                refused += 1
                continue
            result = quote(pool, recorded["amount"], direction, now)
            assert (result.amount_in, result.amount_out) == (recorded["amountIn"], recorded["amountOut"])
            # Besides those that the program used, one more on each side where there is one.
            assert recorded["arrays"] <= len(result.arrays) <= recorded["arrays"] + 2
            pool = result.pool_after
            assert pool.active_id == recorded["active"]
            volatility = pool.volatility
            assert recorded["volatility"] == [
                volatility.accumulator, volatility.reference, volatility.index_reference, volatility.updated_at,
            ]  # fmt: skip
            assert [pool.protocol_x, pool.protocol_y] == recorded["protocol"]
            swaps += 1
        assert filled(pool) == {
            bin_id: one._replace(price=0) for bin_id, one in recorded_bins(record["binsAfter"]).items()
        }
    assert (swaps, refused) == (265, 59)


def test_every_recorded_price_is_the_computed_one() -> None:
    for record in load("dlmm.json"):
        for bin_id, one in recorded_bins([*record["bins"], *record["binsAfter"]]).items():
            assert one.price == price_of(bin_id, record["fee"]["bin_step"])


# ---- bin by bin ----------------------------------------------------------------------------------------------------


def test_a_small_swap_pays_the_fee_and_the_active_bins_price() -> None:
    result = quote_exact_in(POOL, 1_000_000, A_TO_B, NOW)
    assert (result.amount_in, result.fee_in, result.fee_out, result.amount_out) == (1_000_000, 1_000, 0, 999_000)
    assert result.protocol_fee == 200
    assert result.price_impact_ppm == 0
    assert result.arrays == (0, -1)
    assert result.pool_after.active_id == 0
    assert result.pool_after.arrays[0][0][:2] == (10**9 + 999_000, 10**9 - 999_000)


def test_the_same_output_can_be_fixed() -> None:
    result = quote_exact_out(POOL, 999_000, A_TO_B, NOW)
    assert (result.amount_in, result.amount_out) == (1_000_000, 999_000)


def test_a_swap_goes_on_with_the_next_bins_and_pays_more_for_having_moved() -> None:
    result = quote_exact_in(POOL, 3 * 10**9, A_TO_B, NOW)
    assert result.pool_after.active_id == -2
    assert result.pool_after.arrays[0][0].amount_y == 0
    assert result.pool_after.arrays[-1][-1].amount_y == 0
    assert result.arrays == (0, -1)
    assert result.fee_in > 3 * 10**9 // 1_000
    assert result.price_impact_ppm > 500
    assert result.pool_after.volatility == DlmmVolatility(accumulator=20_000, updated_at=NOW.unix_timestamp)


def test_a_pool_that_collects_only_y_takes_the_fee_from_the_side_of_y() -> None:
    pool = replace(POOL, collect_fee_mode=ONLY_Y)
    sold = quote_exact_in(pool, 1_000_000, A_TO_B, NOW)
    assert (sold.fee_in, sold.fee_out, sold.amount_out) == (0, 1_000, 999_000)
    bought = quote_exact_in(pool, 1_000_000, B_TO_A, NOW)
    assert (bought.fee_in, bought.fee_out, bought.amount_out) == (1_000, 0, 999_000)
    assert (sold.pool_after.protocol_x, sold.pool_after.protocol_y) == (0, 200)


def test_limit_orders_are_taken_after_the_reserve_and_only_in_their_direction() -> None:
    bins = {0: Bin(100, 100, Q64, open_order=50, processed_order=30)}
    pool = pool_of_bins(bins, active_id=0, with_orders=True, fee=DlmmFee(base_factor=0, bin_step=10))
    result = quote_exact_in(pool, 160, A_TO_B, NOW)
    assert result.amount_out == 160
    after = result.pool_after.arrays[0][0]
    assert (after.amount_x, after.amount_y, after.processed_order, after.open_order) == (200, 0, 20, 0)
    assert quote_exact_out(pool, 180, A_TO_B, NOW).amount_in == 180
    asks = pool_of_bins({0: bins[0]._replace(ask_side=True)}, active_id=0, with_orders=True, fee=pool.fee)
    without = replace(pool, with_orders=False)
    for other in (asks, without):
        refused = refusal(partial(quote_exact_in, other, 160, A_TO_B, NOW))
        assert refused.code is Refusal.INSUFFICIENT_LIQUIDITY
    assert quote_exact_in(asks, 160, B_TO_A, NOW).amount_out == 160


def test_an_output_that_ends_in_orders_where_builds_of_the_program_differ_is_refused() -> None:
    one = Bin(0, 1, Q64 * 2 // 3, open_order=1_000)
    pool = pool_of_bins({0: one}, active_id=0, with_orders=True)
    assert refusal(lambda: quote_exact_out(pool, 501, A_TO_B, NOW)).code is Refusal.UNSUPPORTED


def test_a_rest_that_is_all_fee_is_the_protocols() -> None:
    pool = even_pool(0, 1, 10)
    result = quote_exact_in(pool, quote_exact_out(pool, 10, A_TO_B, NOW).amount_in + 1, A_TO_B, NOW)
    assert result.amount_out == 10
    assert result.protocol_fee == 1


# ---- the fee -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "reference"),
    [(9, None), (10, 25_000), (119, 25_000), (120, 0)],
    ids=["busy", "filtered", "late", "calm"],
)
def test_volatility_decays_with_time(elapsed: int, reference: int | None) -> None:
    before = DlmmVolatility(accumulator=50_000, reference=7_000, index_reference=4, updated_at=1_000)
    after = before.at_swap(FEE, 9, 1_000 + elapsed)
    assert (after.reference, after.index_reference) == ((7_000, 4) if reference is None else (reference, 9))
    assert after.updated_at == 1_000


def test_the_accumulator_and_the_rate_have_a_maximum() -> None:
    assert DlmmVolatility(index_reference=-100).in_bin(FEE, 100) == FEE.max_volatility_accumulator
    assert replace(FEE, base_fee_power_factor=3).rate(0) == MAX_FEE_RATE


@pytest.mark.parametrize("fee", [replace(FEE, base_fee_power_factor=39), replace(FEE, reduction_factor=2**16 - 1)])
def test_a_fee_that_the_programs_integers_cannot_hold_is_refused(fee: DlmmFee) -> None:
    volatility = DlmmVolatility(accumulator=2**32 - 1, updated_at=NOW.unix_timestamp - 20)
    pool = replace(POOL, fee=fee, volatility=volatility)
    assert refusal(lambda: quote_exact_in(pool, 10**6, A_TO_B, NOW)).code is Refusal.MATH_OVERFLOW


# ---- arrays that were not read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("quote", [quote_exact_in, quote_exact_out])
def test_bins_that_were_not_read_are_requested_and_never_guessed(quote: Quote) -> None:
    whole = even_pool(10, 150, 1_000)
    pool = replace(whole, arrays={})
    needed: list[tuple[int, ...]] = []
    while True:
        try:
            result = quote(pool, 100_000, A_TO_B, NOW)
            break
        except MissingArray as missing:
            needed.append(missing.indexes)
            first = missing.indexes[0]
            pool = replace(pool, arrays={**pool.arrays, first: whole.arrays[first]})
    assert needed == [(0, -1, -2), (-1, -2), (-2,)]
    assert result.arrays == (1, 0, -1, -2)
    assert replace(result, pool_after=whole) == replace(quote(whole, 100_000, A_TO_B, NOW), pool_after=whole)


def test_the_arrays_ahead_of_a_swap_are_those_with_liquidity() -> None:
    pool = pool_of_bins({-900: Bin(amount_y=5), 3: Bin(amount_y=5), 35_840: Bin(amount_x=5)}, active_id=500)
    assert arrays_ahead(pool, 3, a_to_b=True) == [0, -13]
    assert arrays_ahead(pool, 3, a_to_b=False) == [512]
    assert arrays_ahead(pool, 1, a_to_b=True) == [0]


def test_a_swap_that_begins_far_from_all_liquidity_is_refused() -> None:
    pool = pool_of_bins({5: Bin(amount_y=1_000)}, active_id=512 * BINS_PER_ARRAY)
    assert refusal(lambda: quote_exact_in(pool, 100, A_TO_B, NOW)).code is Refusal.UNSUPPORTED
    near = pool_of_bins({5: Bin(amount_y=1_000)}, active_id=511 * BINS_PER_ARRAY)
    assert quote_exact_in(near, 100, A_TO_B, NOW).arrays == (0,)


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"status": 1}, Refusal.CLOSED, "status is 1"),
        ({"pair_type": 1, "activation_point": NOW.slot + 1}, Refusal.CLOSED, "opens at"),
        (
            {"pair_type": 2, "activation_type": 1, "activation_point": NOW.unix_timestamp + 1},
            Refusal.CLOSED,
            "opens at",
        ),
        ({"pair_type": 2, "activation_type": 2}, Refusal.UNSUPPORTED, "activation_type is 2"),
        ({"pair_type": 4}, Refusal.UNSUPPORTED, "pair_type is 4"),
        ({"collect_fee_mode": 2}, Refusal.UNSUPPORTED, "collect_fee_mode is 2"),
    ],
)
def test_a_pool_that_is_closed_or_unknown_is_refused_by_name(changes: dict[str, Any], code: Refusal, text: str) -> None:
    refused = refusal(lambda: quote_exact_in(replace(POOL, **changes), 10**6, A_TO_B, NOW))
    assert (refused.code, text in str(refused)) == (code, True)


def test_only_pools_of_two_kinds_have_an_activation_point() -> None:
    for pair_type in (0, 3):
        pool = replace(POOL, pair_type=pair_type, activation_point=NOW.slot + 1)
        assert quote_exact_in(pool, 10**6, A_TO_B, NOW).amount_out == 999_000
    opened = replace(POOL, pair_type=1, activation_point=NOW.slot)
    assert quote_exact_in(opened, 10**6, A_TO_B, NOW).amount_out == 999_000


@pytest.mark.parametrize("quote", [quote_exact_in, quote_exact_out])
@pytest.mark.parametrize("amount", [0, -1, U64_MAX + 1])
def test_an_amount_beyond_64_bits_is_invalid(quote: Quote, amount: int) -> None:
    assert refusal(lambda: quote(POOL, amount, A_TO_B, NOW)).code is Refusal.INVALID_AMOUNT


def test_all_that_the_bins_hold_can_be_taken_and_not_a_unit_more() -> None:
    result = quote_exact_out(POOL, 31 * 10**9, A_TO_B, NOW)
    assert quote_exact_in(POOL, result.amount_in, A_TO_B, NOW).amount_out == 31 * 10**9
    assert refusal(lambda: quote_exact_out(POOL, 31 * 10**9 + 1, A_TO_B, NOW)).code is Refusal.INSUFFICIENT_LIQUIDITY
    more = result.amount_in * 2
    assert refusal(lambda: quote_exact_in(POOL, more, A_TO_B, NOW)).code is Refusal.INSUFFICIENT_LIQUIDITY


def test_dust_that_buys_nothing_is_refused() -> None:
    assert refusal(lambda: quote_exact_in(POOL, 1, A_TO_B, NOW)).code is Refusal.ZERO_OUTPUT


def test_a_swap_of_more_bins_than_a_transaction_can_compute_is_refused() -> None:
    for exact_out, with_orders in MAX_BINS:
        most = MAX_BINS[exact_out, with_orders]
        pool = even_pool(0, 300, 1_000, with_orders=with_orders, fee=DlmmFee(base_factor=0, bin_step=1))
        quote: Quote = quote_exact_out if exact_out else quote_exact_in
        assert quote(pool, (most - 1) * 1_000, A_TO_B, NOW).amount_out > 0
        refused = refusal(partial(quote, pool, (most + 20) * 1_000, A_TO_B, NOW))
        assert refused.code is Refusal.INSUFFICIENT_LIQUIDITY
        assert f"more than {most} bins" in str(refused)

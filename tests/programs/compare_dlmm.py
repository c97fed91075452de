"""Compares the curve of `meteora-dlmm` with an independent one, the package `meteora-dlmm` of PyPI, for exact inputs:

uv run --with meteora-dlmm==0.5.0 python -m tests.programs.compare_dlmm --pools 20000 --seed 1
"""

import argparse
from collections import Counter
from importlib import import_module
from random import Random
from typing import Any

from dexexec_adapters.curves.dlmm import DlmmPool, quote_exact_in
from dexexec_adapters.curves.dlmm_bins import Bin, price_of
from dexexec_adapters.curves.dlmm_fees import DlmmFee, DlmmVolatility
from dexexec_adapters.curves.swap import ChainTime, CurveError, Refusal, TradeDirection
from tests.support.curve_values import A_TO_B, B_TO_A
from tests.support.dlmm_pools import pool_of_bins
from tests.support.service.process import say

UPDATED_AT = 1_790_000_000
"""When the volatility was last updated (Unix seconds)."""


def main() -> None:
    """Compare and print, and fail at a difference."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pools", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    other: Any = import_module("meteora_dlmm")
    chance, counts = Random(arguments.seed), Counter[str]()
    for _ in range(arguments.pools):
        pool = some_pool(chance)
        direction, amount = chance.choice([A_TO_B, B_TO_A]), int(10 ** chance.uniform(0, 13))
        now = ChainTime(0, UPDATED_AT + chance.choice([0, 5, 20, 100, 1_000]))
        one, two = our_amount(pool, amount, direction, now), other_amount(other, pool, amount, direction, now)
        assert one == two, (pool, amount, direction, now, one, two)
        counts["neither has enough" if one is None else "equal" if one else "both give nothing"] += 1
    say(f"seed {arguments.seed}: {dict(sorted(counts.items()))}")


def some_pool(chance: Random) -> DlmmPool:
    """A pool of any step, fee, shape and size."""
    step = chance.choice([1, 2, 5, 10, 20, 25, 80, 100, 200, 400])
    active = chance.randint(-40_000 // step, 40_000 // step)
    reach, size = chance.choice([2, 20, 80]), 10 ** chance.randint(0, 12)
    bins = {
        bin_id: Bin(
            amount_x=chance.randint(0, size) if bin_id >= active else 0,
            amount_y=chance.randint(0, size) if bin_id <= active else 0,
            price=price_of(bin_id, step),
            open_order=chance.choice([0, chance.randint(0, size)]),
            processed_order=chance.choice([0, chance.randint(0, size)]),
            ask_side=bin_id > active or chance.random() < 0.3,
        )
        for bin_id in range(active - reach, active + reach + 1)
        if bin_id == active or chance.random() < 0.8
    }
    fee = DlmmFee(
        base_factor=chance.randint(1, 65_535),
        bin_step=step,
        base_fee_power_factor=chance.choice([0, 0, 1]),
        filter_period=chance.choice([0, 10, 30]),
        decay_period=chance.choice([60, 600]),
        reduction_factor=chance.choice([0, 5_000, 10_000]),
        variable_fee_control=chance.choice([0, 7_500, 2_000_000]),
        max_volatility_accumulator=chance.choice([100_000, 350_000]),
    )
    volatility = DlmmVolatility(
        accumulator=chance.randint(0, 300_000),
        reference=chance.randint(0, 100_000),
        index_reference=active + chance.randint(-10, 10),
        updated_at=UPDATED_AT,
    )
    return pool_of_bins(
        bins,
        fee=fee,
        active_id=active,
        volatility=volatility,
        collect_fee_mode=chance.choice([0, 1]),
        with_orders=chance.random() < 0.5,
    )


def our_amount(pool: DlmmPool, amount: int, direction: TradeDirection, now: ChainTime) -> int | None:
    """The output, or None if the bins do not hold enough."""
    try:
        return quote_exact_in(pool, amount, direction, now).amount_out
    except CurveError as refusal:
        if refusal.code is Refusal.ZERO_OUTPUT:
            return 0
        if refusal.code not in (Refusal.INSUFFICIENT_LIQUIDITY, Refusal.MATH_OVERFLOW):
            raise
        return None


def other_amount(other: Any, pool: DlmmPool, amount: int, direction: TradeDirection, now: ChainTime) -> int | None:
    """The same from the other package."""
    fee, volatility = pool.fee, pool.volatility
    bins = {
        index * 70 + place: other.Bin(
            index * 70 + place, one.amount_x, one.amount_y, one.price, one.open_order, one.processed_order,
            int(one.ask_side),
        )
        for index, array in pool.arrays.items()
        for place, one in enumerate(array)
        if one.price
    }  # fmt: skip
    static = other.StaticParams(
        base_factor=fee.base_factor,
        base_fee_power_factor=fee.base_fee_power_factor,
        variable_fee_control=fee.variable_fee_control,
        max_volatility_accumulator=fee.max_volatility_accumulator,
        filter_period=fee.filter_period,
        decay_period=fee.decay_period,
        reduction_factor=fee.reduction_factor,
        protocol_share=fee.protocol_share,
    )
    variable = other.VariableParams(
        volatility_accumulator=volatility.accumulator,
        volatility_reference=volatility.reference,
        index_reference=volatility.index_reference,
        last_update_timestamp=volatility.updated_at,
    )
    state = other.PoolState(
        pool.active_id, fee.bin_step, 9, 6, static, variable, bins, set(pool.arrays), True, b"", b"",
        pool.collect_fee_mode,
    )  # fmt: skip
    quote = other.quote(
        state,
        amount,
        direction is A_TO_B,
        timestamp=now.unix_timestamp,
        support_limit_order=pool.with_orders,
        strict=False,
    )
    return None if quote.remaining_in else int(quote.amount_out)


if __name__ == "__main__":
    main()

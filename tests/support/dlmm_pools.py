"""DLMM pools for tests of the curve, made of the bins that hold something."""

from collections.abc import Mapping
from typing import Any

from dexexec_adapters.curves.dlmm import DlmmPool
from dexexec_adapters.curves.dlmm_bins import BINS_PER_ARRAY, INNER_ARRAYS, OUTER_ARRAYS, ArrayMap, Bin, price_of
from dexexec_adapters.curves.dlmm_fees import DlmmFee, DlmmVolatility

FEE = DlmmFee(
    base_factor=10_000,
    bin_step=10,
    filter_period=10,
    decay_period=120,
    reduction_factor=5_000,
    variable_fee_control=50_000,
    max_volatility_accumulator=350_000,
    protocol_share=2_000,
)


def array_map(indexes: set[int]) -> ArrayMap:
    """The bitmaps that mark these arrays."""
    inner = above = below = 0
    for index in indexes:
        if index >= INNER_ARRAYS:
            above |= 1 << index - INNER_ARRAYS
        elif index < -INNER_ARRAYS:
            below |= 1 << -index - INNER_ARRAYS - 1
        else:
            inner |= 1 << index + INNER_ARRAYS
    assert max(above, below) < 1 << OUTER_ARRAYS
    return ArrayMap(inner, above, below)


def pool_of_bins(bins: Mapping[int, Bin], *, fee: DlmmFee = FEE, **fields: Any) -> DlmmPool:
    """A pool with exactly these bins, all of whose arrays were read."""
    indexes = {bin_id // BINS_PER_ARRAY for bin_id in bins}
    arrays = {
        index: tuple(bins.get(bin_id, Bin()) for bin_id in range(index * BINS_PER_ARRAY, (index + 1) * BINS_PER_ARRAY))
        for index in indexes
    }
    fields.setdefault("volatility", DlmmVolatility())
    return DlmmPool(fee=fee, marked=array_map(indexes), arrays=arrays, **fields)


def even_pool(active_id: int, reach: int, amount: int, *, fee: DlmmFee = FEE, **fields: Any) -> DlmmPool:
    """The same amount in every bin: of Y below the active one, of X above it, of both in it."""
    bins = {
        bin_id: Bin(
            amount_x=amount if bin_id >= active_id else 0,
            amount_y=amount if bin_id <= active_id else 0,
            price=price_of(bin_id, fee.bin_step),
        )
        for bin_id in range(active_id - reach, active_id + reach + 1)
    }
    return pool_of_bins(bins, fee=fee, active_id=active_id, **fields)

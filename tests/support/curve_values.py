"""Directions, a moment and a fee that the tests of all curves share."""

from dexexec_adapters.curves.damm_v2_fees import DynamicFee
from dexexec_adapters.curves.swap import ChainTime, TradeDirection

A_TO_B, B_TO_A = TradeDirection.A_TO_B, TradeDirection.B_TO_A
NOW = ChainTime(slot=400_000_000, unix_timestamp=1_800_000_000)
VOLATILE = DynamicFee(
    max_volatility_accumulator=350_000,
    variable_fee_control=7_500,
    filter_period=10,
    decay_period=120,
    reduction_factor=5_000,
)

"""The recorded swaps and their account bytes as pool states. Offsets count from the 8-byte discriminator."""

import json
from base64 import b64decode
from pathlib import Path
from struct import unpack_from
from typing import Any

from dexexec_adapters.curves.cpmm import AmmConfig, CpmmPool
from dexexec_adapters.curves.damm_v2 import DammV2Pool
from dexexec_adapters.curves.damm_v2_fees import BaseFee, DynamicFee


def load(name: str) -> list[dict[str, Any]]:
    """The pools recorded in `name`."""
    pools: list[dict[str, Any]] = json.loads((Path(__file__).parent / name).read_text())
    return pools


def cpmm_pool(config: str, account: str, vault_0_amount: int, vault_1_amount: int) -> CpmmPool:
    """A CPMM pool from its config and pool accounts (base64) and its vault balances."""
    config_data, data = b64decode(config), b64decode(account)
    trade, protocol, fund = unpack_from("<3Q", config_data, 12)
    (creator,) = unpack_from("<Q", config_data, 108)
    protocol_0, protocol_1, fund_0, fund_1, open_time = unpack_from("<5Q", data, 341)
    creator_fee_on, enable_creator_fee = unpack_from("<B?", data, 389)
    creator_0, creator_1 = unpack_from("<2Q", data, 397)
    return CpmmPool(
        amm_config=AmmConfig(trade, protocol, fund, creator),
        vault_0_amount=vault_0_amount,
        vault_1_amount=vault_1_amount,
        protocol_fees_token_0=protocol_0,
        protocol_fees_token_1=protocol_1,
        fund_fees_token_0=fund_0,
        fund_fees_token_1=fund_1,
        creator_fees_token_0=creator_0,
        creator_fees_token_1=creator_1,
        creator_fee_on=creator_fee_on,
        enable_creator_fee=enable_creator_fee,
        status=data[329],
        open_time=open_time,
    )


def damm_v2_pool(account: str) -> DammV2Pool:
    """A DAMM v2 pool from its account (base64)."""
    data = b64decode(account)

    def wide(offset: int, size: int = 16) -> int:
        return int.from_bytes(data[offset : offset + size], "little")

    cliff, mode, periods, frequency, reduction = unpack_from("<QB5xHQQ", data, 8)
    max_volatility, control, bin_step, filter_period, decay_period, decay, updated = unpack_from("<IIHHHHQ", data, 64)
    dynamic_fee = DynamicFee(
        max_volatility_accumulator=max_volatility,
        variable_fee_control=control,
        filter_period=filter_period,
        decay_period=decay_period,
        reduction_factor=decay,
        bin_step=bin_step,
        bin_step_u128=wide(88),
        last_update_timestamp=updated,
        sqrt_price_reference=wide(104),
        volatility_accumulator=wide(120),
        volatility_reference=wide(136),
    )
    return DammV2Pool(
        base_fee=BaseFee(
            cliff_fee_numerator=cliff,
            base_fee_mode=mode,
            number_of_period=periods,
            period_frequency=frequency,
            reduction_factor=reduction,
        ),
        dynamic_fee=dynamic_fee if data[56] else None,
        liquidity=wide(360),
        sqrt_price=wide(456),
        token_a_amount=wide(680, 8),
        token_b_amount=wide(688, 8),
        sqrt_min_price=wide(424),
        sqrt_max_price=wide(440),
        collect_fee_mode=data[484],
        compounding_fee_bps=wide(54, 2),
        protocol_fee_percent=data[48],
        protocol_a_fee=wide(392, 8),
        protocol_b_fee=wide(400, 8),
        fee_a_per_liquidity=wide(488, 32),
        fee_b_per_liquidity=wide(520, 32),
        activation_point=wide(472, 8),
        activation_type=data[480],
        pool_status=data[481],
        fee_version=data[486],
        layout_version=data[696],
    )

"""Accounts that a Meteora DAMM v2 swap is priced from, as values: the pool and the chain's clock.

Bytes come from a node and are not trusted: the owner is checked first, then size and Anchor's discriminator (the first
eight bytes), and only then is anything read. Offsets are those of MeteoraAg/damm-v2 at a3d3827 (`state/pool.rs`,
`state/fee.rs`), integers little-endian. What is no such account is a `BadAnswer`; what cannot be priced to the unit is
`Unsupported`, here or, for kinds of fees, in `adapters/curves/damm_v2.py`.
"""

from dataclasses import dataclass
from struct import unpack_from

from dexexec.domain import base58
from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.curves.damm_v2 import (
    BOTH_TOKENS,
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    ONLY_B,
    DammV2Pool,
    range_reserves,
)
from dexexec_adapters.curves.damm_v2_fees import BASIS_POINTS, BaseFee, DynamicFee
from dexexec_adapters.pools.search import PoolKeys
from dexexec_adapters.solana.account_data import data_of
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022

POOL_SIZE = 1112
POOL_DISCRIMINATOR = bytes.fromhex("f19a6d0411b16dbc")
MINT_A_AT, MINT_B_AT, VAULT_A_AT, VAULT_B_AT = 168, 200, 232, 264
_TOKEN_PROGRAMS = (TOKEN, TOKEN_2022)
"""By `token_a_flag` and `token_b_flag`."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool account: its addresses, and what its curve works on."""

    keys: PoolKeys
    curve: DammV2Pool

    @property
    def depth(self) -> int:
        """The product of the two reserves: nobody makes it large without putting much in. A pool of the first layout
        does not count its reserves, so they follow from its liquidity."""
        curve = self.curve
        held = curve.token_a_amount, curve.token_b_amount
        if curve.layout_version == 0:
            held = range_reserves(curve.liquidity, curve.sqrt_price, curve.sqrt_min_price, curve.sqrt_max_price)
        return held[0] * held[1]


def pool_filters(mint_a: bytes, mint_b: bytes) -> AccountFilters:
    """All pools that have these as token A and token B: a pair's pools may have them either way round."""
    return AccountFilters(POOL_SIZE, ((0, POOL_DISCRIMINATOR), (MINT_A_AT, mint_a), (MINT_B_AT, mint_b)))


def read_pool(address: str, account: Account | None, program: str) -> PoolState:
    """The pool at `address`. Raises `BadAnswer` for what is no pool of `program` and for numbers that none can have,
    `Unsupported` for what is not known of it here."""
    data = data_of("pool", address, account, program, POOL_SIZE)
    if data[:8] != POOL_DISCRIMINATOR:
        raise BadAnswer(f"the account {address} is no pool: its discriminator is {data[:8].hex()}")
    mint_a, mint_b, vault_a, vault_b = (
        base58.encode(data[at : at + 32]) for at in (MINT_A_AT, MINT_B_AT, VAULT_A_AT, VAULT_B_AT)
    )
    if mint_a == mint_b or vault_a == vault_b:
        raise BadAnswer(f"both tokens of the pool {address} are the same")
    programs = _token_program(address, "token_a_flag", data[482]), _token_program(address, "token_b_flag", data[483])
    return PoolState(PoolKeys(address, (mint_a, mint_b), (vault_a, vault_b), programs), _curve(address, data))


def _curve(address: str, data: bytes) -> DammV2Pool:
    if data[696] > 1:
        raise Unsupported(f"layout_version of the pool {address} is {data[696]}: known are 0 and 1")
    protocol_a_fee, protocol_b_fee = unpack_from("<QQ", data, 392)
    activation_point, activation_type, pool_status = unpack_from("<QBB", data, 472)
    token_a_amount, token_b_amount = unpack_from("<QQ", data, 680)
    curve = DammV2Pool(
        base_fee=_base_fee(data),
        dynamic_fee=_dynamic_fee(address, data),
        liquidity=_wide(data, 360),
        sqrt_price=_wide(data, 456),
        token_a_amount=token_a_amount,
        token_b_amount=token_b_amount,
        sqrt_min_price=_wide(data, 424),
        sqrt_max_price=_wide(data, 440),
        collect_fee_mode=data[484],
        compounding_fee_bps=int.from_bytes(data[54:56], "little"),
        protocol_fee_percent=data[48],
        protocol_a_fee=protocol_a_fee,
        protocol_b_fee=protocol_b_fee,
        fee_a_per_liquidity=_wide(data, 488, 32),
        fee_b_per_liquidity=_wide(data, 520, 32),
        activation_point=activation_point,
        activation_type=activation_type,
        pool_status=pool_status,
        fee_version=data[486],
        layout_version=data[696],
    )
    problem = _problem(curve)
    if problem is not None:
        raise BadAnswer(f"the pool {address}: {problem}")
    return curve


def _base_fee(data: bytes) -> BaseFee:
    """As a time scheduler; the curve refuses the other modes, whose fields lie elsewhere."""
    cliff, mode, periods, frequency, reduction = unpack_from("<QB5xHQQ", data, 8)
    return BaseFee(cliff, mode, periods, frequency, reduction)


def _dynamic_fee(address: str, data: bytes) -> DynamicFee | None:
    if data[56] == 0:
        return None
    if data[56] != 1:
        raise Unsupported(f"the dynamic fee's flag of the pool {address} is {data[56]}: known are 0 (off) and 1 (on)")
    most, control, bin_step, filter_period, decay_period, reduction, updated = unpack_from("<IIHHHHQ", data, 64)
    if bin_step == 0 or _wide(data, 88) == 0:
        raise BadAnswer(f"the pool {address}: the bin step of its dynamic fee is 0")
    return DynamicFee(
        max_volatility_accumulator=most,
        variable_fee_control=control,
        filter_period=filter_period,
        decay_period=decay_period,
        reduction_factor=reduction,
        bin_step=bin_step,
        bin_step_u128=_wide(data, 88),
        last_update_timestamp=updated,
        sqrt_price_reference=_wide(data, 104),
        volatility_accumulator=_wide(data, 120),
        volatility_reference=_wide(data, 136),
    )


def _problem(curve: DammV2Pool) -> str | None:
    """What the program lets no pool have, and the curve could not compute with."""
    if curve.protocol_fee_percent > 100:
        return f"protocol_fee_percent is {curve.protocol_fee_percent}, and at most 100 is possible"
    if curve.compounding_fee_bps > BASIS_POINTS:
        return f"compounding_fee_bps is {curve.compounding_fee_bps}, and at most {BASIS_POINTS} is possible"
    low, price, high = curve.sqrt_min_price, curve.sqrt_price, curve.sqrt_max_price
    if curve.collect_fee_mode in (BOTH_TOKENS, ONLY_B):
        possible = MIN_SQRT_PRICE <= low <= price <= high <= MAX_SQRT_PRICE
    else:
        # Only the range of a pool that compounds has no ends; and it has counted its reserves from its first day.
        possible = price > 0 and high > 0 and curve.layout_version == 1
    return None if possible else f"sqrt_price is {price} in a range from {low} to {high}, which cannot be"


def _token_program(address: str, field: str, flag: int) -> str:
    if flag >= len(_TOKEN_PROGRAMS):
        raise Unsupported(f"{field} of the pool {address} is {flag}: known are 0 (Token) and 1 (Token-2022)")
    return _TOKEN_PROGRAMS[flag]


def _wide(data: bytes, at: int, size: int = 16) -> int:
    return int.from_bytes(data[at : at + size], "little")

"""The pool accounts of Meteora DAMM v2 (MeteoraAg/damm-v2 at a3d3827, `state/pool.rs` and `state/fee.rs`).

A kind of pool that cannot be priced exactly is `Unsupported`: here, or for kinds of fees in
`adapters/curves/damm_v2.py`.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

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
from dexexec_adapters.solana.layout import U8, U16, U32, U64, U128, U256, Layout, Pubkey, after
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022

_TOKEN_PROGRAMS = (TOKEN, TOKEN_2022)
"""The token program by `token_a_flag` or `token_b_flag`."""


class _BaseFee(NamedTuple):
    # Read as a time scheduler. Other modes have other fields here, and the curve refuses them by `base_fee_mode`.
    cliff_fee_numerator: U64
    base_fee_mode: U8
    number_of_period: Annotated[U16, after(5)]
    period_frequency: U64
    reduction_factor: U64


class _DynamicFee(NamedTuple):
    max_volatility_accumulator: U32
    variable_fee_control: U32
    bin_step: U16
    filter_period: U16
    decay_period: U16
    reduction_factor: U16
    last_update_timestamp: U64
    bin_step_u128: U128
    sqrt_price_reference: U128
    volatility_accumulator: U128
    volatility_reference: U128


class _Pool(NamedTuple):
    base_fee: _BaseFee
    protocol_fee_percent: Annotated[U8, after(8)]
    compounding_fee_bps: Annotated[U16, after(5)]
    dynamic_fee_flag: U8
    dynamic_fee: Annotated[_DynamicFee, after(7)]
    token_a_mint: Annotated[Pubkey, after(16)]
    token_b_mint: Pubkey
    token_a_vault: Pubkey
    token_b_vault: Pubkey
    liquidity: Annotated[U128, after(64)]
    protocol_a_fee: Annotated[U64, after(16)]
    protocol_b_fee: U64
    sqrt_min_price: Annotated[U128, after(16)]
    sqrt_max_price: U128
    sqrt_price: U128
    activation_point: U64
    activation_type: U8
    pool_status: U8
    token_a_flag: U8
    token_b_flag: U8
    collect_fee_mode: U8
    fee_version: Annotated[U8, after(1)]
    fee_a_per_liquidity: Annotated[U256, after(1)]
    fee_b_per_liquidity: U256
    token_a_amount: Annotated[U64, after(128)]  # after the locked liquidity, figures of use, and the creator
    token_b_amount: U64
    layout_version: U8


POOL = Layout("pool", _Pool, discriminator="f19a6d0411b16dbc", size=1112)


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool account: its addresses, and the state of its curve."""

    keys: PoolKeys
    curve: DammV2Pool

    @property
    def reserves(self) -> tuple[int, int]:
        """What the pool can trade of token A and token B, in base units. The vaults also hold unclaimed fees."""
        curve = self.curve
        # The first layout does not track the reserves. They follow from the liquidity.
        if curve.layout_version == 0:
            return range_reserves(curve.liquidity, curve.sqrt_price, curve.sqrt_min_price, curve.sqrt_max_price)
        return curve.token_a_amount, curve.token_b_amount

    @property
    def depth(self) -> int:
        """The product of the two reserves."""
        # It cannot be made large without depositing as much, so a worthless pool cannot push out a good one.
        first, second = self.reserves
        return first * second


def pool_filters(mint_a: bytes, mint_b: bytes) -> AccountFilters:
    """The search for all pools with these mints as token A and token B."""
    return POOL.filters(token_a_mint=mint_a, token_b_mint=mint_b)


def read_pool(address: str, account: Account | None, program: str) -> PoolState:
    """The pool at `address`.

    Raises `BadAnswer` for an account that is not a pool of `program` or has impossible numbers, and `Unsupported` for
    an unknown layout or token program.
    """
    pool = POOL.read(address, account, owner=program)
    if pool.token_a_mint == pool.token_b_mint or pool.token_a_vault == pool.token_b_vault:
        raise BadAnswer(f"both tokens of the pool {address} are the same")
    keys = PoolKeys(
        address=address,
        mints=(pool.token_a_mint, pool.token_b_mint),
        vaults=(pool.token_a_vault, pool.token_b_vault),
        token_programs=(
            _token_program(address, "token_a_flag", pool.token_a_flag),
            _token_program(address, "token_b_flag", pool.token_b_flag),
        ),
    )
    return PoolState(keys, _curve(address, pool))


def _curve(address: str, pool: _Pool) -> DammV2Pool:
    if pool.layout_version > 1:
        raise Unsupported(f"layout_version of the pool {address} is {pool.layout_version}: only 0 and 1 are supported")
    curve = DammV2Pool(
        base_fee=BaseFee(**pool.base_fee._asdict()),
        dynamic_fee=_dynamic_fee(address, pool),
        liquidity=pool.liquidity,
        sqrt_price=pool.sqrt_price,
        token_a_amount=pool.token_a_amount,
        token_b_amount=pool.token_b_amount,
        sqrt_min_price=pool.sqrt_min_price,
        sqrt_max_price=pool.sqrt_max_price,
        collect_fee_mode=pool.collect_fee_mode,
        compounding_fee_bps=pool.compounding_fee_bps,
        protocol_fee_percent=pool.protocol_fee_percent,
        protocol_a_fee=pool.protocol_a_fee,
        protocol_b_fee=pool.protocol_b_fee,
        fee_a_per_liquidity=pool.fee_a_per_liquidity,
        fee_b_per_liquidity=pool.fee_b_per_liquidity,
        activation_point=pool.activation_point,
        activation_type=pool.activation_type,
        pool_status=pool.pool_status,
        fee_version=pool.fee_version,
        layout_version=pool.layout_version,
    )
    problem = _problem(curve)
    if problem is not None:
        raise BadAnswer(f"the pool {address}: {problem}")
    return curve


def _dynamic_fee(address: str, pool: _Pool) -> DynamicFee | None:
    flag = pool.dynamic_fee_flag
    if flag == 0:
        return None
    if flag != 1:
        raise Unsupported(
            f"the dynamic fee's flag of the pool {address} is {flag}: only 0 (off) and 1 (on) are supported"
        )
    if pool.dynamic_fee.bin_step == 0 or pool.dynamic_fee.bin_step_u128 == 0:
        raise BadAnswer(f"the pool {address}: the bin step of its dynamic fee is 0")
    return DynamicFee(**pool.dynamic_fee._asdict())


def _problem(curve: DammV2Pool) -> str | None:
    """Why these numbers are impossible, or None. The curve could not compute with them."""
    if curve.protocol_fee_percent > 100:
        return f"protocol_fee_percent is {curve.protocol_fee_percent}, but the program allows at most 100"
    if curve.compounding_fee_bps > BASIS_POINTS:
        return f"compounding_fee_bps is {curve.compounding_fee_bps}, but the program allows at most {BASIS_POINTS}"
    low = curve.sqrt_min_price
    price = curve.sqrt_price
    high = curve.sqrt_max_price
    if curve.collect_fee_mode in (BOTH_TOKENS, ONLY_B):
        possible = MIN_SQRT_PRICE <= low <= price <= high <= MAX_SQRT_PRICE
    else:
        # A compounding pool has no price range, and it has tracked its reserves since it was created.
        possible = price > 0 and high > 0 and curve.layout_version == 1
    return None if possible else f"sqrt_price is {price} in a range from {low} to {high}, which is impossible"


def _token_program(address: str, field: str, flag: int) -> str:
    if flag >= len(_TOKEN_PROGRAMS):
        raise Unsupported(f"{field} of the pool {address} is {flag}: only 0 (Token) and 1 (Token-2022) are supported")
    return _TOKEN_PROGRAMS[flag]

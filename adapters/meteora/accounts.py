"""Reads the pool accounts of Meteora DAMM v2 (MeteoraAg/damm-v2 at a3d3827, `state/pool.rs` and `state/fee.rs`).

The bytes come from a node and are not trusted: owner, Anchor's discriminator (the first eight bytes) and size are
checked before any field is read. Integers are little-endian. A kind of pool that cannot be priced exactly is
`Unsupported`: here, or for kinds of fees in `adapters/curves/damm_v2.py`.
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
from dexexec_adapters.solana.account_data import checked_data
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022

POOL_SIZE = 1112
POOL_DISCRIMINATOR = bytes.fromhex("f19a6d0411b16dbc")
MINT_A_AT = 168
MINT_B_AT = 200
VAULT_A_AT = 232
VAULT_B_AT = 264
_TOKEN_PROGRAMS = (TOKEN, TOKEN_2022)
"""The token program by `token_a_flag` or `token_b_flag`."""


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
    return AccountFilters(POOL_SIZE, ((0, POOL_DISCRIMINATOR), (MINT_A_AT, mint_a), (MINT_B_AT, mint_b)))


def read_pool(address: str, account: Account | None, program: str) -> PoolState:
    """The pool at `address`.

    Raises `BadAnswer` for an account that is not a pool of `program` or has impossible numbers, and `Unsupported` for
    an unknown layout or token program.
    """
    data = checked_data("pool", address, account, owner=program, size=POOL_SIZE, discriminator=POOL_DISCRIMINATOR)
    mint_a, mint_b, vault_a, vault_b = (
        base58.encode(data[at : at + 32]) for at in (MINT_A_AT, MINT_B_AT, VAULT_A_AT, VAULT_B_AT)
    )
    if mint_a == mint_b or vault_a == vault_b:
        raise BadAnswer(f"both tokens of the pool {address} are the same")
    programs = _token_program(address, "token_a_flag", data[482]), _token_program(address, "token_b_flag", data[483])
    return PoolState(
        PoolKeys(address=address, mints=(mint_a, mint_b), vaults=(vault_a, vault_b), token_programs=programs),
        _curve(address, data),
    )


def _curve(address: str, data: bytes) -> DammV2Pool:
    if data[696] > 1:
        raise Unsupported(f"layout_version of the pool {address} is {data[696]}: only 0 and 1 are supported")
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
    """The base fee, read as a time scheduler."""
    # Other modes have other fields at these offsets. The curve refuses them by `base_fee_mode`.
    cliff, mode, periods, frequency, reduction = unpack_from("<QB5xHQQ", data, 8)
    return BaseFee(
        cliff_fee_numerator=cliff,
        base_fee_mode=mode,
        number_of_period=periods,
        period_frequency=frequency,
        reduction_factor=reduction,
    )


def _dynamic_fee(address: str, data: bytes) -> DynamicFee | None:
    if data[56] == 0:
        return None
    if data[56] != 1:
        raise Unsupported(
            f"the dynamic fee's flag of the pool {address} is {data[56]}: only 0 (off) and 1 (on) are supported"
        )
    maximum, control, bin_step, filter_period, decay_period, reduction, updated = unpack_from("<IIHHHHQ", data, 64)
    if bin_step == 0 or _wide(data, 88) == 0:
        raise BadAnswer(f"the pool {address}: the bin step of its dynamic fee is 0")
    return DynamicFee(
        max_volatility_accumulator=maximum,
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


def _wide(data: bytes, at: int, size: int = 16) -> int:
    """An unsigned integer of 16 or 32 bytes, which `struct` cannot unpack."""
    return int.from_bytes(data[at : at + size], "little")

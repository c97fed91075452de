"""The pool and config accounts of Raydium's CPMM program (raydium-cp-swap, `states/pool.rs`, `states/config.rs`)."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.cpmm import AmmConfig, CpmmPool
from dexexec_adapters.pools import search
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.layout import U8, U64, Flag, Layout, Pubkey, after
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022


class _Pool(NamedTuple):
    amm_config: Pubkey
    pool_creator: Pubkey
    token_0_vault: Pubkey
    token_1_vault: Pubkey
    lp_mint: Pubkey
    token_0_mint: Pubkey
    token_1_mint: Pubkey
    token_0_program: Pubkey
    token_1_program: Pubkey
    observation_key: Pubkey
    auth_bump: U8
    status: U8
    lp_supply: Annotated[U64, after(3)]  # after the decimals
    protocol_fees_token_0: U64
    protocol_fees_token_1: U64
    fund_fees_token_0: U64
    fund_fees_token_1: U64
    open_time: U64
    # The creator's fee was added in August 2025. Older accounts have zeros here, which means no such fee.
    creator_fee_on: Annotated[U8, after(8)]
    enable_creator_fee: Flag
    creator_fees_token_0: Annotated[U64, after(6)]
    creator_fees_token_1: U64


class _Config(NamedTuple):
    trade_fee_rate: Annotated[U64, after(4)]
    protocol_fee_rate: U64
    fund_fee_rate: U64
    creator_fee_rate: Annotated[U64, after(72)]  # after the fee for a new pool and two owners


POOL = Layout("pool", _Pool, discriminator="f7ede3f5d7c3de46", size=637)
CONFIG = Layout("config", _Config, discriminator="daf42168cbcb2b6f", size=236)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKeys(search.PoolKeys):
    """The constant addresses of a pool, in the order token 0, token 1."""

    amm_config: str
    observation: str

    @property
    def written(self) -> tuple[str, ...]:
        """Pool, vaults, and the record of prices."""
        return (self.address, *self.vaults, self.observation)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """A pool account. Fees are base units of token 0 and token 1 that are still in the vaults. `lp_supply` is in units
    of the LP token, `open_time` is Unix seconds, and `status` has a bit for each disabled operation."""

    keys: PoolKeys
    status: int
    lp_supply: int
    protocol_fees: tuple[int, int]
    fund_fees: tuple[int, int]
    creator_fees: tuple[int, int]
    open_time: int
    creator_fee_on: int
    enable_creator_fee: bool

    @property
    def depth(self) -> int:
        """The supply of liquidity shares, about sqrt(x * y)."""
        # It cannot be made large without depositing as much, so a worthless pool cannot push out a good one.
        return self.lp_supply


def pool_filters(mint_a: bytes, mint_b: bytes) -> AccountFilters:
    """The search for all pools of two mints, in any order."""
    # The program requires token 0 to be the smaller mint.
    mint_0, mint_1 = sorted((mint_a, mint_b))
    return POOL.filters(token_0_mint=mint_0, token_1_mint=mint_1)


def read_pool(address: str, account: Account | None, program: str) -> PoolState:
    """The pool at `address`. Raises `BadAnswer` for an account that is not a pool of `program`."""
    pool = POOL.read(address, account, owner=program)
    mints = (pool.token_0_mint, pool.token_1_mint)
    programs = (pool.token_0_program, pool.token_1_program)
    if address_bytes(mints[0]) >= address_bytes(mints[1]):
        raise BadAnswer(f"the mints of the pool {address} are not in order")
    if not {*programs} <= {TOKEN, TOKEN_2022}:
        raise BadAnswer(f"the pool {address} names {programs[0]} and {programs[1]} as token programs")
    return PoolState(
        keys=PoolKeys(
            address=address,
            mints=mints,
            vaults=(pool.token_0_vault, pool.token_1_vault),
            token_programs=programs,
            amm_config=pool.amm_config,
            observation=pool.observation_key,
        ),
        status=pool.status,
        lp_supply=pool.lp_supply,
        protocol_fees=(pool.protocol_fees_token_0, pool.protocol_fees_token_1),
        fund_fees=(pool.fund_fees_token_0, pool.fund_fees_token_1),
        creator_fees=(pool.creator_fees_token_0, pool.creator_fees_token_1),
        open_time=pool.open_time,
        creator_fee_on=pool.creator_fee_on,
        enable_creator_fee=pool.enable_creator_fee,
    )


def read_config(address: str, account: Account | None, program: str) -> AmmConfig:
    """The rates of the config at `address`. Raises `BadAnswer` for an account that is not a config of `program`, or has
    impossible rates."""
    config = CONFIG.read(address, account, owner=program)
    try:
        return AmmConfig(**config._asdict())
    except ValueError as error:
        raise BadAnswer(f"the config {address}: {error}") from error


def reserves(state: PoolState, held: tuple[int, int]) -> tuple[int, int]:
    """What is for sale of token 0 and token 1: the balances of the vaults without the fees in them (base units)."""
    first, second = (
        amount - state.protocol_fees[side] - state.fund_fees[side] - state.creator_fees[side]
        for side, amount in enumerate(held)
    )
    return first, second


def cpmm_pool(state: PoolState, config: AmmConfig, vault_0_amount: int, vault_1_amount: int) -> CpmmPool:
    """The pool as the curve prices it: its account, its config and the balances of its vaults (base units)."""
    return CpmmPool(
        amm_config=config,
        vault_0_amount=vault_0_amount,
        vault_1_amount=vault_1_amount,
        protocol_fees_token_0=state.protocol_fees[0],
        protocol_fees_token_1=state.protocol_fees[1],
        fund_fees_token_0=state.fund_fees[0],
        fund_fees_token_1=state.fund_fees[1],
        creator_fees_token_0=state.creator_fees[0],
        creator_fees_token_1=state.creator_fees[1],
        creator_fee_on=state.creator_fee_on,
        enable_creator_fee=state.enable_creator_fee,
        status=state.status,
        open_time=state.open_time,
    )

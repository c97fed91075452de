"""The accounts of Raydium's CLMM program (raydium-clmm, `states/`): pool, config, tick array and bitmap extension."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, NamedTuple

from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.clmm import ClmmConfig, ClmmPool
from dexexec_adapters.curves.clmm_ticks import TICKS_IN_ARRAY, Tick, TickArray, bitmap_of
from dexexec_adapters.pools import search
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.layout import (
    I32,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    Layout,
    Pubkey,
    Rows,
    Wire,
    after,
    rows,
    wide,
)

MOST_ARRAYS = 512
"""Tick arrays whose ticks are kept. An array changes only when a swap crosses one of its ticks, or a position moves."""


class _Pool(NamedTuple):
    amm_config: Annotated[Pubkey, after(1)]
    token_mint_0: Annotated[Pubkey, after(32)]  # after the creator
    token_mint_1: Pubkey
    token_vault_0: Pubkey
    token_vault_1: Pubkey
    observation_key: Pubkey
    tick_spacing: Annotated[U16, after(2)]
    liquidity: U128
    sqrt_price_x64: U128
    tick_current: I32
    protocol_fees_token_0: Annotated[U64, after(36)]
    protocol_fees_token_1: U64
    status: Annotated[U8, after(64)]
    fee_on: U8  # padding, which is 0, until 2026
    tick_array_bitmap: Annotated[bytes, after(513), Wire("128s")]  # after the rewards
    fund_fees_token_0: Annotated[U64, after(32)]
    fund_fees_token_1: U64
    open_time: U64
    dynamic_fee_info: Annotated[int, after(8), wide(80)]  # padding, which is 0, until 2026


class _Config(NamedTuple):
    protocol_fee_rate: Annotated[U32, after(35)]
    trade_fee_rate: U32
    fund_fee_rate: Annotated[U32, after(2)]  # after the spacing, which the pool has too


class _Tick(NamedTuple):
    tick: I32
    liquidity_net: I128
    liquidity_gross: U128
    orders_amount: Annotated[U64, after(88)]  # padding, which is 0, until 2026
    part_filled_orders_remaining: U64


class _Array(NamedTuple):
    pool_id: Pubkey
    start_tick_index: I32
    ticks: Annotated[Rows[_Tick], rows(_Tick, TICKS_IN_ARRAY, size=168)]


class _Extension(NamedTuple):
    pool_id: Pubkey
    positive: Annotated[bytes, Wire("896s")]
    negative: Annotated[bytes, Wire("896s")]


POOL = Layout("pool", _Pool, discriminator="f7ede3f5d7c3de46", size=1544)
CONFIG = Layout("config", _Config, discriminator="daf42168cbcb2b6f", size=117)
ARRAY = Layout("tick array", _Array, discriminator="c09b55cd31f9812a", size=10240)
EXTENSION = Layout("bitmap extension", _Extension, discriminator="3c9624db61808b99", size=1832)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKeys(search.PoolKeys):
    """The constant addresses of a pool, in the order token 0, token 1. `extension` is empty for a pool whose ticks are
    so far apart that its own bitmap has all arrays."""

    amm_config: str
    observation: str
    extension: str

    @property
    def written(self) -> tuple[str, ...]:
        """Pool, vaults, and the record of prices."""
        return (self.address, *self.vaults, self.observation)


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool account and its constant addresses."""

    keys: PoolKeys
    account: _Pool

    @property
    def depth(self) -> int:
        """The liquidity at the price."""
        # A narrow position makes it large for little money. But a config has one pool of a pair, so such pools are few.
        return self.account.liquidity

    @property
    def fees(self) -> tuple[int, int]:
        """What the vaults hold for Raydium (base units of token 0 and token 1)."""
        held = self.account
        return (
            held.protocol_fees_token_0 + held.fund_fees_token_0,
            held.protocol_fees_token_1 + held.fund_fees_token_1,
        )


def pool_filters(mint_a: bytes, mint_b: bytes) -> AccountFilters:
    """The search for all pools of two mints, in any order."""
    # The program requires token 0 to be the smaller mint.
    mint_0, mint_1 = sorted((mint_a, mint_b))
    return POOL.filters(token_mint_0=mint_0, token_mint_1=mint_1)


def read_pool(address: str, account: Account | None, program: str) -> _Pool:
    """The pool at `address`. Raises `BadAnswer` for an account that is not a pool of `program`."""
    pool = POOL.read(address, account, owner=program)
    if address_bytes(pool.token_mint_0) >= address_bytes(pool.token_mint_1):
        raise BadAnswer(f"the mints of the pool {address} are not in order")
    if pool.tick_spacing == 0:
        raise BadAnswer(f"the tick spacing of the pool {address} is 0")
    return pool


def read_config(address: str, account: Account | None, program: str) -> ClmmConfig:
    """The rates of the config at `address`. Raises `BadAnswer` for an account that is not a config of `program`, or has
    impossible rates."""
    config = CONFIG.read(address, account, owner=program)
    try:
        return ClmmConfig(**config._asdict())
    except ValueError as error:
        raise BadAnswer(f"the config {address}: {error}") from error


def read_array(address: str, account: Account | None, state: PoolState, program: str) -> TickArray:
    """The ticks in use of the array at `address`. Raises `BadAnswer` for another account than an array of the pool."""
    array = ARRAY.read(address, account, owner=program)
    if array.pool_id != state.keys.address:
        raise BadAnswer(f"the tick array {address} is of the pool {array.pool_id}, not of {state.keys.address}")
    try:
        return _ticks(array.ticks, array.start_tick_index, state.account.tick_spacing)
    except ValueError as error:
        raise BadAnswer(f"the tick array {address}: {error}") from error


@lru_cache(maxsize=MOST_ARRAYS)
def _ticks(found: Rows[_Tick], start: int, spacing: int) -> TickArray:
    """Raises `ValueError` for a tick in use that is in another's place."""
    ticks = []
    for place, row in enumerate(found):
        has_orders = bool(row.orders_amount or row.part_filled_orders_remaining)
        if row.liquidity_gross or has_orders:
            if row.tick != start + place * spacing:
                raise ValueError(f"tick {row.tick} is in the place of {start + place * spacing}")
            ticks.append(Tick(row.tick, row.liquidity_net, has_orders))
    return TickArray(start, tuple(ticks))


def clmm_pool(state: PoolState, config: ClmmConfig, extension: Account | None, program: str) -> ClmmPool:
    """The pool as the curve prices it, without tick arrays. Without its extension, no array beyond the pool's own
    bitmap is known, as for the program. Raises `BadAnswer` for an extension of another pool."""
    pool = state.account
    beyond = (b"", b"")
    if extension is not None:
        read = EXTENSION.read(state.keys.extension, extension, owner=program)
        if read.pool_id != state.keys.address:
            raise BadAnswer(f"the bitmap extension {state.keys.extension} is of the pool {read.pool_id}")
        beyond = (read.positive, read.negative)
    return ClmmPool(
        config=config,
        tick_spacing=pool.tick_spacing,
        tick_current=pool.tick_current,
        sqrt_price=pool.sqrt_price_x64,
        liquidity=pool.liquidity,
        bitmap=bitmap_of(pool.tick_array_bitmap, *beyond),
        status=pool.status,
        open_time=pool.open_time,
        fee_on=pool.fee_on,
        has_dynamic_fee=pool.dynamic_fee_info != 0,
    )

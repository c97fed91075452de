"""The pool account of Raydium's AMM v4 (raydium-amm, `state.rs`).

It has no discriminator: owner and size identify it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.raydium_amm import AmmV4Pool
from dexexec_adapters.pools import search
from dexexec_adapters.solana.layout import U64, Layout, Pubkey, after
from dexexec_adapters.solana.spl import TOKEN


class AmmInfo(NamedTuple):
    """The fields that a swap depends on. The program calls the pool's tokens coin and pc."""

    status: U64
    nonce: U64
    swap_fee_numerator: Annotated[U64, after(160)]
    swap_fee_denominator: U64
    need_take_pnl_coin: U64
    need_take_pnl_pc: U64
    pool_open_time: Annotated[U64, after(16)]
    coin_vault: Annotated[Pubkey, after(104)]
    pc_vault: Pubkey
    coin_mint: Pubkey
    pc_mint: Pubkey
    lp_amount: Annotated[U64, after(256)]


POOL = Layout("pool", AmmInfo, size=752)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """A pool account with its constant addresses."""

    keys: search.PoolKeys
    info: AmmInfo

    @property
    def depth(self) -> int:
        """The supply of liquidity shares, about sqrt(x * y)."""
        return self.info.lp_amount


def pool_filters(coin: bytes, pc: bytes) -> AccountFilters:
    """The search for pools with these two tokens, in this order."""
    return POOL.filters(coin_mint=coin, pc_mint=pc)


def read_pool(address: str, account: Account | None, program: str, nonce: int) -> PoolState:
    """The pool at `address`. Raises `BadAnswer` for an account that is not a pool of `program`, or whose vaults belong
    to another address than the one that the program derives with `nonce`."""
    info = POOL.read(address, account, owner=program)
    if info.nonce != nonce:
        raise BadAnswer(f"the pool {address} has the nonce {info.nonce}, not {nonce}: another address owns its vaults")
    if not 0 <= info.swap_fee_numerator < info.swap_fee_denominator:
        fee = f"{info.swap_fee_numerator}/{info.swap_fee_denominator}"
        raise BadAnswer(f"the swap fee of the pool {address} is {fee}: it must be from 0 to below 1")
    keys = search.PoolKeys(
        address=address,
        mints=(info.coin_mint, info.pc_mint),
        vaults=(info.coin_vault, info.pc_vault),
        token_programs=(TOKEN, TOKEN),
    )
    return PoolState(keys=keys, info=info)


def curve_of(info: AmmInfo, held: Sequence[int]) -> AmmV4Pool:
    """The pool as the curve prices it. `held` are the balances of its vaults (base units)."""
    coin, pc = held
    return AmmV4Pool(
        vaults=(coin, pc),
        taken=(info.need_take_pnl_coin, info.need_take_pnl_pc),
        fee_numerator=info.swap_fee_numerator,
        fee_denominator=info.swap_fee_denominator,
        status=info.status,
        open_time=info.pool_open_time,
    )

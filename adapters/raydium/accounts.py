"""Reads the pool and config accounts of Raydium's CPMM program (raydium-cp-swap, `states/pool.rs`, `states/config.rs`).

The bytes come from a node and are not trusted: owner, Anchor's discriminator (the first eight bytes) and size are
checked before any field is read. Integers are little-endian.
"""

from dataclasses import dataclass
from struct import unpack_from

from dexexec.domain import base58
from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.cpmm import AmmConfig, CpmmPool
from dexexec_adapters.pools import search
from dexexec_adapters.solana.account_data import checked_data
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022

POOL_SIZE = 637
POOL_DISCRIMINATOR = bytes.fromhex("f7ede3f5d7c3de46")
CONFIG_SIZE = 236
CONFIG_DISCRIMINATOR = bytes.fromhex("daf42168cbcb2b6f")
MINT_0_AT = 168
MINT_1_AT = 200


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
    return AccountFilters(POOL_SIZE, ((0, POOL_DISCRIMINATOR), (MINT_0_AT, mint_0), (MINT_1_AT, mint_1)))


def read_pool(address: str, account: Account | None, program: str) -> PoolState:
    """The pool at `address`. Raises `BadAnswer` for an account that is not a pool of `program`."""
    data = checked_data("pool", address, account, owner=program, size=POOL_SIZE, discriminator=POOL_DISCRIMINATOR)
    # Ten addresses follow the discriminator; the LP mint and the pool's creator among them are not used.
    keys = [base58.encode(data[at : at + 32]) for at in range(8, 328, 32)]
    config, _, vault_0, vault_1, _, mint_0, mint_1, program_0, program_1, observation = keys
    if data[MINT_0_AT : MINT_0_AT + 32] >= data[MINT_1_AT : MINT_1_AT + 32]:
        raise BadAnswer(f"the mints of the pool {address} are not in order")
    if not {program_0, program_1} <= {TOKEN, TOKEN_2022}:
        raise BadAnswer(f"the pool {address} names {program_0} and {program_1} as token programs")
    supply, protocol_0, protocol_1, fund_0, fund_1, open_time = unpack_from("<6Q", data, 333)
    # The creator's fee was added in August 2025. Older accounts have zeros here, which means no such fee.
    creator_fee_on = data[389]
    enabled = data[390]
    if enabled > 1:
        raise BadAnswer(f"enable_creator_fee of the pool {address} is {enabled}: only 0 and 1 are valid")
    creator_0, creator_1 = unpack_from("<2Q", data, 397)
    return PoolState(
        keys=PoolKeys(
            address=address,
            mints=(mint_0, mint_1),
            vaults=(vault_0, vault_1),
            token_programs=(program_0, program_1),
            amm_config=config,
            observation=observation,
        ),
        status=data[329],
        lp_supply=supply,
        protocol_fees=(protocol_0, protocol_1),
        fund_fees=(fund_0, fund_1),
        creator_fees=(creator_0, creator_1),
        open_time=open_time,
        creator_fee_on=creator_fee_on,
        enable_creator_fee=bool(enabled),
    )


def read_config(address: str, account: Account | None, program: str) -> AmmConfig:
    """The rates of the config at `address`. Raises `BadAnswer` for an account that is not a config of `program`, or has
    impossible rates."""
    data = checked_data("config", address, account, owner=program, size=CONFIG_SIZE, discriminator=CONFIG_DISCRIMINATOR)
    trade, protocol, fund = unpack_from("<3Q", data, 12)
    (creator,) = unpack_from("<Q", data, 108)
    try:
        return AmmConfig(trade, protocol, fund, creator)
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

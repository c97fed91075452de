"""Accounts of Raydium's CPMM program (raydium-cp-swap, `states/pool.rs`, `states/config.rs`) as values.

Bytes come from a node and are not trusted: the owner and Anchor's discriminator (the first eight bytes) are checked
before anything is read, sizes are exact, integers little-endian. The fields of the creator's fee came in August 2025;
accounts of before have zeros there, which means the same: no such fee.
"""

from dataclasses import dataclass
from struct import unpack_from

from dexexec.domain import base58
from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.cpmm import AmmConfig, CpmmPool
from dexexec_adapters.pools import search
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022

MINT_0_AT, MINT_1_AT = 168, 200


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells one kind of the program's accounts: its size in bytes, and its first eight of them."""

    name: str
    size: int
    discriminator: bytes


POOL = Kind("pool", 637, bytes.fromhex("f7ede3f5d7c3de46"))
CONFIG = Kind("config", 236, bytes.fromhex("daf42168cbcb2b6f"))


@dataclass(frozen=True, slots=True)
class PoolKeys(search.PoolKeys):
    """What never changes about a pool, in the order token 0, token 1."""

    amm_config: str
    observation: str


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool account. Fees are base units owed and still in the vaults, for token 0 and token 1; `lp_supply` is in
    units of the LP token; `open_time` is Unix seconds; `status` has a bit for each thing that is switched off."""

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
        """Liquidity shares are about sqrt(x * y): nobody has many of them without having put as much in."""
        return self.lp_supply


def pool_filters(mint_a: bytes, mint_b: bytes) -> AccountFilters:
    """All pools of a pair of mints, given in any order: a pool has them in the order of their bytes."""
    mint_0, mint_1 = sorted((mint_a, mint_b))
    return AccountFilters(POOL.size, ((0, POOL.discriminator), (MINT_0_AT, mint_0), (MINT_1_AT, mint_1)))


def read_pool(address: str, account: Account | None, program: str) -> PoolState:
    """The pool at `address`. Raises `BadAnswer` for what is no pool of `program`."""
    data = _data_of(POOL, address, account, program)
    keys = [base58.encode(data[at : at + 32]) for at in range(8, 328, 32)]
    config, _, vault_0, vault_1, _, mint_0, mint_1, program_0, program_1, observation = keys
    if data[MINT_0_AT : MINT_0_AT + 32] >= data[MINT_1_AT : MINT_1_AT + 32]:
        raise BadAnswer(f"the mints of the pool {address} are not in order")
    if not {program_0, program_1} <= {TOKEN, TOKEN_2022}:
        raise BadAnswer(f"the pool {address} names {program_0} and {program_1} as token programs")
    supply, protocol_0, protocol_1, fund_0, fund_1, open_time = unpack_from("<6Q", data, 333)
    creator_fee_on, enabled = data[389], data[390]
    if enabled > 1:
        raise BadAnswer(f"enable_creator_fee of the pool {address} is {enabled}: known are 0 and 1")
    creator_0, creator_1 = unpack_from("<2Q", data, 397)
    return PoolState(
        keys=PoolKeys(address, (mint_0, mint_1), (vault_0, vault_1), (program_0, program_1), config, observation),
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
    """The rates at `address`. Raises `BadAnswer` for what is no config of `program`, or has rates that cannot be."""
    data = _data_of(CONFIG, address, account, program)
    trade, protocol, fund = unpack_from("<3Q", data, 12)
    (creator,) = unpack_from("<Q", data, 108)
    try:
        return AmmConfig(trade, protocol, fund, creator)
    except ValueError as error:
        raise BadAnswer(f"the config {address}: {error}") from error


def cpmm_pool(state: PoolState, config: AmmConfig, vault_0_amount: int, vault_1_amount: int) -> CpmmPool:
    """What the curve prices: a pool account with its config and what its vaults hold (base units)."""
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


def _data_of(kind: Kind, address: str, account: Account | None, program: str) -> bytes:
    """The account's data, if they can be what is looked for."""
    if account is None:
        raise BadAnswer(f"there is no {kind.name} {address}")
    if account.owner != program:
        raise BadAnswer(f"the {kind.name} {address} belongs to {account.owner}, not to the program {program}")
    data = account.data
    if data[:8] != kind.discriminator:
        raise BadAnswer(f"the account {address} is no {kind.name}: its discriminator is {data[:8].hex() or 'missing'}")
    if len(data) != kind.size:
        raise BadAnswer(f"the {kind.name} {address} has {len(data)} bytes: {kind.size} are due")
    return data

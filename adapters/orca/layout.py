"""The accounts of Orca's Whirlpool program (orca-so/whirlpools at commit 630c0e0, `programs/whirlpool/src/state`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Annotated, NamedTuple

from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.whirlpool_fees import AdaptiveFee
from dexexec_adapters.curves.whirlpool_ticks import TICKS_IN_ARRAY, Tick, TickArray
from dexexec_adapters.pools import search
from dexexec_adapters.solana.layout import I32, U16, U32, U64, U128, Layout, Pubkey, Wire, after
from dexexec_adapters.solana.spl import SYSTEM

Used = tuple[tuple[int, int], ...]
"""The ticks of an array that are in use: each by its place among the 88, with its `liquidity_net`."""


class Pool(NamedTuple):
    """A pool. Its tokens are called A and B."""

    tick_spacing: Annotated[U16, after(33)]  # after the config and the bump of the address
    fee_rate: Annotated[U16, after(2)]
    protocol_fee_rate: U16
    liquidity: U128
    sqrt_price: U128
    tick_current: I32
    protocol_fee_a: U64
    protocol_fee_b: U64
    token_mint_a: Pubkey
    token_vault_a: Pubkey
    token_mint_b: Annotated[Pubkey, after(16)]
    token_vault_b: Pubkey


def _net(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


_FIXED_TICK = Struct("<B16s96x")
"""Whether the tick is in use, and its `liquidity_net`."""


def _fixed(data: bytes) -> Used:
    return tuple((place, _net(net)) for place, (used, net) in enumerate(_FIXED_TICK.iter_unpack(data)) if used)


class FixedArray(NamedTuple):
    """An array with room for all ticks."""

    start: I32
    used: Annotated[Used, Wire(f"{_FIXED_TICK.size * TICKS_IN_ARRAY}s", _fixed)]
    pool: Pubkey


class DynamicArray(NamedTuple):
    """The head of an array that grows with its ticks, which follow."""

    start: I32
    pool: Pubkey


class Oracle(NamedTuple):
    """When the pool opens, and its adaptive fee."""

    pool: Pubkey
    opens_at: U64
    filter_period: U16
    decay_period: U16
    reduction_factor: U16
    control_factor: U32
    max_volatility: U32
    group_size: U16
    major_swap_ticks: U16
    reference_updated_at: Annotated[U64, after(16)]
    major_swap_at: U64
    volatility_reference: U32
    group_reference: I32
    volatility: U32


POOL = Layout("pool", Pool, discriminator="3f95d10ce1806309", size=653)
FIXED_ARRAY = Layout("tick array", FixedArray, discriminator="4561bdbe6e0742bb", size=9988)
DYNAMIC_ARRAY = Layout("tick array", DynamicArray, discriminator="11d8f68ee1c7da38", size=148, or_more=True)
ORACLE = Layout("oracle", Oracle, discriminator="8bc283b38cb3e5f4", size=254)
DYNAMIC_TICKS_AT = 60
"""Where the ticks of a dynamic array begin: after its head and a bitmap of them."""
DYNAMIC_TICK_SIZE = 112


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKeys(search.PoolKeys):
    """The constant addresses of a pool, in the order A, B. Only pools with an adaptive fee have an account at
    `oracle`."""

    oracle: str

    @property
    def written(self) -> tuple[str, ...]:
        """What every swap writes to. It also writes to arrays of ticks."""
        return (self.address, *self.vaults, self.oracle)


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool account with its constant addresses."""

    keys: PoolKeys
    pool: Pool

    @property
    def depth(self) -> int:
        """The liquidity at the price."""
        return self.pool.liquidity


def pool_filters(mint_a: bytes, mint_b: bytes) -> AccountFilters:
    """The search for all pools of two mints, in any order."""
    # The program requires token A to be the smaller mint.
    low, high = sorted((mint_a, mint_b))
    return POOL.filters(token_mint_a=low, token_mint_b=high)


def read_array(address: str, account: Account | None, program: str, state: PoolState, start: int) -> TickArray:
    """The array of a pool's ticks from `start` on. One that does not exist has none. Raises `BadAnswer` for another
    account."""
    if _is_missing(account):
        return TickArray(start)
    assert account is not None  # noqa: S101 - it is not missing
    array: FixedArray | DynamicArray
    if account.data[:8] == DYNAMIC_ARRAY.discriminator:
        array = DYNAMIC_ARRAY.read(address, account, owner=program)
        try:
            used = _dynamic(account.data[DYNAMIC_TICKS_AT:])
        except ValueError as error:
            raise BadAnswer(f"the tick array {address}: {error}") from error
    else:
        array = FIXED_ARRAY.read(address, account, owner=program)
        used = array.used
    pool = state.keys.address
    if (array.start, array.pool) != (start, pool):
        raise BadAnswer(f"the tick array {address} is {array.start} of {array.pool}, not {start} of {pool}")
    return _array(start, state.pool.tick_spacing, used)


def read_oracle(address: str, account: Account | None, program: str, pool: str) -> tuple[AdaptiveFee | None, int]:
    """The adaptive fee of a pool, if it has one, and when it opens (Unix seconds). Raises `BadAnswer` for another
    account."""
    if _is_missing(account):
        return None, 0
    oracle = ORACLE.read(address, account, owner=program)
    if oracle.pool != pool:
        raise BadAnswer(f"the oracle {address} is of {oracle.pool}, not of {pool}")
    values = oracle._asdict()
    del values["pool"], values["opens_at"]
    try:
        return AdaptiveFee(**values), oracle.opens_at
    except ValueError as error:
        raise BadAnswer(f"the oracle {address}: {error}") from error


def _is_missing(account: Account | None) -> bool:
    """Whether there is nothing but perhaps some lamports, which any wallet can send to an address."""
    return account is None or (account.owner == SYSTEM and not account.data)


@lru_cache(maxsize=256)
def _dynamic(data: bytes) -> Used:
    """The ticks of a dynamic array. Each has a byte that is 0 for one that is not in use, and 1 before its fields.
    Raises `ValueError`."""
    return tuple(_dynamic_ticks(data))


def _dynamic_ticks(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    for place in range(TICKS_IN_ARRAY):
        kind = data[at] if at < len(data) else None
        at += 1
        if kind == 1 and at + DYNAMIC_TICK_SIZE <= len(data):
            yield place, _net(data[at : at + 16])
            at += DYNAMIC_TICK_SIZE
        elif kind != 0:
            raise ValueError(f"its tick {place} is cut off or of the unknown kind {kind}")


@lru_cache(maxsize=256)
def _array(start: int, spacing: int, used: Used) -> TickArray:
    return TickArray(start, tuple(Tick(start + place * spacing, net) for place, net in used))

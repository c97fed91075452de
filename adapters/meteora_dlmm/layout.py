"""The accounts of Meteora's DLMM program (MeteoraAg/dlmm-sdk at fb02e51, `idls/dlmm.json` 0.12.0)."""

from dataclasses import dataclass
from struct import Struct
from typing import Annotated, NamedTuple

from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.curves.dlmm import DlmmPool
from dexexec_adapters.curves.dlmm_bins import BINS_PER_ARRAY, ArrayMap, Bin
from dexexec_adapters.curves.dlmm_fees import DlmmFee, DlmmVolatility
from dexexec_adapters.pools import search
from dexexec_adapters.solana.layout import I32, I64, U8, U16, U32, U64, Layout, Pubkey, Wire, after, wide
from dexexec_adapters.solana.spl import SYSTEM, TOKEN, TOKEN_2022

_TOKEN_PROGRAMS = (TOKEN, TOKEN_2022)
"""The token program by `token_x_flag` or `token_y_flag`."""
NO_MINT = SYSTEM
"""32 zero bytes in base58: a pool without this reward."""

# Values of `_Fee.function_type`. The first is that of pools from before limit orders.
UNDETERMINED = 0
REWARDS = 1
LIMIT_ORDERS = 2


class _Fee(NamedTuple):
    base_factor: U16
    filter_period: U16
    decay_period: U16
    reduction_factor: U16
    variable_fee_control: U32
    max_volatility_accumulator: U32
    protocol_share: Annotated[U16, after(8)]  # after the lowest and the highest bin
    base_fee_power_factor: U8
    function_type: U8
    collect_fee_mode: U8


class _Volatility(NamedTuple):
    accumulator: U32
    reference: U32
    index_reference: I32
    updated_at: Annotated[I64, after(4)]


class Pair(NamedTuple):
    """A pool, which the program calls a pair."""

    fee: _Fee
    volatility: Annotated[_Volatility, after(3)]
    pair_type: Annotated[U8, after(11)]
    active_id: I32
    bin_step: U16
    status: U8
    activation_type: Annotated[U8, after(3)]
    token_x_mint: Annotated[Pubkey, after(1)]
    token_y_mint: Pubkey
    reserve_x: Pubkey
    reserve_y: Pubkey
    protocol_x: U64
    protocol_y: U64
    reward_0_mint: Annotated[Pubkey, after(32)]
    reward_1_mint: Annotated[Pubkey, after(112)]
    oracle: Annotated[Pubkey, after(112)]
    marked: Annotated[int, wide(128)]
    activation_point: Annotated[U64, after(104)]
    token_x_flag: Annotated[U8, after(56)]
    token_y_flag: U8


_BIN = Struct("<QQQQ80xQ8xQ4x?3x")
"""Both reserves, the price in two halves, open and processed limit orders, and their side."""


def _bins(data: bytes) -> tuple[Bin, ...]:
    return tuple(
        Bin(x, y, low | high << 64, opened, processed, ask)
        for x, y, low, high, opened, processed, ask in _BIN.iter_unpack(data)
    )


class BinArray(NamedTuple):
    """The bins from `array_index` x 70 on."""

    array_index: I64
    pair: Annotated[Pubkey, after(8)]
    # All at once: a swap walks through them, and an array is decoded again only when it has changed.
    bins: Annotated[tuple[Bin, ...], Wire(f"{_BIN.size * BINS_PER_ARRAY}s", _bins)]


class Extension(NamedTuple):
    """The marks of the arrays that are too far from the middle for those of the pool."""

    pair: Pubkey
    above: Annotated[int, wide(768)]
    below: Annotated[int, wide(768)]


PAIR = Layout("pool", Pair, discriminator="210b3162b565b10d", size=904)
BIN_ARRAY = Layout("bin array", BinArray, discriminator="5c8e5cdc059446b5", size=10136)
EXTENSION = Layout("bitmap extension", Extension, discriminator="506f7c7137ed1205", size=1576)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKeys(search.PoolKeys):
    """The constant addresses of a pool, in the order X, Y. There may be no account at `extension`."""

    oracle: str
    extension: str

    @property
    def written(self) -> tuple[str, ...]:
        """What every swap writes to. It also writes to arrays of bins."""
        return (self.address, *self.vaults, self.oracle)


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool account: its addresses, and its curve without arrays and without the marks of the extension."""

    keys: PoolKeys
    curve: DlmmPool

    @property
    def depth(self) -> int:
        """Unknown: a pool does not count what its bins hold."""
        return 0


def pool_filters(mint_x: bytes, mint_y: bytes) -> AccountFilters:
    """The search for all pools with these mints as X and Y."""
    return PAIR.filters(token_x_mint=mint_x, token_y_mint=mint_y)


def read_pool(address: str, account: Account | None, program: str, extension: str) -> PoolState:
    """The pool at `address`, with its derived `extension`.

    Raises `BadAnswer` for an account that is not a pool of `program`, and `Unsupported` for an unknown function or
    token program.
    """
    pair = PAIR.read(address, account, owner=program)
    if pair.token_x_mint == pair.token_y_mint or pair.reserve_x == pair.reserve_y:
        raise BadAnswer(f"both tokens of the pool {address} are the same")
    keys = PoolKeys(
        address=address,
        mints=(pair.token_x_mint, pair.token_y_mint),
        vaults=(pair.reserve_x, pair.reserve_y),
        token_programs=(
            _token_program(address, "token_x_flag", pair.token_x_flag),
            _token_program(address, "token_y_flag", pair.token_y_flag),
        ),
        oracle=pair.oracle,
        extension=extension,
    )
    return PoolState(keys, _curve(address, pair))


def read_bins(address: str, account: Account | None, program: str, pool: str, index: int) -> tuple[Bin, ...]:
    """The bins of the array `index` of a pool. Raises `BadAnswer` for any other account."""
    array = BIN_ARRAY.read(address, account, owner=program)
    if (array.array_index, array.pair) != (index, pool):
        raise BadAnswer(f"the bin array {address} is {array.array_index} of {array.pair}, not {index} of {pool}")
    return array.bins


def read_extension(address: str, account: Account | None, program: str, pool: str) -> Extension | None:
    """The extension of a pool, or None if it has none. Raises `BadAnswer` for any other account."""
    if account is None:
        return None
    extension = EXTENSION.read(address, account, owner=program)
    if extension.pair != pool:
        raise BadAnswer(f"the bitmap extension {address} is of {extension.pair}, not of {pool}")
    return extension


def _curve(address: str, pair: Pair) -> DlmmPool:
    fee = pair.fee
    if fee.function_type not in (UNDETERMINED, REWARDS, LIMIT_ORDERS):
        raise Unsupported(f"function_type of the pool {address} is {fee.function_type}: only 0 to 2 are supported")
    no_rewards = pair.reward_0_mint == pair.reward_1_mint == NO_MINT
    return DlmmPool(
        fee=DlmmFee(
            base_factor=fee.base_factor,
            bin_step=pair.bin_step,
            base_fee_power_factor=fee.base_fee_power_factor,
            filter_period=fee.filter_period,
            decay_period=fee.decay_period,
            reduction_factor=fee.reduction_factor,
            variable_fee_control=fee.variable_fee_control,
            max_volatility_accumulator=fee.max_volatility_accumulator,
            protocol_share=fee.protocol_share,
        ),
        volatility=DlmmVolatility(**pair.volatility._asdict()),
        active_id=pair.active_id,
        marked=ArrayMap(pair.marked),
        collect_fee_mode=fee.collect_fee_mode,
        with_orders=fee.function_type == LIMIT_ORDERS or (fee.function_type == UNDETERMINED and no_rewards),
        protocol_x=pair.protocol_x,
        protocol_y=pair.protocol_y,
        pair_type=pair.pair_type,
        status=pair.status,
        activation_type=pair.activation_type,
        activation_point=pair.activation_point,
    )


def _token_program(address: str, field: str, flag: int) -> str:
    if flag >= len(_TOKEN_PROGRAMS):
        raise Unsupported(f"{field} of the pool {address} is {flag}: only 0 (Token) and 1 (Token-2022) are supported")
    return _TOKEN_PROGRAMS[flag]

"""The venue `meteora-dlmm`: quotes and swaps of Meteora's DLMM pools (the program lb_clmm) on Solana.

`adapters/pools/venue.py` does the work; this module has what is specific to the program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dexexec.domain.depth import Stretch
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, AccountMeta, Instruction
from dexexec.venue import BadAnswer, NoRoute, Slippage, VenueError, pace_of
from dexexec_adapters.curves.dlmm import (
    ACTIVATED_TYPES,
    BY_TIMESTAMP,
    DlmmPool,
    arrays_ahead,
    quote_exact_in,
    quote_exact_out,
    stretches,
)
from dexexec_adapters.curves.dlmm_bins import Bin, is_outer
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.meteora_dlmm import layout
from dexexec_adapters.meteora_dlmm.layout import PoolKeys, PoolState
from dexexec_adapters.pools.needed import MAX_ARRAYS
from dexexec_adapters.pools.options import CONFIGS_SETTING, PoolOptions
from dexexec_adapters.pools.quoted import arrays_of
from dexexec_adapters.pools.search import Mints
from dexexec_adapters.pools.venue import PoolVenue
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.addresses import Addresses, address_bytes
from dexexec_adapters.solana.clusters import METEORA_DLMM
from dexexec_adapters.solana.layout import owned

SWAPS = {Mode.EXACT_IN: bytes.fromhex("414b3f4ceb5b5b88"), Mode.EXACT_OUT: bytes.fromhex("2bd7f784893cf351")}
"""The instructions `swap2` and `swap_exact_out2`, which work with both token programs."""
CUSTOM_POOLS = "MFGQxwAmB91SwuYX36okv2Qmdc9aMuHTwWGUrp4AtB1"
"""The seed of pools that were made without a preset (`seeds.rs`)."""
AROUND = 2
"""Arrays of bins in each direction that are read with a pool, the current one included."""
CLEARLY_ABOVE = 16
"""Base units."""

_MOVED = Slippage("the price moved past the order's bound")
_PAST = Slippage("the price moved past the bins that the swap may use")
_OVERFLOW = NoRoute("the amounts are more than the pool can count")
FAILURES: Mapping[int, VenueError] = {
    **dict.fromkeys((6003, 6057, 6085, 6104), _MOVED),
    **dict.fromkeys((3005, 6009, 6036), _PAST),
    **dict.fromkeys((6012, 6037, 6038), NoRoute("the pool's bins do not hold enough")),
    **dict.fromkeys((6018, 6019), _OVERFLOW),
    6039: NoRoute("the amount is too small: after fees and rounding nothing comes out"),
    6042: NoRoute("the pool is disabled, or not open yet"),
    2006: BadAnswer("an account is not the one that the program derives"),
}
"""Error numbers of the program's IDL and of Anchor. Missing funds are left out (1, of the token programs; 3012, no
account): the engine has the balances, and reports them with token and amount."""


class MeteoraDlmmOptions(PoolOptions):
    """Settings of the venue."""

    configs_field = "presets"
    presets: Addresses = CONFIGS_SETTING


class MeteoraDlmm(PoolVenue[PoolKeys, PoolState, DlmmPool]):
    """Quotes and builds swaps, each with one DLMM pool."""

    name = "meteora-dlmm"
    Options = MeteoraDlmmOptions
    options_prefix = "DEXEXEC_METEORA_DLMM_"
    kind = "DLMM"
    deployments = METEORA_DLMM
    failures = FAILURES
    depth_in_vaults = True

    # ---- its pools ----

    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """Two searches, because a pool may have the pair in either order."""
        return [layout.pool_filters(*mints) for mints in (pair, pair[::-1])]

    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """The pool without a preset, and the pools from each preset of the options."""
        return [self.derived(address_bytes(made), *sorted(pair)) for made in (CUSTOM_POOLS, *self.configs)]

    def read_pool(self, address: str, account: Account | None) -> PoolState:
        """The pool, after checking owner, discriminator, size and tokens."""
        extension = self.derived(b"bitmap", address_bytes(address))
        return layout.read_pool(address, account, self.program_id, extension)

    def check_config(self, address: str, account: Account | None) -> None:
        """Check the owner. No field of a preset is used."""
        owned("preset", address, account, self.program_id)

    def vault_owner(self, pool: PoolKeys) -> str:
        """The pool itself."""
        return pool.address

    def reserves(self, state: PoolState, held: tuple[int, int]) -> tuple[int, int]:
        """The vaults without the protocol's fees. They also hold unclaimed fees of positions."""
        return max(held[0] - state.curve.protocol_x, 0), max(held[1] - state.curve.protocol_y, 0)

    def launched_at_ms(self, state: PoolState, now: ChainTime) -> int:
        """The pool's activation. Most pools have none: they opened when they were made, which the account does not
        show. A slot is converted by the slots of today, which are exact for new pools."""
        curve = state.curve
        if curve.pair_type not in ACTIVATED_TYPES:
            return 0
        if curve.activation_type == BY_TIMESTAMP:
            return curve.activation_point * 1000
        return round((now.unix_timestamp - pace_of(self.chain).seconds(now.slot - curve.activation_point)) * 1000)

    # ---- what a price depends on ----

    def accounts_of(self, pool: PoolKeys) -> Sequence[str]:
        """The mints, the pool, its vaults and its bitmap extension."""
        return [*pool.mints, pool.address, *pool.vaults, pool.extension]

    def arrays_of(self, state: PoolState) -> Sequence[str]:
        """The nearest arrays with liquidity in both directions."""
        near = (arrays_ahead(state.curve, AROUND, a_to_b=a_to_b) for a_to_b in (True, False))
        return [self.array_at(state.keys, index) for indexes in near for index in indexes]

    def array_at(self, pool: PoolKeys, index: int) -> str:
        """The array of the bins from `index` x 70 on."""
        return self.derived(b"bin_array", address_bytes(pool.address), index.to_bytes(8, "little", signed=True))

    def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> DlmmPool:
        """The pool with its extension and the arrays that were read."""
        pool = state.keys
        found = accounts[pool.extension]
        curve = state.curve
        if extension := layout.read_extension(pool.extension, found, self.program_id, pool.address):
            marked = curve.marked._replace(above=extension.above, below=extension.below)
            curve = replace(curve, marked=marked)
        arrays: dict[int, tuple[Bin, ...]] = {}
        for a_to_b in (True, False):
            for index in arrays_ahead(curve, MAX_ARRAYS, a_to_b=a_to_b):
                address = self.array_at(pool, index)
                # A marked array exists. One that a node does not show is not an empty one, but one that is lacking.
                if (account := accounts.get(address)) is None:
                    break
                arrays[index] = layout.read_bins(address, account, self.program_id, pool.address, index)
        return replace(curve, arrays=arrays)

    # ---- prices ----

    def price(
        self, curve: DlmmPool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[DlmmPool]:
        """The swap by `adapters/curves/dlmm.py`."""
        price = quote_exact_in if request.mode is Mode.EXACT_IN else quote_exact_out
        return price(curve, request.amount, direction, now)

    def stretches(self, curve: DlmmPool, direction: TradeDirection, now: ChainTime) -> Sequence[Stretch]:
        """As far as its arrays were read."""
        return stretches(curve, direction, now)

    # ---- swaps ----

    def swap_accounts(self) -> Sequence[str]:
        """The address by which the program reports its events."""
        return [self.derived(b"__event_authority")]

    def likely_accounts(self, pool: str, pair: Mints) -> Sequence[str]:
        """The vaults and the pool's record of prices."""
        key = address_bytes(pool)
        return [*(self.derived(key, mint) for mint in pair), self.derived(b"oracle", key)]

    def swap(self, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
        """The swap from the first to the second of the payer's token accounts."""
        # Vaults and mints are in the order X, Y for both directions.
        arrays = arrays_of(quote)
        # The program's own address means that an optional account is not given.
        none = AccountMeta(self.program_id)
        metas = (
            AccountMeta(pool.address, writable=True),
            AccountMeta(pool.extension, writable=True) if any(map(is_outer, arrays)) else none,
            *(AccountMeta(address, writable=True) for address in (*pool.vaults, *accounts)),
            *map(AccountMeta, pool.mints),
            AccountMeta(pool.oracle, writable=True),
            none,  # the account of a host, which would get a part of the fee
            AccountMeta(payer, signer=True),
            *map(AccountMeta, (*pool.token_programs, spl.MEMO, self.derived(b"__event_authority"), self.program_id)),
            *(AccountMeta(self.array_at(pool, index), writable=True) for index in arrays),
        )
        exact_in = quote.request.mode is Mode.EXACT_IN
        amounts = (quote.amount_in, quote.min_out) if exact_in else (_most_in(quote), quote.amount_out)
        data = SWAPS[quote.request.mode] + b"".join(amount.to_bytes(8, "little") for amount in amounts)
        # At the end, the number of transfer hooks: mints that have one are not supported.
        return Instruction(self.program_id, metas, data + bytes(4))


def _most_in(quote: Quote) -> int:
    """The bound on the input of an exact output, in which the program realises the quote to the unit."""
    # A swap that empties its last bin takes what is left of the bound too, if that is all fee: one unit at most, but
    # more before a transfer fee. So the bound is either the input itself or clearly above it.
    return quote.max_in if quote.max_in - quote.amount_in >= CLEARLY_ABOVE else quote.amount_in

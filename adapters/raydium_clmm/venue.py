"""The venue `raydium-clmm`: quotes and swaps of Raydium's pools with concentrated liquidity on Solana.

`adapters/pools/venue.py` does the work; this module has what is specific to the program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dexexec.domain import base58
from dexexec.domain.depth import Stretch
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, AccountMeta, Instruction
from dexexec.venue import BadAnswer, NoRoute, Slippage, VenueContext, VenueError
from dexexec_adapters.curves.clmm import (
    ClmmConfig,
    ClmmPool,
    arrays_ahead,
    quote_exact_in,
    quote_exact_out,
    stretches,
    with_neighbours,
)
from dexexec_adapters.curves.clmm_ticks import TickArray
from dexexec_adapters.curves.swap import ChainTime, CurveError, Refusal, SwapResult, TradeDirection
from dexexec_adapters.pools.options import CONFIGS_SETTING, PoolOptions
from dexexec_adapters.pools.quoted import arrays_of
from dexexec_adapters.pools.search import Mints
from dexexec_adapters.pools.token_programs import TokenPrograms
from dexexec_adapters.pools.venue import PoolVenue
from dexexec_adapters.raydium_clmm import layout
from dexexec_adapters.raydium_clmm.layout import PoolKeys, PoolState
from dexexec_adapters.solana.addresses import Addresses, address_bytes
from dexexec_adapters.solana.clusters import RAYDIUM_CLMM
from dexexec_adapters.solana.spl import MEMO, TOKEN, TOKEN_2022

SWAP_V2 = bytes.fromhex("2b04ed0b1ac91e62")
EXTENSION_SEED = b"pool_tick_array_bitmap_extension"
NO_FEES = ClmmConfig(trade_fee_rate=0, protocol_fee_rate=0, fund_fee_rate=0)
AROUND = 2
"""Tick arrays in each direction that are read with a pool."""
MOST_ARRAYS = 8
"""Tick arrays that a swap passes through at most: more do not fit into a transaction."""
FIRST_SPACING_OF_ALL = 15
"""From this tick spacing on, the pool's own bitmap has all arrays (`states/pool.rs`)."""

_MOVED = Slippage("the price moved past the order's bound, or past what its swap may reach")
_CLOSED = NoRoute("the pool's swaps are disabled")
_OVERFLOW = NoRoute("the amounts are more than the pool can count")
FAILURES: Mapping[int, VenueError] = {
    # The program has removed errors in 2026, so that most have two numbers. No number below has two meanings that
    # differ for a swap: one that was priced exactly fails in all these ways only when the pool has changed since.
    **dict.fromkeys((6000, 6001), _CLOSED),
    **dict.fromkeys((6011, 6013, 6016, 6018, 6019, 6022, 6023, 6024, 6026, 6027, 6028, 6036, 6041), _MOVED),
    **dict.fromkeys((6035, 6040), _MOVED),
    **dict.fromkeys((6037, 6038, 6042, 6043), _OVERFLOW),
    **dict.fromkeys((6039, 6044), NoRoute("the transfer fee of a token cannot be computed exactly for this amount")),
    2012: BadAnswer("an account is not the one that the pool names"),
    2501: _MOVED,
    2505: NoRoute("the pool is not open yet"),
}
"""Error numbers of the program's `error.rs` and of Anchor. Missing funds are left out (1, of the token programs; 3012,
no account): the engine has the balances, and reports them with token and amount."""


class RaydiumClmmOptions(PoolOptions):
    """Settings of the venue."""

    configs_field = "amm_configs"
    amm_configs: Addresses = CONFIGS_SETTING


class RaydiumClmm(PoolVenue[PoolKeys, PoolState, ClmmPool]):
    """Quotes and builds swaps, each with one CLMM pool."""

    name = "raydium-clmm"
    Options = RaydiumClmmOptions
    options_prefix = "DEXEXEC_RAYDIUM_CLMM_"
    kind = "CLMM"
    deployments = RAYDIUM_CLMM
    failures = FAILURES

    def __init__(self, context: VenueContext[PoolOptions]) -> None:
        super().__init__(context)
        self._token_programs = TokenPrograms(self.chain)

    # ---- its pools ----

    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """One search, because the order of a pool's mints is fixed."""
        return [layout.pool_filters(*pair)]

    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """The pools created from one of the configs."""
        return [self.derived(b"pool", address_bytes(config), *sorted(pair)) for config in self.configs]

    async def learn(self, pair: Mints) -> None:
        """Read the token programs of the pair, which a pool does not name."""
        await self._token_programs.learn(map(base58.encode, pair))

    def read_pool(self, address: str, account: Account | None) -> PoolState:
        """The pool, after checking owner, discriminator, size and the order of its mints."""
        pool = layout.read_pool(address, account, self.program_id)
        mints = (pool.token_mint_0, pool.token_mint_1)
        extended = pool.tick_spacing < FIRST_SPACING_OF_ALL
        keys = PoolKeys(
            address=address,
            mints=mints,
            vaults=(pool.token_vault_0, pool.token_vault_1),
            token_programs=(self._token_programs.of(mints[0]), self._token_programs.of(mints[1])),
            amm_config=pool.amm_config,
            observation=pool.observation_key,
            extension=self.derived(EXTENSION_SEED, address_bytes(address)) if extended else "",
        )
        return PoolState(keys, pool)

    def check_config(self, address: str, account: Account | None) -> None:
        """Check owner, discriminator, size and rates."""
        layout.read_config(address, account, self.program_id)

    def vault_owner(self, pool: PoolKeys) -> str:
        """The pool itself."""
        return pool.address

    def reserves(self, state: PoolState, held: tuple[int, int]) -> tuple[int, int]:
        """The vaults without Raydium's fees. They also hold fees of positions, which the pool does not count."""
        return held[0] - state.fees[0], held[1] - state.fees[1]

    def launched_at_ms(self, state: PoolState, now: ChainTime) -> int:
        """The second after the opening time. Most pools have none: they opened when they were made, which the account
        does not show."""
        return (state.account.open_time + 1) * 1000 if state.account.open_time else 0

    # ---- what a price depends on ----

    def accounts_of(self, pool: PoolKeys) -> Sequence[str]:
        """The pool, its config, its vaults, its bitmap extension, and the mints of Token-2022."""
        # Mints of the older token program have no extensions. Leaving them out lets more pools fit into one request.
        programs = zip(pool.mints, pool.token_programs, strict=True)
        extensible = (mint for mint, token_program in programs if token_program == TOKEN_2022)
        beyond = [pool.extension] if pool.extension else []
        return [pool.address, pool.amm_config, *pool.vaults, *beyond, *extensible]

    def arrays_of(self, state: PoolState) -> Sequence[str]:
        """The nearest tick arrays in both directions, as far as the pool's own bitmap has them."""
        pool = layout.clmm_pool(state, NO_FEES, None, self.program_id)
        starts = (start for a_to_b in (True, False) for start in arrays_ahead(pool, AROUND, a_to_b=a_to_b))
        return [self.array_at(state.keys, start) for start in dict.fromkeys(starts)]

    def array_at(self, pool: PoolKeys, index: int) -> str:
        """The tick array that begins at a tick."""
        return self.derived(b"tick_array", address_bytes(pool.address), index.to_bytes(4, "big", signed=True))

    def swap_accounts(self) -> Sequence[str]:
        """The usual configs."""
        return self.configs

    def likely_accounts(self, pool: str, pair: Mints) -> Sequence[str]:
        """The vaults, the pool's record of prices, and its bitmap extension."""
        at = address_bytes(pool)
        vaults = (self.derived(b"pool_vault", at, mint) for mint in sorted(pair))
        return (*vaults, self.derived(b"observation", at), self.derived(EXTENSION_SEED, at))

    # ---- prices ----

    def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> ClmmPool:
        """The pool with the rates of its config, and the tick arrays that were read."""
        keys = state.keys
        config = layout.read_config(keys.amm_config, accounts[keys.amm_config], self.program_id)
        extension = accounts[keys.extension] if keys.extension else None
        pool = layout.clmm_pool(state, config, extension, self.program_id)
        arrays: dict[int, TickArray] = {}
        for a_to_b in (True, False):
            for start in arrays_ahead(pool, MOST_ARRAYS, a_to_b=a_to_b):
                address = self.array_at(keys, start)
                if address not in accounts:
                    break
                arrays[start] = layout.read_array(address, accounts[address], state, self.program_id)
        return replace(pool, arrays=arrays)

    def price(
        self, curve: ClmmPool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[ClmmPool]:
        """The swap by `adapters/curves/clmm.py`. It names a tick array more at each end, for a price that moves."""
        price = quote_exact_in if request.mode is Mode.EXACT_IN else quote_exact_out
        result = price(curve, request.amount, direction, now)
        if len(result.arrays) > MOST_ARRAYS:
            raise CurveError(
                Refusal.INSUFFICIENT_LIQUIDITY,
                f"the swap passes through {len(result.arrays)} tick arrays, and {MOST_ARRAYS} fit into a transaction",
            )
        arrays = with_neighbours(curve, result.arrays, MOST_ARRAYS, a_to_b=direction is TradeDirection.A_TO_B)
        return replace(result, arrays=arrays)

    def stretches(self, curve: ClmmPool, direction: TradeDirection, now: ChainTime) -> Sequence[Stretch]:
        """As far as its arrays were read."""
        return stretches(curve, direction, now)

    # ---- swaps ----

    def swap(self, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
        """The swap from the first to the second of the payer's token accounts."""
        # The vault in the input's place selects the direction.
        way = slice(None) if quote.request.mint_in == pool.mints[0] else slice(None, None, -1)
        arrays = [self.array_at(pool, start) for start in arrays_of(quote)]
        # The program reads tick arrays up to the first account that is none. The extension comes last, because an old
        # pool may lack it.
        written = [*arrays, pool.extension] if pool.extension else arrays
        metas = (
            AccountMeta(payer, signer=True),
            AccountMeta(pool.amm_config),
            *(
                AccountMeta(one, writable=True)
                for one in (pool.address, *accounts, *pool.vaults[way], pool.observation)
            ),
            *map(AccountMeta, (TOKEN, TOKEN_2022, MEMO, *pool.mints[way])),
            *(AccountMeta(one, writable=True) for one in written),
        )
        exact_in = quote.request.mode is Mode.EXACT_IN
        amounts = (quote.amount_in, quote.min_out) if exact_in else (quote.amount_out, quote.max_in)
        # Without a price limit of its own (0), the program refuses to fill a part of the swap.
        data = b"".join(amount.to_bytes(8, "little") for amount in amounts) + bytes(16) + bytes([exact_in])
        return Instruction(self.program_id, metas, SWAP_V2 + data)

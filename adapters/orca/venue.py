"""The venue `orca`: quotes and swaps of Orca's Whirlpools on Solana.

`adapters/pools/venue.py` does the work; this module has what is specific to the program.
"""

from collections.abc import Mapping, Sequence

from dexexec.domain import base58
from dexexec.domain.depth import Stretch
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, AccountMeta, Instruction
from dexexec.venue import BadAnswer, NoRoute, Slippage, VenueContext, VenueError
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.curves.whirlpool import Whirlpool, quote_exact_in, quote_exact_out, stretches
from dexexec_adapters.curves.whirlpool_ticks import MOST_ARRAYS, array_starts
from dexexec_adapters.orca import layout
from dexexec_adapters.orca.layout import PoolKeys, PoolState
from dexexec_adapters.pools.options import CONFIGS_SETTING, PoolOptions
from dexexec_adapters.pools.quoted import arrays_of
from dexexec_adapters.pools.search import Mints
from dexexec_adapters.pools.token_programs import TokenPrograms
from dexexec_adapters.pools.venue import PoolVenue
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.addresses import Addresses, address_bytes
from dexexec_adapters.solana.clusters import ORCA
from dexexec_adapters.solana.layout import owned

SWAP_V2 = bytes.fromhex("2b04ed0b1ac91e62")
FEE_TIERS = (1, 2, 4, 8, 16, 64, 96, 128, 256, 32_896)
"""Tick spacings of the usual pools, by which their addresses are derived."""

_MOVED = Slippage("the price moved past the order's bound")
_PAST = Slippage("the price moved past the ticks that the swap may use")
_OVERFLOW = NoRoute("the amounts are more than the pool can count")
FAILURES: Mapping[int, VenueError] = {
    **dict.fromkeys((6036, 6037), _MOVED),
    **dict.fromkeys((6003, 6023, 6038, 6057), _PAST),
    **dict.fromkeys((6006, 6008, 6017, 6018, 6030, 6031, 6033, 6039, 6040), _OVERFLOW),
    6011: NoRoute("the price would leave the program's range"),
    6034: NoRoute("the price is at the end of the program's range"),
    6064: NoRoute("the pool is not open yet"),
    6056: BadAnswer("a tick array is of another pool"),
    2006: BadAnswer("an account is not the one that the program derives"),
    2012: BadAnswer("an account is not the one that the pool names"),
}
"""Error numbers of the program's `errors.rs` and of Anchor. Missing funds are left out (1, of the token programs; 3012,
no account): the engine has the balances, and reports them with token and amount."""


class OrcaOptions(PoolOptions):
    """Settings of the venue."""

    configs_field = "whirlpools_configs"
    whirlpools_configs: Addresses = CONFIGS_SETTING


class Orca(PoolVenue[PoolKeys, PoolState, Whirlpool]):
    """Quotes and builds swaps, each with one Whirlpool."""

    name = "orca"
    Options = OrcaOptions
    options_prefix = "DEXEXEC_ORCA_"
    kind = "Whirlpool"
    deployments = ORCA
    failures = FAILURES

    def __init__(self, context: VenueContext[PoolOptions]) -> None:
        super().__init__(context)
        self._token_programs = TokenPrograms(self.chain)

    # ---- its pools ----

    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """One search, because the order of a pool's mints is fixed."""
        return [layout.pool_filters(*pair)]

    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """The pools of the usual fee tiers of each config."""
        return [
            self.derived(b"whirlpool", address_bytes(config), *sorted(pair), tier.to_bytes(2, "little"))
            for config in self.configs
            for tier in FEE_TIERS
        ]

    async def learn(self, pair: Mints) -> None:
        """Read the token programs of the pair, which a pool does not name."""
        await self._token_programs.learn(map(base58.encode, pair))

    def read_pool(self, address: str, account: Account | None) -> PoolState:
        """The pool, after checking owner, discriminator, size and the order of its mints."""
        pool = layout.POOL.read(address, account, owner=self.program_id)
        mints = (pool.token_mint_a, pool.token_mint_b)
        if address_bytes(mints[0]) >= address_bytes(mints[1]):
            raise BadAnswer(f"the mints of the pool {address} are not in order")
        keys = PoolKeys(
            address=address,
            mints=mints,
            vaults=(pool.token_vault_a, pool.token_vault_b),
            token_programs=(self._token_programs.of(mints[0]), self._token_programs.of(mints[1])),
            oracle=self.derived(b"oracle", address_bytes(address)),
        )
        return PoolState(keys, pool)

    def check_config(self, address: str, account: Account | None) -> None:
        """Check the owner. No field of a config is used."""
        owned("config", address, account, self.program_id)

    def vault_owner(self, pool: PoolKeys) -> str:
        """The pool itself."""
        return pool.address

    def reserves(self, state: PoolState, held: tuple[int, int]) -> tuple[int, int]:
        """The vaults without the protocol's fees. They also hold unclaimed fees of positions."""
        return max(held[0] - state.pool.protocol_fee_a, 0), max(held[1] - state.pool.protocol_fee_b, 0)

    def launched_at_ms(self, state: PoolState, now: ChainTime) -> int:
        """Unknown: most pools open when they are made, which their account does not show."""
        return 0

    # ---- what a price depends on ----

    def accounts_of(self, pool: PoolKeys) -> Sequence[str]:
        """The pool, its vaults, its oracle, and the mints of Token-2022."""
        # Mints of the older token program have no extensions. Leaving them out lets more pools fit into one request.
        programs = zip(pool.mints, pool.token_programs, strict=True)
        extensible = (mint for mint, token_program in programs if token_program == spl.TOKEN_2022)
        return [pool.address, *pool.vaults, pool.oracle, *extensible]

    def arrays_of(self, state: PoolState) -> Sequence[str]:
        """All arrays of ticks that a swap in either direction may pass through."""
        return [self.array_at(state.keys, start) for start in _starts(state)]

    def array_at(self, pool: PoolKeys, index: int) -> str:
        """The array of the ticks from `index` on."""
        return self.derived(b"tick_array", address_bytes(pool.address), str(index).encode())

    def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> Whirlpool:
        """The pool with its adaptive fee and the arrays of ticks that were read."""
        keys, pool = state.keys, state.pool
        fee, opens_at = layout.read_oracle(keys.oracle, accounts[keys.oracle], self.program_id, keys.address)
        arrays = {
            start: layout.read_array(address, accounts[address], self.program_id, state, start)
            for start in _starts(state)
            if (address := self.array_at(keys, start)) in accounts
        }
        try:
            return Whirlpool(
                tick_spacing=pool.tick_spacing,
                tick_current=pool.tick_current,
                sqrt_price=pool.sqrt_price,
                liquidity=pool.liquidity,
                fee_rate=pool.fee_rate,
                protocol_fee_rate=pool.protocol_fee_rate,
                adaptive_fee=fee,
                opens_at=opens_at,
                arrays=arrays,
            )
        except ValueError as error:
            raise BadAnswer(f"the pool {keys.address}: {error}") from error

    # ---- prices ----

    def price(
        self, curve: Whirlpool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[Whirlpool]:
        """The swap by `adapters/curves/whirlpool.py`."""
        price = quote_exact_in if request.mode is Mode.EXACT_IN else quote_exact_out
        return price(curve, request.amount, direction, now)

    def stretches(self, curve: Whirlpool, direction: TradeDirection, now: ChainTime) -> Sequence[Stretch]:
        """As far as its tick arrays were read."""
        return stretches(curve, direction, now)

    # ---- swaps ----

    def likely_accounts(self, pool: str, pair: Mints) -> Sequence[str]:
        """The pool's oracle. Its vaults may be at any address."""
        return [self.derived(b"oracle", address_bytes(pool))]

    def swap(self, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
        """The swap from the first to the second of the payer's token accounts."""
        # Accounts, mints and vaults are in the order A, B for both directions.
        a_to_b = quote.request.mint_in == pool.mints[0]
        own = accounts if a_to_b else accounts[::-1]
        starts = arrays_of(quote)
        # The program drops duplicates: near the end of its range there are fewer arrays than places.
        arrays = [self.array_at(pool, start) for start in (*starts, *starts[-1:] * MOST_ARRAYS)[:MOST_ARRAYS]]
        metas = (
            *map(AccountMeta, (*pool.token_programs, spl.MEMO)),
            AccountMeta(payer, signer=True),
            AccountMeta(pool.address, writable=True),
            *map(AccountMeta, pool.mints),
            *(AccountMeta(one, writable=True) for side in zip(own, pool.vaults, strict=True) for one in side),
            *(AccountMeta(one, writable=True) for one in (*arrays, pool.oracle)),
        )
        exact_in = quote.request.mode is Mode.EXACT_IN
        amounts = (quote.amount_in, quote.min_out) if exact_in else (quote.amount_out, quote.max_in)
        # After the amounts: no limit for the price, the mode, the direction, and no further accounts.
        data = SWAP_V2 + b"".join(amount.to_bytes(8, "little") for amount in amounts) + bytes(16)
        return Instruction(self.program_id, metas, data + bytes([exact_in, a_to_b, 0]))


def _starts(state: PoolState) -> Sequence[int]:
    """The starts of the arrays in both directions. None for a price that no pool has."""
    pool = state.pool
    if pool.tick_spacing == 0:
        return ()
    ways = (array_starts(pool.tick_current, pool.tick_spacing, a_to_b=a_to_b) for a_to_b in (True, False))
    return tuple(dict.fromkeys(start for way in ways for start in way))

"""The venue `raydium`: quotes and swaps of Raydium's CPMM pools (the program raydium-cp-swap) on Solana.

`adapters/pools/venue.py` does the work; this module has what is specific to the program.
"""

from collections.abc import Mapping, Sequence

from dexexec.domain.depth import Stretch
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, AccountMeta, Instruction
from dexexec.venue import BadAnswer, NoRoute, Slippage, VenueError
from dexexec_adapters.curves.cpmm import CpmmPool, quote_exact_in, quote_exact_out, stretches
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.pools.options import CONFIGS_SETTING, PoolOptions
from dexexec_adapters.pools.search import Mints
from dexexec_adapters.pools.venue import PoolVenue
from dexexec_adapters.raydium import layout
from dexexec_adapters.raydium.layout import PoolKeys, PoolState
from dexexec_adapters.solana.addresses import Addresses, address_bytes
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.clusters import RAYDIUM_CPMM
from dexexec_adapters.solana.spl import TOKEN_2022

# `instructions/swap_base_input.rs`.
SWAP_BASE_INPUT = bytes.fromhex("8fbe5adac41e33de")
SWAP_BASE_OUTPUT = bytes.fromhex("37d96256a34ab4ad")
FAILURES: Mapping[int, VenueError] = {
    6000: NoRoute("the pool is closed, or not open yet"),
    6005: Slippage("the price moved past the order's bound"),
    6006: NoRoute("the amount is too small: after fees and rounding nothing comes out"),
    6008: BadAnswer("these are not the pool's vaults"),
    6011: NoRoute("the amounts are more than the pool can count"),
    6012: NoRoute("the pool does not hold that much"),
    2006: BadAnswer("an account is not the one that the program derives"),
    2505: NoRoute("an amount would be zero"),
}
"""Error numbers of the program's `error.rs` and of Anchor. Missing funds are left out (1, of the token programs; 3012,
no account): the engine has the balances, and reports them with token and amount."""


class RaydiumOptions(PoolOptions):
    """Settings of the venue."""

    configs_field = "amm_configs"
    amm_configs: Addresses = CONFIGS_SETTING


class Raydium(PoolVenue[PoolKeys, PoolState, CpmmPool]):
    """Quotes and builds swaps, each with one CPMM pool."""

    name = "raydium"
    Options = RaydiumOptions
    options_prefix = "DEXEXEC_RAYDIUM_"
    kind = "CPMM"
    deployments = RAYDIUM_CPMM
    failures = FAILURES

    def vault_owner(self, pool: PoolKeys) -> str:
        """The address that the program derives for the vaults of all its pools."""
        return self._authority

    def now(self, accounts: Mapping[str, Account | None], slot: int) -> ChainTime:
        """The chain's time, or this process's if the node does not return the clock."""
        if accounts.get(CLOCK) is None:
            return ChainTime(slot, self.context.clock.unix_ms() // 1000)
        return super().now(accounts, slot)

    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """One search, because the order of a pool's mints is fixed."""
        return [layout.pool_filters(*pair)]

    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """The pools created from one of the configs."""
        return [self.derived(b"pool", address_bytes(config), *sorted(pair)) for config in self.configs]

    def read_pool(self, address: str, account: Account | None) -> PoolState:
        """The pool, after checking owner, discriminator and size."""
        return layout.read_pool(address, account, self.program_id)

    def check_config(self, address: str, account: Account | None) -> None:
        """Check owner, discriminator, size and rates."""
        layout.read_config(address, account, self.program_id)

    def accounts_of(self, pool: PoolKeys) -> Sequence[str]:
        """The pool, its config, its vaults, and the mints of Token-2022."""
        # Mints of the older token program have no extensions. Leaving them out lets more pools fit into one request.
        programs = zip(pool.mints, pool.token_programs, strict=True)
        extensible = (mint for mint, token_program in programs if token_program == TOKEN_2022)
        return [pool.address, pool.amm_config, *pool.vaults, *extensible]

    def swap_accounts(self) -> Sequence[str]:
        """The owner of the vaults, and the usual configs."""
        return [self._authority, *self.configs]

    def likely_accounts(self, pool: str, pair: Mints) -> Sequence[str]:
        """The vaults and the pool's record of prices."""
        at = address_bytes(pool)
        return [*(self.derived(b"pool_vault", at, mint) for mint in pair), self.derived(b"observation", at)]

    def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> CpmmPool:
        """The pool with the rates of its config."""
        address = state.keys.amm_config
        config = layout.read_config(address, accounts[address], self.program_id)
        return layout.cpmm_pool(state, config, *held)

    def price(
        self, curve: CpmmPool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[CpmmPool]:
        """The swap by `adapters/curves/cpmm.py`."""
        price = quote_exact_in if request.mode is Mode.EXACT_IN else quote_exact_out
        return price(curve, request.amount, direction, now)

    def stretches(self, curve: CpmmPool, direction: TradeDirection, now: ChainTime) -> Sequence[Stretch]:
        """One, of the same curve."""
        return stretches(curve, direction, now)

    def reserves(self, state: PoolState, held: tuple[int, int]) -> tuple[int, int]:
        """The vaults without the fees that are still in them."""
        return layout.reserves(state, held)

    def launched_at_ms(self, state: PoolState, now: ChainTime) -> int:
        """The time at which the pool opens. The program stores the next second for a pool without one."""
        return state.open_time * 1000

    def swap(self, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
        """`swap_base_input` or `swap_base_output`."""
        # Both instructions take the same thirteen accounts. The vault in the input's place selects the direction.
        way = slice(None) if quote.request.mint_in == pool.mints[0] else slice(None, None, -1)
        metas = (
            AccountMeta(payer, signer=True),
            AccountMeta(self._authority),
            AccountMeta(pool.amm_config),
            *(AccountMeta(address, writable=True) for address in (pool.address, *accounts, *pool.vaults[way])),
            *map(AccountMeta, (*pool.token_programs[way], *pool.mints[way])),
            AccountMeta(pool.observation, writable=True),
        )
        if quote.request.mode is Mode.EXACT_IN:
            tag = SWAP_BASE_INPUT
            amounts = (quote.amount_in, quote.min_out)
        else:
            tag = SWAP_BASE_OUTPUT
            amounts = (quote.max_in, quote.amount_out)
        data = tag + b"".join(amount.to_bytes(8, "little") for amount in amounts)
        return Instruction(self.program_id, metas, data)

    @property
    def _authority(self) -> str:
        return self.derived(b"vault_and_lp_mint_auth_seed")

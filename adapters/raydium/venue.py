"""raydium: Raydium's CPMM pools (the program raydium-cp-swap), settled on Solana: what `adapters/pools/venue.py` needs
to know of them."""

from collections.abc import Mapping, Sequence

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, Instruction
from dexexec.venue import BadAnswer, NoRoute, Slippage, VenueContext, VenueError
from dexexec_adapters.curves.cpmm import CpmmPool, quote_exact_in, quote_exact_out
from dexexec_adapters.curves.integers import ceil_div
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.pools.search import Mints
from dexexec_adapters.pools.venue import PoolVenue
from dexexec_adapters.raydium import accounts as layout
from dexexec_adapters.raydium.accounts import PoolKeys, PoolState
from dexexec_adapters.raydium.options import RaydiumOptions
from dexexec_adapters.solana.chain_clock import CLOCK, read_clock
from dexexec_adapters.solana.clusters import RAYDIUM_CPMM
from dexexec_adapters.solana.spl import TOKEN_2022

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
"""By the numbers of the program's `error.rs` and of Anchor. What the wallet lacks (1, of the token programs; 3012, no
account) is not among them: the engine knows the balances, and tells it by name and amount."""


class Raydium(PoolVenue[PoolKeys, PoolState, CpmmPool]):
    """Quotes and builds swaps of one CPMM pool each."""

    name = "raydium"
    Options = RaydiumOptions
    options_prefix = "DEXEXEC_RAYDIUM_"
    kind = "CPMM"
    deployments = RAYDIUM_CPMM
    failures = FAILURES

    def __init__(self, context: VenueContext[PoolOptions]) -> None:
        super().__init__(context)
        # Imported here, as it needs a Solana library.
        from dexexec_adapters.raydium import instructions  # noqa: PLC0415

        self._swap = instructions
        self._program = instructions.Program.at(self.program_id)

    @property
    def vault_owner(self) -> str:
        """The address that the program derives for all its pools."""
        return self._program.authority

    def shared_accounts(self) -> Sequence[str]:
        """The chain's clock: a pool opens by that, and not by ours."""
        return [CLOCK]

    def now(self, found: Mapping[str, Account | None], slot: int) -> ChainTime:
        """The chain's, where the node shows it."""
        return read_clock(found[CLOCK]) if found.get(CLOCK) else super().now(found, slot)

    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """One search: a pool has its mints in the order of their bytes."""
        return [layout.pool_filters(*pair)]

    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """Those that were made from one of the configs."""
        return [self._program.pool_of_config(config, *pair) for config in self.configs]

    def read_pool(self, address: str, account: Account | None) -> PoolState:
        """By its owner, discriminator and size."""
        return layout.read_pool(address, account, self.program_id)

    def check_config(self, address: str, account: Account | None) -> None:
        """By its owner, discriminator, size and rates."""
        layout.read_config(address, account, self.program_id)

    def accounts_of(self, pool: PoolKeys) -> Sequence[str]:
        """At most six: a mint matters only where its transfers may not move what they say."""
        programs = zip(pool.mints, pool.token_programs, strict=True)
        careful = (mint for mint, token_program in programs if token_program == TOKEN_2022)
        return [pool.address, pool.amm_config, *pool.vaults, *careful]

    def curve(self, state: PoolState, held: tuple[int, int], found: Mapping[str, Account | None]) -> CpmmPool:
        """With the rates of the pool's config."""
        at = state.keys.amm_config
        return layout.cpmm_pool(state, layout.read_config(at, found[at], self.program_id), *held)

    def price(
        self, curve: CpmmPool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[CpmmPool]:
        """By `adapters/curves/cpmm.py`."""
        price = quote_exact_in if request.mode is Mode.EXACT_IN else quote_exact_out
        return price(curve, request.amount, direction, now)

    def fee(self, result: SwapResult[CpmmPool], request: SwapRequest) -> tuple[int, str]:
        """With a fee from the output, what is taken from the input counts as what it would have bought at the swap's
        own rate, rounded up."""
        if not result.fee_out:
            return result.fee_in, request.mint_in
        bought = ceil_div(result.fee_in * (result.amount_out + result.fee_out), result.amount_in - result.fee_in)
        return result.fee_out + bought, request.mint_out

    def steps(self, pool: PoolKeys, quote: Quote, payer: str) -> Sequence[Instruction]:
        """`swap_base_input` or `swap_base_output`, with the accounts that it needs."""
        return self._swap.swap_steps(self._program, pool, quote, payer)

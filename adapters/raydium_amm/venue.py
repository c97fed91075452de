"""The venue `raydium-amm`: quotes and swaps of Raydium's older constant product pools (AMM v4) on Solana.

`adapters/pools/venue.py` does the work; this module has what is specific to the program.
"""

from collections.abc import Mapping, Sequence

from dexexec.domain.depth import Stretch
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, AccountMeta, Instruction
from dexexec.venue import BadAnswer, NoRoute, Slippage, VenueContext, VenueError
from dexexec_adapters.curves.raydium_amm import WAITING_TRADE, AmmV4Pool, quote_exact_in, quote_exact_out, stretches
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.pools.search import Mints, PoolKeys
from dexexec_adapters.pools.venue import PoolVenue
from dexexec_adapters.raydium_amm import layout
from dexexec_adapters.raydium_amm.layout import PoolState
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.clusters import RAYDIUM_AMM

FAILURES: Mapping[int, VenueError] = {
    10: NoRoute("the program that is deployed still looks at the pool's order book"),
    22: NoRoute("the pool is closed, or not open yet"),
    29: NoRoute("the amount is too small: after fees and rounding nothing comes out"),
    30: Slippage("the price moved past the order's bound"),
    42: BadAnswer("the token accounts are not of the pool's tokens"),
}
"""Error numbers of the program's `error.rs`. Missing funds are left out (40, which also means an empty reserve): the
engine has the balances, and reports them with token and amount."""

# The first byte of an instruction. The later ones without a market (16, 17) have the same arithmetic, but a build from
# before September 2025 lacks them, and a build of today still has these.
SWAP_BASE_IN = b"\x09"
SWAP_BASE_OUT = b"\x0b"
MARKET_ACCOUNTS = 8
"""Accounts of the pool's market in a swap. The program does not look at them unless the pool has an order book, so the
pool's address is in their places."""


class RaydiumAmm(PoolVenue[PoolKeys, PoolState, AmmV4Pool]):
    """Quotes and builds swaps, each with one AMM v4 pool."""

    name = "raydium-amm"
    Options = PoolOptions
    options_prefix = "DEXEXEC_RAYDIUM_AMM_"
    kind = "AMM v4"
    deployments = RAYDIUM_AMM
    failures = FAILURES

    def __init__(self, context: VenueContext[PoolOptions]) -> None:
        super().__init__(context)
        # Imported here because it needs a Solana library, which an installation without Solana lacks.
        from dexexec_adapters.solana.keys import derived_with_bump  # noqa: PLC0415

        self._authority, self._nonce = derived_with_bump(self.program_id, b"amm authority")

    def vault_owner(self, pool: PoolKeys) -> str:
        """The address that the program derives for the vaults of all its pools."""
        return self._authority

    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """Two searches, because a pool may have the pair in either order."""
        return [layout.pool_filters(*mints) for mints in (pair, pair[::-1])]

    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """None: a pool's address depends on the market that it was created for, not on its tokens."""
        return []

    def read_pool(self, address: str, account: Account | None) -> PoolState:
        """The pool, after checking owner, size, the owner of its vaults and its fee."""
        return layout.read_pool(address, account, self.program_id, self._nonce)

    def accounts_of(self, pool: PoolKeys) -> Sequence[str]:
        """The pool and its vaults. Its tokens are of the older token program, which has no extensions."""
        return [pool.address, *pool.vaults]

    def swap_accounts(self) -> Sequence[str]:
        """The owner of the vaults."""
        return [self._authority]

    def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> AmmV4Pool:
        """The pool with the balances of its vaults."""
        return layout.curve_of(state.info, held)

    def price(
        self, curve: AmmV4Pool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[AmmV4Pool]:
        """The swap by `adapters/curves/raydium_amm.py`."""
        price = quote_exact_in if request.mode is Mode.EXACT_IN else quote_exact_out
        return price(curve, request.amount, direction, now)

    def stretches(self, curve: AmmV4Pool, direction: TradeDirection, now: ChainTime) -> Sequence[Stretch]:
        """One, of the same curve."""
        return stretches(curve, direction, now)

    def reserves(self, state: PoolState, held: tuple[int, int]) -> tuple[int, int]:
        """The vaults without what they hold for the protocol."""
        return layout.curve_of(state.info, held).reserves

    def launched_at_ms(self, state: PoolState, now: ChainTime) -> int:
        """The time at which a pool that still waits opens. The others are open."""
        return state.info.pool_open_time * 1000 if state.info.status == WAITING_TRADE else 0

    def swap(self, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
        """`swap_base_in` or `swap_base_out`."""
        # The direction follows from the two token accounts. The pool's vaults keep their order.
        metas = (
            AccountMeta(spl.TOKEN),
            AccountMeta(pool.address, writable=True),
            AccountMeta(self._authority),
            AccountMeta(pool.address, writable=True),  # the open orders, which belong to the market
            *(AccountMeta(vault, writable=True) for vault in pool.vaults),
            *(AccountMeta(pool.address) for _ in range(MARKET_ACCOUNTS)),
            *(AccountMeta(account, writable=True) for account in accounts),
            AccountMeta(payer, signer=True),
        )
        if quote.request.mode is Mode.EXACT_IN:
            tag, amounts = SWAP_BASE_IN, (quote.amount_in, quote.min_out)
        else:
            tag, amounts = SWAP_BASE_OUT, (quote.max_in, quote.amount_out)
        return Instruction(self.program_id, metas, tag + b"".join(amount.to_bytes(8, "little") for amount in amounts))

"""The venue `mock-raydium`, which prices as Raydium CPMM does.

The pool of SOL and USDC holds 50,000 SOL and 7,500,000 USDC at the reference price, with the fees of the program's
config 0 (0.25 %). Pools of other pairs have the same value. On a localnet the vaults start with these amounts, and all
fees stay in them.
"""

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.venue import NoRoute
from dexexec_adapters.curves import cpmm
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.mock.market import Pair, at_price, depth
from dexexec_adapters.mock.venue import MockVenue

DOLLARS_PER_SIDE = 7_500_000
CONFIG = cpmm.AmmConfig(trade_fee_rate=2_500, protocol_fee_rate=120_000, fund_fee_rate=40_000)


class MockRaydium(MockVenue[cpmm.CpmmPool]):
    """A deep constant product pool per pair, with a fee of 0.25 % of the input."""

    name = "mock-raydium"

    def pool(self, pair: Pair, step: int) -> cpmm.CpmmPool:
        """The pool at the market's price, with the same depth at every step."""
        base, quote = at_price(depth(pair, DOLLARS_PER_SIDE), self.market.price(pair, step))
        if not base or not quote:
            raise NoRoute("the units of these tokens are too far apart for a pool")
        return cpmm.CpmmPool(amm_config=CONFIG, vault_0_amount=base, vault_1_amount=quote)

    def reserves(self, pair: Pair) -> tuple[int, int]:
        """The reserves of the simulated pool at the reference price."""
        return depth(pair, DOLLARS_PER_SIDE)

    def pool_of(self, base: int, quote: int, direction: TradeDirection) -> cpmm.CpmmPool:
        """The constant product pool of the balances."""
        return cpmm.CpmmPool(amm_config=CONFIG, vault_0_amount=base, vault_1_amount=quote)

    def swap(
        self, pool: cpmm.CpmmPool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[cpmm.CpmmPool]:
        """Price with the program's `swap_base_input` or `swap_base_output`. Token 0 is the base."""
        price = cpmm.quote_exact_in if request.mode is Mode.EXACT_IN else cpmm.quote_exact_out
        return price(pool, request.amount, direction, now)

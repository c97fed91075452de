"""mock-raydium: a venue that prices as Raydium CPMM does.

The pool of SOL and USDC holds 50,000 SOL and 7,500,000 USDC at the reference price, with the fees of the program's
config 0 (0.25 %). Other pairs have a pool worth as much. On a localnet its vaults begin with that, and all fees stay in
them.
"""

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.venue import NoRoute
from dexexec_adapters.curves import cpmm
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.mock.market import Pair, depth
from dexexec_adapters.mock.venue import MockVenue

DOLLARS_PER_SIDE = 7_500_000
CONFIG = cpmm.AmmConfig(trade_fee_rate=2_500, protocol_fee_rate=120_000, fund_fee_rate=40_000)


class MockRaydium(MockVenue[cpmm.CpmmPool]):
    """Constant product: deep, 0.25 % from the input."""

    name = "mock-raydium"

    def pool(self, pair: Pair, step: int) -> cpmm.CpmmPool:
        """The reserves whose ratio is the market's price and whose depth is the same at every step."""
        base, quote = depth(pair, DOLLARS_PER_SIDE)
        price = self.market.price(pair, step)
        # The side with the finer units takes the whole move, so that coarse tokens keep an exact price.
        if quote >= base:
            quote = base * price.numerator // price.denominator
        else:
            base = quote * price.denominator // price.numerator
        if not base or not quote:
            raise NoRoute("the units of these tokens are too far apart for a pool")
        return cpmm.CpmmPool(CONFIG, vault_0_amount=base, vault_1_amount=quote)

    def reserves(self, pair: Pair) -> tuple[int, int]:
        """As deep as the simulated pool."""
        return depth(pair, DOLLARS_PER_SIDE)

    def pool_of(self, base: int, quote: int, direction: TradeDirection) -> cpmm.CpmmPool:
        """Constant product of the balances as they are."""
        return cpmm.CpmmPool(CONFIG, vault_0_amount=base, vault_1_amount=quote)

    def swap(
        self, pool: cpmm.CpmmPool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[cpmm.CpmmPool]:
        """The program's `swap_base_input` or `swap_base_output`; token 0 is the base."""
        price = cpmm.quote_exact_in if request.mode is Mode.EXACT_IN else cpmm.quote_exact_out
        return price(pool, request.amount, direction, now)

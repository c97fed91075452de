"""mock-meteora: a venue that prices as Meteora DAMM v2 does, with its dynamic fee, and settles on the simulated chain.

One price range of constant liquidity around the reference price (50 to 400 USDC per SOL), fees always taken in the
quote token: 0.20 %, and a surcharge that follows how far the market moved in the last minutes. Cheaper than
mock-raydium for small swaps, shallower for large ones.
"""

from dataclasses import replace
from math import isqrt

from adapters.curves import damm_v2
from adapters.curves.damm_v2_fees import BaseFee, DynamicFee
from adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from adapters.market import STEP_MS, Pair, Price, depth, reference_price
from adapters.mock import MockVenue
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.venue import NoRoute

QUOTE_DOLLARS = 2_500_000
"""What backs the range below the reference price."""
BASE_FEE = BaseFee(cliff_fee_numerator=2_000_000)
DYNAMIC_FEE = DynamicFee(
    max_volatility_accumulator=350_000,
    variable_fee_control=7_500,
    filter_period=10,
    decay_period=120,
    reduction_factor=5_000,
)


class MockMeteora(MockVenue[damm_v2.DammV2Pool]):
    """One range of constant liquidity: 0.20 % and a surcharge for volatility."""

    name = "mock-meteora"

    def pool(self, pair: Pair, step: int) -> damm_v2.DammV2Pool:
        """The range at the market's price. Its liquidity is the same at every step."""
        reference = reference_price(pair)
        low = _sqrt_price(reference, 1, 3)
        high = _sqrt_price(reference, 8, 3)
        if low < damm_v2.MIN_SQRT_PRICE or high > damm_v2.MAX_SQRT_PRICE:
            raise NoRoute("the units of these tokens are too far apart for a pool")
        _, quote = depth(pair, QUOTE_DOLLARS)
        liquidity = damm_v2.liquidity_from_b(quote, _sqrt_price(reference), low)
        sqrt_price = _sqrt_price(self.market.price(pair, step))
        token_a, token_b = damm_v2.range_reserves(liquidity, sqrt_price, low, high)
        return damm_v2.DammV2Pool(
            base_fee=BASE_FEE,
            dynamic_fee=self._dynamic_fee(pair, step),
            liquidity=liquidity,
            sqrt_price=sqrt_price,
            token_a_amount=token_a,
            token_b_amount=token_b,
            sqrt_min_price=low,
            sqrt_max_price=high,
            collect_fee_mode=damm_v2.ONLY_B,
        )

    def swap(
        self, pool: damm_v2.DammV2Pool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[damm_v2.DammV2Pool]:
        """The program's `swap2`, exact in or exact out; token A is the base."""
        price = damm_v2.quote_exact_in if request.mode is Mode.EXACT_IN else damm_v2.quote_exact_out
        return price(pool, request.amount, direction, now)

    def _dynamic_fee(self, pair: Pair, step: int) -> DynamicFee:
        """The volatility that the market's path leaves behind, as if one swap per filter period had followed it.

        Replayed from a decay period back, beyond which the program forgets as well, so that it needs no memory.
        """
        period = DYNAMIC_FEE.filter_period * 1000 // STEP_MS
        periods = DYNAMIC_FEE.decay_period // DYNAMIC_FEE.filter_period
        now = step // period
        before = _sqrt_price(self.market.price(pair, (now - periods) * period))
        fee = replace(DYNAMIC_FEE, sqrt_price_reference=before)
        for window in range(now - periods + 1, now + 1):
            after = _sqrt_price(self.market.price(pair, window * period))
            fee = fee.after_swap(before, after, window * DYNAMIC_FEE.filter_period)
            before = after
        return fee


def _sqrt_price(price: Price, times: int = 1, over: int = 1) -> int:
    """The Q64.64 root of `price * times / over`, rounded down."""
    return isqrt((price.numerator * times << 128) // (price.denominator * over))

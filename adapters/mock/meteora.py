"""The venue `mock-meteora`, which prices as Meteora DAMM v2 does, with a dynamic fee.

The pool is one price range around the reference price (50 to 400 USDC per SOL). Its fee is taken in the quote token:
0.20 % and a surcharge for the volatility of the last minutes. It is cheaper than mock-raydium for small swaps, and less
deep for large ones. On a localnet the range is unlimited and there is no surcharge.
"""

from dataclasses import replace
from math import isqrt

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.venue import NoRoute
from dexexec_adapters.curves import damm_v2
from dexexec_adapters.curves.damm_v2_fees import BaseFee, DynamicFee
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.mock.market import STEP_MS, Pair, Price, depth, reference_price
from dexexec_adapters.mock.venue import MockVenue

QUOTE_DOLLARS = 2_500_000
"""The value of the quote tokens in the range below the reference price."""
BASE_FEE = BaseFee(cliff_fee_numerator=2_000_000)
DYNAMIC_FEE = DynamicFee(
    max_volatility_accumulator=350_000,
    variable_fee_control=7_500,
    filter_period=10,
    decay_period=120,
    reduction_factor=5_000,
)


class MockMeteora(MockVenue[damm_v2.DammV2Pool]):
    """A pool per pair with one range of constant liquidity, and a fee of 0.20 % with a surcharge for volatility."""

    name = "mock-meteora"

    def pool(self, pair: Pair, step: int) -> damm_v2.DammV2Pool:
        """The pool at the market's price. Its liquidity is the same at every step."""
        _, low, high, liquidity = _range(pair)
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

    def reserves(self, pair: Pair) -> tuple[int, int]:
        """The reserves with the simulated pool's liquidity over the whole range of prices."""
        sqrt_price, _, _, liquidity = _range(pair)
        return damm_v2.range_reserves(liquidity, sqrt_price, damm_v2.MIN_SQRT_PRICE, damm_v2.MAX_SQRT_PRICE)

    def pool_of(self, base: int, quote: int, direction: TradeDirection) -> damm_v2.DammV2Pool:
        """The pool at the price of the balances, with the most liquidity that both can provide.

        There is no surcharge: balances have no history from which volatility could follow.
        """
        minimum = damm_v2.MIN_SQRT_PRICE
        maximum = damm_v2.MAX_SQRT_PRICE
        # Rounded against the trader, down for sellers of the base and up for buyers, or the vaults could lose a unit.
        sqrt_price = damm_v2.sqrt_price_from_amounts(base, quote) if base else 0
        if direction is TradeDirection.B_TO_A and sqrt_price * sqrt_price * base < quote << 128:
            sqrt_price += 1
        if not minimum < sqrt_price < maximum:
            raise NoRoute("the vaults' balances are too far apart for a pool")
        # As if the range had no ends (L = a * sqrt(P) = b / sqrt(P)). With the liquidity of the finite range, a swap
        # that nearly empties a vault could get one unit too much, and the product of the balances would shrink.
        liquidity = min(base * sqrt_price, (quote << 128) // sqrt_price)
        return damm_v2.DammV2Pool(
            base_fee=BASE_FEE,
            dynamic_fee=None,
            liquidity=liquidity,
            sqrt_price=sqrt_price,
            token_a_amount=base,
            token_b_amount=quote,
            collect_fee_mode=damm_v2.ONLY_B,
        )

    def swap(
        self, pool: damm_v2.DammV2Pool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[damm_v2.DammV2Pool]:
        """Price with the program's `swap2`. Token A is the base."""
        price = damm_v2.quote_exact_in if request.mode is Mode.EXACT_IN else damm_v2.quote_exact_out
        return price(pool, request.amount, direction, now)

    def _dynamic_fee(self, pair: Pair, step: int) -> DynamicFee:
        """The dynamic fee as if one swap per filter period had followed the market's path."""
        # Computed from the last decay period only. The program forgets older moves too, so no state has to be kept.
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


def _range(pair: Pair) -> tuple[int, int, int, int]:
    """Sqrt prices of the simulated pool (reference, lowest, highest) and its liquidity. Raises `NoRoute`."""
    reference = reference_price(pair)
    middle = _sqrt_price(reference)
    low = _sqrt_price(reference, 1, 3)
    high = _sqrt_price(reference, 8, 3)
    if low < damm_v2.MIN_SQRT_PRICE or high > damm_v2.MAX_SQRT_PRICE:
        raise NoRoute("the units of these tokens are too far apart for a pool")
    _, quote = depth(pair, QUOTE_DOLLARS)
    return middle, low, high, damm_v2.liquidity_from_b(quote, middle, low)


def _sqrt_price(price: Price, times: int = 1, over: int = 1) -> int:
    """The Q64.64 square root of `price * times / over`, rounded down."""
    return isqrt((price.numerator * times << 128) // (price.denominator * over))

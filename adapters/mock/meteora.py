"""mock-meteora: a venue that prices as Meteora DAMM v2 does, with its dynamic fee.

One price range of constant liquidity around the reference price (50 to 400 USDC per SOL), fees always taken in the
quote token: 0.20 %, and a surcharge that follows how far the market moved in the last minutes. Cheaper than
mock-raydium for small swaps, shallower for large ones.

On a localnet the range is the whole one, price and liquidity follow from what the two vaults hold, and there is no
surcharge: balances do not tell how they came about. Around the reference price its vaults begin as deep as the
simulated pool, and all fees stay in them.
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
        """What backs the simulated pool's liquidity over the whole range."""
        sqrt_price, _, _, liquidity = _range(pair)
        return damm_v2.range_reserves(liquidity, sqrt_price, damm_v2.MIN_SQRT_PRICE, damm_v2.MAX_SQRT_PRICE)

    def pool_of(self, base: int, quote: int, direction: TradeDirection) -> damm_v2.DammV2Pool:
        """The balances' price, rounded down for who sells the base and up for who buys it, and the most liquidity that
        both balances can back at it."""
        least, most = damm_v2.MIN_SQRT_PRICE, damm_v2.MAX_SQRT_PRICE
        sqrt_price = damm_v2.sqrt_price_from_amounts(base, quote) if base else 0
        if direction is TradeDirection.B_TO_A and sqrt_price * sqrt_price * base < quote << 128:
            sqrt_price += 1
        if not least < sqrt_price < most:
            raise NoRoute("the vaults' balances are too far apart for a pool")
        backed_by_a = base * sqrt_price * most // (most - sqrt_price)
        return damm_v2.DammV2Pool(
            base_fee=BASE_FEE,
            dynamic_fee=None,
            liquidity=min(backed_by_a, damm_v2.liquidity_from_b(quote, sqrt_price, least)),
            sqrt_price=sqrt_price,
            token_a_amount=base,
            token_b_amount=quote,
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


def _range(pair: Pair) -> tuple[int, int, int, int]:
    """Sqrt prices of the simulated pool: the reference, the lowest and the highest; and its liquidity. Raises
    `NoRoute`."""
    reference = reference_price(pair)
    middle, low, high = _sqrt_price(reference), _sqrt_price(reference, 1, 3), _sqrt_price(reference, 8, 3)
    if low < damm_v2.MIN_SQRT_PRICE or high > damm_v2.MAX_SQRT_PRICE:
        raise NoRoute("the units of these tokens are too far apart for a pool")
    _, quote = depth(pair, QUOTE_DOLLARS)
    return middle, low, high, damm_v2.liquidity_from_b(quote, middle, low)


def _sqrt_price(price: Price, times: int = 1, over: int = 1) -> int:
    """The Q64.64 root of `price * times / over`, rounded down."""
    return isqrt((price.numerator * times << 128) // (price.denominator * over))

"""What size an order that is too large could have: close to the largest, and quoted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.execution.size_suggestion import MAX_ROUNDS, PPM, SuggestedSize, smaller, suggest_size
from dexexec.venues.router import Answer, Routing
from dexexec_adapters.curves import cpmm, damm_v2
from dexexec_adapters.curves.damm_v2_fees import BaseFee
from dexexec_adapters.curves.swap import ChainTime, CurveError, TradeDirection
from tests.support.scripted import BUY_ONE_SOL, SELL_ONE_SOL, quote_of

NOW = ChainTime(1, 1)
POOL = cpmm.CpmmPool(
    amm_config=cpmm.AmmConfig(trade_fee_rate=2_500, protocol_fee_rate=120_000, fund_fee_rate=40_000),
    vault_0_amount=50_000 * 10**9,
    vault_1_amount=7_500_000 * 10**6,
)
"""50,000 SOL and 7.5 million USDC."""


class Pool:
    """Answers as a router does whose only venue has the pool."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def route(self, request: SwapRequest) -> Routing:
        self.asked.append(request.amount)
        return Routing.of([self.answer(request)])

    def answer(self, request: SwapRequest) -> Answer:
        exact_in = request.mode is Mode.EXACT_IN
        price = cpmm.quote_exact_in if exact_in else cpmm.quote_exact_out
        direction = TradeDirection.A_TO_B if request.mint_in == SELL_ONE_SOL.mint_in else TradeDirection.B_TO_A
        try:
            found = price(POOL, request.amount, direction, NOW)
        except CurveError:
            return Answer(venue="pool", code="no-route")
        other = found.amount_out if exact_in else found.amount_in
        return Answer(venue="pool", quote=quote_of("pool", request, other, price_impact_ppm=found.price_impact_ppm))


async def found_for(request: SwapRequest, limit_ppm: int) -> tuple[Pool, SuggestedSize | None]:
    pool = Pool()
    answer = pool.answer(request)
    quotes: list[Quote] = [answer.quote] if answer.quote else []
    return pool, await suggest_size(pool.route, request, quotes, limit_ppm)


@pytest.mark.parametrize("limit_ppm", [100, 10_000, 100_000, 900_000])
@pytest.mark.parametrize(
    "request_",
    [
        replace(SELL_ONE_SOL, amount=10**18),  # a billion SOL
        replace(SELL_ONE_SOL, amount=500_000 * 10**9),
        replace(BUY_ONE_SOL, amount=49_999 * 10**9),
    ],
    ids=["billion", "many", "exact output"],
)
async def test_the_size_is_within_the_limit_and_close_to_the_largest(request_: SwapRequest, limit_ppm: int) -> None:
    pool, found = await found_for(request_, limit_ppm)
    assert found is not None
    assert len(pool.asked) <= MAX_ROUNDS
    fits, larger = (
        pool.answer(replace(request_, amount=amount)).quote for amount in (found.amount, found.amount * 102 // 100)
    )
    assert fits is not None
    assert fits.price_impact_ppm <= limit_ppm
    assert larger is None or larger.price_impact_ppm > limit_ppm


async def test_no_size_is_within_a_limit_of_nothing() -> None:
    pool, found = await found_for(replace(SELL_ONE_SOL, amount=10**18), 0)
    assert (found, pool.asked) == (None, [])


async def test_a_venue_that_never_gets_within_the_limit_is_queried_a_few_times_only() -> None:
    asked: list[int] = []

    async def route(request: SwapRequest) -> Routing:
        asked.append(request.amount)
        return Routing.of([Answer(venue="v", quote=quote_of("v", request, 1_000, price_impact_ppm=999_950))])

    quote = quote_of("v", SELL_ONE_SOL, 1_000, price_impact_ppm=999_950)
    assert await suggest_size(route, SELL_ONE_SOL, [quote], 100_000) is None
    assert len(asked) <= MAX_ROUNDS
    assert asked == sorted(asked, reverse=True)


@given(st.integers(1, 2**64 - 1), st.integers(1, 10**9), st.integers(0, PPM), st.sampled_from(list(Mode)))
def test_a_smaller_size_is_smaller(amount: int, impact_ppm: int, limit_ppm: int, mode: Mode) -> None:
    assert 0 <= smaller(amount, impact_ppm, limit_ppm, mode) < amount


@pytest.mark.parametrize("direction", list(TradeDirection))
@pytest.mark.parametrize("share", [1, 10, 100, 1_000])
def test_the_closed_form_is_that_of_constant_liquidity_too(direction: TradeDirection, share: int) -> None:
    pool = damm_v2.DammV2Pool(
        base_fee=BaseFee(cliff_fee_numerator=2_000_000),
        dynamic_fee=None,
        liquidity=2**110,
        sqrt_price=2**64,
        token_a_amount=2**50,
        token_b_amount=2**50,
        collect_fee_mode=damm_v2.ONLY_B,
    )
    amount = 2**46 // share
    impact = damm_v2.quote_exact_in(pool, amount, direction, NOW).price_impact_ppm
    limit = impact // 3
    fitting = smaller(amount, impact, limit, Mode.EXACT_IN)
    reported = damm_v2.quote_exact_in(pool, fitting, direction, NOW).price_impact_ppm
    assert limit * 98 // 100 <= reported <= limit

"""Laws that every CPMM swap obeys, for any pool and amount."""

from fractions import Fraction

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from dexexec_adapters.curves.cpmm import (
    BOTH_TOKENS,
    FEE_RATE_DENOMINATOR,
    ONLY_TOKEN_0,
    ONLY_TOKEN_1,
    AmmConfig,
    CpmmPool,
    quote_exact_in,
    quote_exact_out,
)
from dexexec_adapters.curves.swap import CurveError, Refusal, SwapResult, TradeDirection
from tests.support.curve_values import A_TO_B, B_TO_A, NOW

PROPERTY = settings(deadline=None)


@st.composite
def pools(draw: st.DrawFn) -> CpmmPool:
    config = AmmConfig(
        trade_fee_rate=draw(st.integers(0, 500_000)),
        protocol_fee_rate=draw(st.integers(0, 500_000)),
        fund_fee_rate=draw(st.integers(0, 500_000)),
        creator_fee_rate=draw(st.integers(0, 400_000)),
    )
    protocol, fund, creator = draw(st.tuples(*[st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))] * 3))
    reserve_0 = draw(st.integers(1, 2**60))
    reserve_1 = draw(st.integers(1, 2**60))
    return CpmmPool(
        amm_config=config,
        vault_0_amount=reserve_0 + protocol[0] + fund[0] + creator[0],
        vault_1_amount=reserve_1 + protocol[1] + fund[1] + creator[1],
        protocol_fees_token_0=protocol[0],
        protocol_fees_token_1=protocol[1],
        fund_fees_token_0=fund[0],
        fund_fees_token_1=fund[1],
        creator_fees_token_0=creator[0],
        creator_fees_token_1=creator[1],
        creator_fee_on=draw(st.sampled_from([BOTH_TOKENS, ONLY_TOKEN_0, ONLY_TOKEN_1])),
        enable_creator_fee=draw(st.booleans()),
    )


directions = st.sampled_from(TradeDirection)
amounts = st.integers(1, 2**62)


def reserves(pool: CpmmPool, direction: TradeDirection) -> tuple[int, int]:
    reserve_0, reserve_1 = pool.reserves
    return (reserve_0, reserve_1) if direction is A_TO_B else (reserve_1, reserve_0)


def opposite(direction: TradeDirection) -> TradeDirection:
    return B_TO_A if direction is A_TO_B else A_TO_B


def quote_or_nothing(pool: CpmmPool, amount_in: int, direction: TradeDirection) -> SwapResult[CpmmPool] | None:
    try:
        return quote_exact_in(pool, amount_in, direction, NOW)
    except CurveError as refused:
        if refused.code is not Refusal.ZERO_OUTPUT:
            raise
        return None


def exact_out_or_reject(pool: CpmmPool, amount_out: int, direction: TradeDirection) -> SwapResult[CpmmPool]:
    try:
        return quote_exact_out(pool, amount_out, direction, NOW)
    except CurveError as refused:
        if refused.code not in (Refusal.INSUFFICIENT_LIQUIDITY, Refusal.MATH_OVERFLOW):
            raise
        reject()


@PROPERTY
@given(pools(), amounts, directions)
def test_a_round_trip_never_profits_the_wallet(pool: CpmmPool, amount: int, direction: TradeDirection) -> None:
    if there := quote_or_nothing(pool, amount, direction):
        back = quote_or_nothing(there.pool_after, there.amount_out, opposite(direction))
        assert back is None or back.amount_out <= amount


@PROPERTY
@given(pools(), amounts, amounts, directions)
def test_paying_more_never_gives_less_nor_a_smaller_impact(
    pool: CpmmPool, one: int, other: int, direction: TradeDirection
) -> None:
    small, large = (quote_or_nothing(pool, amount, direction) for amount in sorted((one, other)))
    if small:
        assert large
        assert small.amount_out <= large.amount_out
        assert 0 < small.price_impact_ppm <= large.price_impact_ppm <= 1_000_000


@PROPERTY
@given(pools(), st.data(), directions)
def test_what_an_exact_output_costs_buys_at_least_that_output(
    pool: CpmmPool, data: st.DataObject, direction: TradeDirection
) -> None:
    wanted = data.draw(st.integers(1, reserves(pool, direction)[1]))
    cost = exact_out_or_reject(pool, wanted, direction)
    bought = quote_or_nothing(pool, cost.amount_in, direction)
    assert bought
    assert bought.amount_out >= wanted == cost.amount_out
    assert bought.price_impact_ppm == cost.price_impact_ppm


@PROPERTY
@given(pools(), amounts, st.data(), directions)
def test_every_rounding_is_against_the_wallet(
    pool: CpmmPool, amount: int, data: st.DataObject, direction: TradeDirection
) -> None:
    reserve_in, reserve_out = reserves(pool, direction)
    config = pool.amm_config
    creator_rate = config.creator_fee_rate if pool.enable_creator_fee else 0
    on_input = pool.creator_fee_on in (BOTH_TOKENS, ONLY_TOKEN_0 if direction is A_TO_B else ONLY_TOKEN_1)
    kept_in = 1 - Fraction(config.trade_fee_rate + (creator_rate if on_input else 0), FEE_RATE_DENOMINATOR)
    kept_out = 1 - Fraction(0 if on_input else creator_rate, FEE_RATE_DENOMINATOR)
    if given_in := quote_or_nothing(pool, amount, direction):
        exact = kept_out * amount * kept_in * reserve_out / (reserve_in + amount * kept_in)
        assert given_in.amount_out <= exact
    wanted = data.draw(st.integers(1, reserve_out))
    given_out = exact_out_or_reject(pool, wanted, direction)
    assert given_out.amount_in >= reserve_in * wanted / kept_out / (reserve_out - wanted / kept_out) / kept_in


@PROPERTY
@given(pools(), amounts, directions)
def test_tokens_only_move_between_wallet_and_vaults_and_the_reserves_never_shrink_in_value(
    pool: CpmmPool, amount: int, direction: TradeDirection
) -> None:
    if result := quote_or_nothing(pool, amount, direction):
        after = result.pool_after
        moved = (after.vault_0_amount - pool.vault_0_amount, after.vault_1_amount - pool.vault_1_amount)
        assert moved in ((amount, -result.amount_out), (-result.amount_out, amount))
        assert result.amount_out < reserves(pool, direction)[1]
        assert min(after.reserves) > 0
        assert after.reserves[0] * after.reserves[1] >= pool.reserves[0] * pool.reserves[1]

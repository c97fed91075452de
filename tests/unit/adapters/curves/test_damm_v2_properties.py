"""Laws that every DAMM v2 swap obeys, for any pool and amount."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from dexexec_adapters.curves.damm_v2 import (
    BOTH_TOKENS,
    COMPOUNDING,
    ONLY_B,
    DammV2Pool,
    liquidity_from_b,
    quote_exact_in,
    quote_exact_out,
    range_reserves,
    sqrt_price_from_amounts,
)
from dexexec_adapters.curves.damm_v2_fees import FEE_DENOMINATOR, BaseFee, total_fee_numerator
from dexexec_adapters.curves.swap import CurveError, Refusal, SwapResult, TradeDirection
from tests.support.curve_values import A_TO_B, B_TO_A, NOW, VOLATILE

PROPERTY = settings(deadline=None)


@st.composite
def pools(draw: st.DrawFn) -> DammV2Pool:
    base_fee = BaseFee(cliff_fee_numerator=draw(st.integers(100_000, 500_000_000)))
    volatility = st.integers(0, VOLATILE.max_volatility_accumulator)
    dynamic_fee = draw(st.none() | st.builds(replace, st.just(VOLATILE), volatility_accumulator=volatility))
    mode = draw(st.sampled_from([BOTH_TOKENS, ONLY_B, COMPOUNDING]))
    price = draw(st.integers(2**58, 2**70))
    low = price * draw(st.integers(1, 999)) // 1_000
    high = price * draw(st.integers(1_001, 10_000)) // 1_000
    liquidity = liquidity_from_b(draw(st.integers(10**3, 10**12)), price, low)
    token_a, token_b = range_reserves(liquidity, price, low, high)
    assume(token_a > 0)
    compounding_bps = 0
    if mode == COMPOUNDING:
        price = sqrt_price_from_amounts(token_a, token_b)
        low = 0
        high = 2**128 - 1
        compounding_bps = draw(st.integers(0, 10_000))
    return DammV2Pool(
        base_fee=base_fee,
        dynamic_fee=dynamic_fee,
        liquidity=liquidity,
        sqrt_price=price,
        token_a_amount=token_a,
        token_b_amount=token_b,
        sqrt_min_price=low,
        sqrt_max_price=high,
        collect_fee_mode=mode,
        compounding_fee_bps=compounding_bps,
        fee_version=draw(st.sampled_from([0, 1])),
    )


directions = st.sampled_from(TradeDirection)
shares = st.integers(1, 2_000)  # of the reserve of the token that is paid, or wanted, in thousandths
dust = st.integers(0, 1_000)


def sizes(reserve: int, share: int, more: int) -> int:
    return reserve * share // 1_000 + more + 1


def reserves(pool: DammV2Pool, direction: TradeDirection) -> tuple[int, int]:
    amounts = pool.token_a_amount, pool.token_b_amount
    return amounts if direction is A_TO_B else (amounts[1], amounts[0])


def quote_or_nothing(pool: DammV2Pool, amount_in: int, direction: TradeDirection) -> SwapResult[DammV2Pool] | None:
    """None when nothing would come out; a swap out of the price range is no case for a property."""
    try:
        return quote_exact_in(pool, amount_in, direction, NOW)
    except CurveError as refused:
        if refused.code is Refusal.PRICE_RANGE:
            reject()
        if refused.code is not Refusal.ZERO_OUTPUT:
            raise
        return None


def exact_out_or_reject(pool: DammV2Pool, amount_out: int, direction: TradeDirection) -> SwapResult[DammV2Pool]:
    try:
        return quote_exact_out(pool, amount_out, direction, NOW)
    except CurveError as refused:
        if refused.code not in (Refusal.PRICE_RANGE, Refusal.INSUFFICIENT_LIQUIDITY, Refusal.MATH_OVERFLOW):
            raise
        reject()


@PROPERTY
@given(pools(), shares, dust, directions)
def test_a_round_trip_never_profits_the_wallet(
    pool: DammV2Pool, share: int, more: int, direction: TradeDirection
) -> None:
    amount = sizes(reserves(pool, direction)[0], share, more)
    if there := quote_or_nothing(pool, amount, direction):
        opposite = B_TO_A if direction is A_TO_B else A_TO_B
        back = quote_or_nothing(there.pool_after, there.amount_out, opposite)
        assert back is None or back.amount_out <= amount


@PROPERTY
@given(pools(), st.tuples(shares, dust), st.tuples(shares, dust), directions)
def test_paying_more_never_gives_less_nor_a_smaller_impact(
    pool: DammV2Pool, one: tuple[int, int], other: tuple[int, int], direction: TradeDirection
) -> None:
    reserve_in = reserves(pool, direction)[0]
    amounts = sorted(sizes(reserve_in, *each) for each in (one, other))
    small, large = (quote_or_nothing(pool, amount, direction) for amount in amounts)
    if small:
        assert large
        assert small.amount_out <= large.amount_out
        assert 0 < small.price_impact_ppm <= large.price_impact_ppm <= 1_000_000


@PROPERTY
@given(pools(), shares, dust, directions)
def test_what_an_exact_output_costs_buys_at_least_that_output(
    pool: DammV2Pool, share: int, more: int, direction: TradeDirection
) -> None:
    wanted = sizes(reserves(pool, direction)[1], share, more)
    cost = exact_out_or_reject(pool, wanted, direction)
    assert cost.amount_out == wanted
    try:
        assert quote_exact_in(pool, cost.amount_in, direction, NOW).amount_out >= wanted
    except CurveError as refused:
        # One unit of input moves the price by a step: only within a step of the range's edge may it fall outside.
        step = max(1 << 128, pool.sqrt_price**2) // pool.liquidity + 1
        edges = pool.sqrt_min_price, pool.sqrt_max_price
        near = min(abs(cost.pool_after.sqrt_price - edge) for edge in edges) <= step
        if not (near and refused.code is Refusal.PRICE_RANGE):
            raise


@PROPERTY
@given(pools(), shares, dust, directions)
def test_every_rounding_is_against_the_wallet(
    pool: DammV2Pool, share: int, more: int, direction: TradeDirection
) -> None:
    """Compared with the same curve and fee in exact fractions."""
    kept = 1 - Fraction(total_fee_numerator(pool.base_fee, pool.dynamic_fee, pool.fee_version, 0, 0), FEE_DENOMINATOR)
    on_input = direction is B_TO_A and pool.collect_fee_mode != BOTH_TOKENS
    kept_in, kept_out = (kept, 1) if on_input else (1, kept)
    if pool.collect_fee_mode == COMPOUNDING:
        virtual_a = Fraction(pool.token_a_amount)
        virtual_b = Fraction(pool.token_b_amount)
    else:
        virtual_a = Fraction(pool.liquidity, pool.sqrt_price)
        virtual_b = Fraction(pool.liquidity * pool.sqrt_price, 1 << 128)
    source, target = (virtual_a, virtual_b) if direction is A_TO_B else (virtual_b, virtual_a)

    amount = sizes(reserves(pool, direction)[0], share, more)
    if given_in := quote_or_nothing(pool, amount, direction):
        assert given_in.amount_out <= target * amount * kept_in / (source + amount * kept_in) * kept_out
    gross = sizes(reserves(pool, direction)[1], share, more) / Fraction(kept_out)
    given_out = exact_out_or_reject(pool, int(gross * kept_out), direction)
    assert given_out.amount_in >= source * gross / (target - gross) / kept_in


@PROPERTY
@given(pools(), shares, dust, directions)
def test_the_output_never_exceeds_the_reserve_and_the_reserves_never_shrink_in_value(
    pool: DammV2Pool, share: int, more: int, direction: TradeDirection
) -> None:
    if result := quote_or_nothing(pool, sizes(reserves(pool, direction)[0], share, more), direction):
        after = result.pool_after
        reserve_in, reserve_out = reserves(pool, direction)
        compounded = after.token_b_amount - pool.token_b_amount
        compounded -= -(result.amount_out + result.fee_out) if direction is A_TO_B else result.amount_in - result.fee_in
        assert 0 <= compounded <= (result.fee_in + result.fee_out) - result.protocol_fee
        assert result.amount_out <= reserve_out
        assert reserves(after, direction)[0] >= reserve_in
        if pool.collect_fee_mode == COMPOUNDING:
            assert after.token_a_amount * after.token_b_amount >= pool.token_a_amount * pool.token_b_amount
        else:
            needed = range_reserves(pool.liquidity, after.sqrt_price, pool.sqrt_min_price, pool.sqrt_max_price)
            assert after.token_a_amount >= needed[0]
            assert after.token_b_amount >= needed[1]

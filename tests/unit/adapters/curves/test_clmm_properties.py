"""Laws that every CLMM swap obeys, for any pool and amount."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec_adapters.curves.clmm import FEE_RATE_DENOMINATOR, ClmmConfig, ClmmPool, quote_exact_in, quote_exact_out
from dexexec_adapters.curves.clmm_ticks import (
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    Tick,
    TickArray,
    sqrt_price_at,
)
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import CurveError, MissingArray, Refusal, SwapResult, TradeDirection
from dexexec_adapters.curves.ticks import MAX_TICK, MIN_TICK
from tests.support.clmm_pools import Position, pool_of_positions
from tests.support.curve_values import A_TO_B, B_TO_A, NOW
from tests.support.price_moves import ideal

PROPERTY = settings(deadline=None)
REFUSED = {Refusal.ZERO_OUTPUT, Refusal.INSUFFICIENT_LIQUIDITY, Refusal.PRICE_RANGE, Refusal.MATH_OVERFLOW}


@st.composite
def pools(draw: st.DrawFn) -> ClmmPool:
    spacing = draw(st.sampled_from([1, 4, 10, 60, 120]))
    tick = draw(st.integers(-100_000, 100_000))
    near = tick // spacing
    positions = []
    for _ in range(draw(st.integers(1, 5))):
        lower = near + draw(st.integers(-200, 200))
        upper = lower + draw(st.integers(1, 300))
        liquidity = draw(st.one_of(st.integers(1, 10**4), st.integers(10**9, 10**14)))
        positions.append(Position(lower * spacing, upper * spacing, liquidity))
    room = sqrt_price_at(tick + 1) - sqrt_price_at(tick)
    config = ClmmConfig(
        trade_fee_rate=draw(st.integers(0, 500_000)),
        protocol_fee_rate=draw(st.integers(0, 500_000)),
        fund_fee_rate=draw(st.integers(0, 500_000)),
    )
    beyond = draw(st.integers(0, room - 1))
    return pool_of_positions(positions, tick=tick, beyond=beyond, spacing=spacing, config=config)


directions = st.sampled_from(TradeDirection)
amounts = st.one_of(st.integers(1, 1000), st.integers(1, 2**50))


def opposite(direction: TradeDirection) -> TradeDirection:
    return B_TO_A if direction is A_TO_B else A_TO_B


def swap(
    pool: ClmmPool, amount: int, direction: TradeDirection, *, exact_in: bool = True
) -> SwapResult[ClmmPool] | None:
    try:
        return (quote_exact_in if exact_in else quote_exact_out)(pool, amount, direction, NOW)
    except CurveError as refused:
        if refused.code not in REFUSED:
            raise
        return None


@PROPERTY
@given(pools(), amounts, directions)
def test_a_round_trip_never_profits_the_wallet(pool: ClmmPool, amount: int, direction: TradeDirection) -> None:
    if there := swap(pool, amount, direction):
        back = swap(there.pool_after, there.amount_out, opposite(direction))
        assert back is None or back.amount_out <= amount


@PROPERTY
@given(pools(), amounts, amounts, directions)
def test_paying_more_never_gives_less(pool: ClmmPool, one: int, other: int, direction: TradeDirection) -> None:
    small, large = (swap(pool, amount, direction) for amount in sorted((one, other)))
    if small and large:
        assert small.amount_out <= large.amount_out
        assert 0 <= small.price_impact_ppm <= 1_000_000
        assert set(small.arrays) <= set(large.arrays)


@PROPERTY
@given(pools(), amounts, directions)
def test_what_an_exact_output_costs_buys_at_least_that_output(
    pool: ClmmPool, amount: int, direction: TradeDirection
) -> None:
    if cost := swap(pool, amount, direction, exact_in=False):
        bought = swap(pool, cost.amount_in, direction)
        assert bought
        assert bought.amount_out >= amount == cost.amount_out


@PROPERTY
@given(pools(), amounts, directions, st.booleans())
def test_every_rounding_is_against_the_wallet(
    pool: ClmmPool, amount: int, direction: TradeDirection, exact_in: bool
) -> None:
    result = swap(pool, amount, direction, exact_in=exact_in)
    if result is None:
        return
    paid, received = ideal(pool, result.pool_after, direction, sqrt_price_at)
    kept = 1 - Fraction(pool.config.trade_fee_rate, FEE_RATE_DENOMINATOR)
    # The price moved no further than the input pays for, and what came out is no more than that move gives.
    assert result.amount_in >= paid / kept
    assert result.amount_out <= received
    assert result.fee_in >= result.amount_in * (1 - kept) - 1
    assert 0 <= result.protocol_fee <= result.fee_in


@PROPERTY
@given(pools(), amounts, directions, st.booleans())
def test_a_price_from_all_arrays_is_that_from_the_arrays_that_were_named_alone(
    pool: ClmmPool, amount: int, direction: TradeDirection, exact_in: bool
) -> None:
    quote = quote_exact_in if exact_in else quote_exact_out
    known: dict[int, TickArray] = {}
    reads = 0
    while True:
        reads += 1
        assert reads <= len(pool.arrays) + 1, "each round names an array that was not read"
        try:
            result = quote(replace(pool, arrays=known), amount, direction, NOW)
        except MissingArray as missing:
            known |= {start: pool.arrays[start] for start in missing.indexes}
        except CurveError:
            assert swap(pool, amount, direction, exact_in=exact_in) is None
            return
        else:
            whole = quote(pool, amount, direction, NOW)
            assert replace(result, pool_after=pool) == replace(whole, pool_after=pool)
            assert replace(result.pool_after, arrays={}) == replace(whole.pool_after, arrays={})
            return


numbers = st.one_of(st.integers(0, 10), st.integers(0, 2**64), st.integers(0, 2**128 - 1))
any_ticks = st.one_of(st.integers(MIN_TICK - 2, MAX_TICK + 2), st.integers(-(2**31), 2**31 - 1))
any_prices = st.one_of(numbers, st.integers(MIN_SQRT_PRICE - 2, MIN_SQRT_PRICE + 2), st.just(MAX_SQRT_PRICE), any_ticks)


@PROPERTY
@given(st.data(), directions, st.booleans())
def test_bytes_of_anybody_end_in_a_price_or_a_refusal(
    data: st.DataObject, direction: TradeDirection, exact_in: bool
) -> None:
    spacing = data.draw(st.integers(0, 2**16 - 1))
    tick = st.builds(Tick, any_ticks, st.integers(-(2**127), 2**127 - 1), st.booleans())
    current = data.draw(any_ticks)
    span = 60 * max(spacing, 1)
    starts = [(current // span + step) * span for step in (-1, 0, 1)]
    pool = ClmmPool(
        config=ClmmConfig(
            trade_fee_rate=data.draw(st.integers(0, 999_999)), protocol_fee_rate=0, fund_fee_rate=1_000_000
        ),
        tick_spacing=spacing,
        tick_current=current,
        sqrt_price=data.draw(any_prices),
        liquidity=data.draw(numbers),
        bitmap=data.draw(st.integers(0, 2**15_360 - 1)),
        arrays={start: TickArray(start, tuple(data.draw(st.lists(tick, max_size=3)))) for start in starts},
    )
    quote = quote_exact_in if exact_in else quote_exact_out
    try:
        result = quote(pool, data.draw(st.integers(1, U64_MAX)), direction, NOW)
    except (CurveError, MissingArray):
        return
    assert 0 < result.amount_in <= U64_MAX
    assert 0 < result.amount_out <= U64_MAX

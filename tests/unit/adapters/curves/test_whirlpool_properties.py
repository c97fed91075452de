"""Laws that every swap of a Whirlpool obeys, for any pool and amount."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import CurveError, MissingArray, Refusal, SwapResult, TradeDirection
from dexexec_adapters.curves.ticks import MAX_TICK, MIN_TICK
from dexexec_adapters.curves.whirlpool import FEE_RATE_DENOMINATOR, Whirlpool, quote_exact_in, quote_exact_out
from dexexec_adapters.curves.whirlpool_fees import AdaptiveFee
from dexexec_adapters.curves.whirlpool_ticks import (
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    TICKS_IN_ARRAY,
    Tick,
    TickArray,
    sqrt_price_at,
)
from tests.support.curve_values import A_TO_B, B_TO_A, NOW
from tests.support.price_moves import ideal, ranges_of
from tests.support.whirlpool_pools import Position, pool_of_positions

PROPERTY = settings(deadline=None)
REFUSED = {Refusal.ZERO_OUTPUT, Refusal.INSUFFICIENT_LIQUIDITY, Refusal.PRICE_RANGE, Refusal.MATH_OVERFLOW}


@st.composite
def fees(draw: st.DrawFn, spacing: int) -> AdaptiveFee:
    group_size = draw(st.sampled_from([size for size in (1, 2, 8, 64, 128) if spacing % size == 0]))
    highest = draw(st.integers(0, 400_000))
    return AdaptiveFee(
        filter_period=draw(st.integers(1, 60)),
        decay_period=draw(st.integers(61, 600)),
        reduction_factor=draw(st.integers(0, 9_999)),
        control_factor=draw(st.one_of(st.just(0), st.integers(1, 99_999))),
        max_volatility=highest,
        group_size=group_size,
        major_swap_ticks=draw(st.integers(1, spacing * TICKS_IN_ARRAY)),
        reference_updated_at=NOW.unix_timestamp - draw(st.integers(0, 4_000)),
        major_swap_at=NOW.unix_timestamp - draw(st.integers(0, 4_000)),
        volatility_reference=draw(st.integers(0, highest)),
        group_reference=draw(st.integers(-2_000, 2_000)),
        volatility=draw(st.integers(0, highest)),
    )


@st.composite
def pools(draw: st.DrawFn) -> Whirlpool:
    spacing = draw(st.sampled_from([1, 4, 8, 64, 128]))
    tick = draw(st.integers(-100_000, 100_000))
    near = tick // spacing
    positions = []
    for _ in range(draw(st.integers(1, 5))):
        lower = near + draw(st.integers(-200, 200))
        upper = lower + draw(st.integers(1, 300))
        liquidity = draw(st.one_of(st.integers(1, 10**4), st.integers(10**9, 10**14)))
        positions.append(Position(lower * spacing, upper * spacing, liquidity))
    return pool_of_positions(
        positions,
        tick=tick,
        beyond=draw(st.integers(0, sqrt_price_at(tick + 1) - sqrt_price_at(tick) - 1)),
        spacing=spacing,
        fee_rate=draw(st.integers(0, 65_535)),
        protocol_fee_rate=draw(st.integers(0, 2_500)),
        adaptive_fee=draw(st.one_of(st.none(), fees(spacing))),
    )


directions = st.sampled_from(TradeDirection)
amounts = st.one_of(st.integers(1, 1000), st.integers(1, 2**50))


def opposite(direction: TradeDirection) -> TradeDirection:
    return B_TO_A if direction is A_TO_B else A_TO_B


def swap(
    pool: Whirlpool, amount: int, direction: TradeDirection, *, exact_in: bool = True
) -> SwapResult[Whirlpool] | None:
    try:
        return (quote_exact_in if exact_in else quote_exact_out)(pool, amount, direction, NOW)
    except CurveError as refused:
        if refused.code not in REFUSED:
            raise
        return None


@PROPERTY
@given(pools(), amounts, directions)
def test_a_round_trip_never_profits_the_wallet(pool: Whirlpool, amount: int, direction: TradeDirection) -> None:
    if there := swap(pool, amount, direction):
        try:
            back = swap(there.pool_after, there.amount_out, opposite(direction))
        except MissingArray:  # the price has moved to where no array was read in this direction
            return
        assert back is None or back.amount_out <= amount


@PROPERTY
@given(pools(), amounts, amounts, directions)
def test_paying_more_never_gives_less(pool: Whirlpool, one: int, other: int, direction: TradeDirection) -> None:
    small, large = (swap(pool, amount, direction) for amount in sorted((one, other)))
    if small and large:
        assert small.amount_out <= large.amount_out
        assert 0 <= small.price_impact_ppm <= 1_000_000


@PROPERTY
@given(pools(), amounts, amounts, directions)
def test_an_exact_output_costs_no_more_than_an_input_that_gives_more_but_for_the_rounding_of_each_range(
    pool: Whirlpool, one: int, other: int, direction: TradeDirection
) -> None:
    # With a fee that moves, a price at the border of two groups has the fee of either.
    pool = replace(pool, adaptive_fee=None)
    small, large = (swap(pool, amount, direction) for amount in sorted((one, other)))
    if small and large and small.amount_out < large.amount_out:
        cost = swap(pool, small.amount_out, direction, exact_in=False)
        assert cost
        assert cost.amount_out == small.amount_out
        # The program rounds down what there is up to a tick: for the last unit of an exact output it may go on to it.
        # The fee of each range rounds up to a unit, and so does its input.
        assert cost.amount_in <= large.amount_in + 2 * len(ranges_of(pool, cost.pool_after, sqrt_price_at))


@PROPERTY
@given(pools(), amounts, directions, st.booleans())
def test_every_rounding_is_against_the_wallet(
    pool: Whirlpool, amount: int, direction: TradeDirection, exact_in: bool
) -> None:
    result = swap(pool, amount, direction, exact_in=exact_in)
    if result is None:
        return
    paid, received = ideal(pool, result.pool_after, direction, sqrt_price_at)
    # An adaptive fee comes on top.
    kept = 1 - Fraction(pool.fee_rate, FEE_RATE_DENOMINATOR)
    assert result.amount_in >= paid / kept
    assert result.amount_out <= received
    assert result.fee_in >= result.amount_in * (1 - kept) - 1
    assert 0 <= result.protocol_fee <= result.fee_in


@PROPERTY
@given(pools(), amounts, directions, st.booleans())
def test_a_price_from_all_arrays_is_that_from_the_arrays_that_were_named_alone(
    pool: Whirlpool, amount: int, direction: TradeDirection, exact_in: bool
) -> None:
    whole = swap(pool, amount, direction, exact_in=exact_in)
    bare = replace(pool, arrays={})
    try:
        found = swap(bare, amount, direction, exact_in=exact_in)
    except MissingArray as missing:
        named = {start: pool.arrays[start] for start in missing.indexes}
        bare = replace(pool, arrays=named)
        found = swap(bare, amount, direction, exact_in=exact_in)
    if whole is None or found is None:
        assert whole is found
        return
    assert tuple(bare.arrays) == found.arrays == whole.arrays
    assert replace(found.pool_after, arrays={}) == replace(whole.pool_after, arrays={})
    assert replace(found, pool_after=pool) == replace(whole, pool_after=pool)


numbers = st.one_of(st.integers(0, 10), st.integers(0, 2**64), st.integers(0, 2**128 - 1))
u16, u32, u64 = (st.one_of(st.integers(0, 3), st.integers(0, 2**bits - 1)) for bits in (16, 32, 64))
i32 = st.integers(-(2**31), 2**31 - 1)
any_prices = st.one_of(numbers, st.integers(MIN_SQRT_PRICE - 2, MIN_SQRT_PRICE + 2), st.just(MAX_SQRT_PRICE))
any_fees = {
    "filter_period": u16, "decay_period": u16, "reduction_factor": u16, "control_factor": u32, "max_volatility": u32,
    "group_size": u16, "major_swap_ticks": u16, "reference_updated_at": u64, "major_swap_at": u64,
    "volatility_reference": u32, "group_reference": i32, "volatility": u32,
}  # fmt: skip


@PROPERTY
@given(st.data(), directions, st.booleans())
def test_bytes_of_anybody_end_in_a_price_or_a_refusal(
    data: st.DataObject, direction: TradeDirection, exact_in: bool
) -> None:
    spacing = data.draw(st.integers(0, 2**16 - 1))
    current = data.draw(st.one_of(st.integers(MIN_TICK, MAX_TICK), i32))
    span = TICKS_IN_ARRAY * max(spacing, 1)
    tick = st.builds(
        Tick,
        st.one_of(st.integers(current - span, current + span), i32),
        st.one_of(st.integers(-10, 10), st.integers(-(2**127), 2**127 - 1)),
    )
    starts = [(current // span + step) * span for step in (-2, -1, 0, 1, 2)]
    quote = quote_exact_in if exact_in else quote_exact_out
    try:
        pool = Whirlpool(
            tick_spacing=spacing,
            tick_current=current,
            sqrt_price=data.draw(any_prices),
            liquidity=data.draw(numbers),
            fee_rate=data.draw(u16),
            protocol_fee_rate=data.draw(u16),
            adaptive_fee=data.draw(st.none() | st.builds(AdaptiveFee, **any_fees))
            if data.draw(st.booleans())
            else None,
            opens_at=data.draw(st.just(0) | u64),
            arrays={start: TickArray(start, tuple(data.draw(st.lists(tick, max_size=3)))) for start in starts},
        )
        result = quote(pool, data.draw(st.integers(1, U64_MAX)), direction, NOW)
    except (CurveError, MissingArray, ValueError):
        return
    assert 0 < result.amount_in <= U64_MAX
    assert 0 < result.amount_out <= U64_MAX

"""Laws that every DLMM swap obeys, for any pool and amount."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec_adapters.curves.dlmm import ONLY_Y, DlmmPool, quote_exact_in, quote_exact_out
from dexexec_adapters.curves.dlmm_bins import BINS_PER_ARRAY, ArrayMap, Bin, price_of
from dexexec_adapters.curves.dlmm_fees import DlmmFee, DlmmVolatility
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import CurveError, MissingArray, Refusal, SwapResult, TradeDirection
from tests.support.curve_values import A_TO_B, B_TO_A, NOW
from tests.support.dlmm_pools import pool_of_bins

PROPERTY = settings(deadline=None)
REFUSED = {Refusal.ZERO_OUTPUT, Refusal.INSUFFICIENT_LIQUIDITY, Refusal.MATH_OVERFLOW}
U16, U32, U64, U128 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64, 128))
I32 = st.integers(-(2**31), 2**31 - 1)
directions = st.sampled_from(TradeDirection)
amounts = st.one_of(st.integers(1, 1_000), st.integers(1, 2**50))
held = st.one_of(st.integers(0, 3), st.integers(0, 10**12))


@st.composite
def pools(draw: st.DrawFn) -> DlmmPool:
    step = draw(st.sampled_from([1, 10, 100, 400]))
    active = draw(st.integers(-12_000 // step, 12_000 // step))
    places = draw(st.sets(st.integers(-80, 80), max_size=10)) | {0}
    bins = {}
    for place in places:
        bins[active + place] = Bin(
            amount_x=draw(held) if place >= 0 else 0,
            amount_y=draw(held) if place <= 0 else 0,
            price=price_of(active + place, step),
            open_order=draw(held),
            processed_order=draw(held),
            ask_side=place > 0,
        )
    fee = DlmmFee(
        base_factor=draw(U16),
        bin_step=step,
        filter_period=10,
        decay_period=120,
        reduction_factor=draw(st.integers(0, 10_000)),
        variable_fee_control=draw(st.integers(0, 2_000_000)),
        max_volatility_accumulator=draw(st.integers(0, 500_000)),
        protocol_share=draw(st.integers(0, 2_500)),
    )
    return pool_of_bins(
        bins,
        fee=fee,
        active_id=active,
        volatility=DlmmVolatility(index_reference=active + draw(st.integers(-20, 20)), updated_at=NOW.unix_timestamp),
        collect_fee_mode=draw(st.sampled_from([0, ONLY_Y])),
        with_orders=draw(st.booleans()),
    )


def swap(
    pool: DlmmPool, amount: int, direction: TradeDirection, *, exact_in: bool = True
) -> SwapResult[DlmmPool] | None:
    """None for a swap that the pool refuses for its amount."""
    try:
        return (quote_exact_in if exact_in else quote_exact_out)(pool, amount, direction, NOW)
    except CurveError as refused:
        if refused.code not in (REFUSED if exact_in else REFUSED | {Refusal.UNSUPPORTED}):
            raise
        return None


def totals(pool: DlmmPool) -> tuple[int, int]:
    """All X and Y in the bins, without what is paid to limit orders."""
    bins = [one for array in pool.arrays.values() for one in array]
    asks, bids = (
        sum(one.open_order + one.processed_order for one in bins if one.ask_side is side) for side in (True, False)
    )
    return sum(one.amount_x for one in bins) + asks, sum(one.amount_y for one in bins) + bids


@PROPERTY
@given(pools(), amounts, directions)
def test_a_round_trip_never_profits_the_wallet(pool: DlmmPool, amount: int, direction: TradeDirection) -> None:
    if there := swap(pool, amount, direction):
        back = swap(there.pool_after, there.amount_out, B_TO_A if direction is A_TO_B else A_TO_B)
        assert back is None or back.amount_out <= amount


@PROPERTY
@given(pools(), st.tuples(amounts, amounts), directions)
def test_paying_more_never_gives_less(pool: DlmmPool, pair: tuple[int, int], direction: TradeDirection) -> None:
    small, large = (swap(pool, amount, direction) for amount in sorted(pair))
    if small and large:
        assert small.amount_out <= large.amount_out
        assert len(small.arrays) <= len(large.arrays)


@PROPERTY
@given(pools(), st.tuples(amounts, amounts), directions)
def test_wanting_more_never_costs_less(pool: DlmmPool, pair: tuple[int, int], direction: TradeDirection) -> None:
    small, large = (swap(pool, amount, direction, exact_in=False) for amount in sorted(pair))
    if small and large:
        assert small.amount_in <= large.amount_in


@PROPERTY
@given(pools(), amounts, directions)
def test_what_a_fixed_output_costs_buys_it(pool: DlmmPool, amount: int, direction: TradeDirection) -> None:
    if (fixed := swap(pool, amount, direction, exact_in=False)) and (paid := swap(pool, fixed.amount_in, direction)):
        assert paid.amount_out >= amount


@PROPERTY
@given(pools(), amounts, directions, st.booleans())
def test_every_unit_is_accounted_for(pool: DlmmPool, amount: int, direction: TradeDirection, exact_in: bool) -> None:
    if not (result := swap(pool, amount, direction, exact_in=exact_in)):
        return
    before, after = totals(pool), totals(result.pool_after)
    a_to_b = direction is A_TO_B
    paid, given_out = (0, 1) if a_to_b else (1, 0)
    # What is paid for limit orders is their owners', and no longer in a bin.
    assert 0 <= after[paid] - before[paid] <= result.amount_in - result.fee_in
    gone = before[given_out] - after[given_out]
    assert gone >= result.amount_out + result.fee_out
    if exact_in:
        assert gone == result.amount_out + result.fee_out
    assert result.protocol_fee >= 0
    assert 0 <= result.price_impact_ppm <= 1_000_000
    assert 0 < result.amount_out <= U64_MAX
    assert result.amount_in > result.fee_in


hostile_bins = st.builds(Bin, U64, U64, U128, U64, U64, st.booleans())
hostile_pools = st.builds(
    DlmmPool,
    fee=st.builds(
        DlmmFee,
        base_factor=U16,
        bin_step=U16,
        base_fee_power_factor=st.integers(0, 255),
        filter_period=U16,
        decay_period=U16,
        reduction_factor=U16,
        variable_fee_control=U32,
        max_volatility_accumulator=U32,
        protocol_share=U16,
    ),
    volatility=st.builds(
        DlmmVolatility,
        accumulator=U32,
        reference=U32,
        index_reference=I32,
        updated_at=st.integers(-(2**63), 2**63 - 1),
    ),
    active_id=st.one_of(I32, st.integers(-100, 100)),
    marked=st.builds(ArrayMap, st.integers(0, 2**1024 - 1), st.integers(0, 2**6144 - 1), st.integers(0, 2**6144 - 1)),
    arrays=st.dictionaries(
        st.integers(-3, 3), hostile_bins.map(lambda one: (one,) * BINS_PER_ARRAY), min_size=1, max_size=4
    ),
    collect_fee_mode=st.integers(0, 2),
    with_orders=st.booleans(),
    pair_type=st.integers(0, 4),
    status=st.integers(0, 1),
    activation_type=st.integers(0, 2),
    activation_point=U64,
)


@PROPERTY
@given(hostile_pools, st.integers(-1, 2**65), directions, st.booleans())
def test_no_bytes_of_anybody_raise_anything_but_a_refusal(
    pool: DlmmPool, amount: int, direction: TradeDirection, exact_in: bool
) -> None:
    try:
        result = (quote_exact_in if exact_in else quote_exact_out)(pool, amount, direction, NOW)
    except (CurveError, MissingArray):
        return
    assert 0 < result.amount_out <= U64_MAX
    assert 0 < result.amount_in <= U64_MAX
    assert 0 <= result.price_impact_ppm <= 1_000_000

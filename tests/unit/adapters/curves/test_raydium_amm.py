"""Raydium AMM v4 is priced like the program does, and never in favour of the swapping wallet.

The amounts that the program moved are compared in `tests/unit/adapters/test_recorded_swaps.py`.
"""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.raydium_amm import WAITING_TRADE, AmmV4Pool, quote_exact_in, quote_exact_out
from dexexec_adapters.curves.swap import CurveError, Refusal, SwapResult, TradeDirection
from tests.support.curve_values import A_TO_B, B_TO_A, NOW

PROPERTY = settings(deadline=None)
POOL = AmmV4Pool(vaults=(10**13 + 5, 10**12 + 7), taken=(5, 7), fee_numerator=25, fee_denominator=10_000)


@st.composite
def pools(draw: st.DrawFn) -> AmmV4Pool:
    denominator = draw(st.integers(1, U64_MAX))
    taken = draw(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)))
    return AmmV4Pool(
        vaults=(draw(st.integers(1, 2**63)) + taken[0], draw(st.integers(1, 2**63)) + taken[1]),
        taken=taken,
        fee_numerator=draw(st.integers(0, denominator - 1)),
        fee_denominator=denominator,
    )


directions = st.sampled_from(TradeDirection)
amounts = st.integers(1, U64_MAX)


def tried(
    pool: AmmV4Pool, amount: int, direction: TradeDirection, *, out: bool = False
) -> SwapResult[AmmV4Pool] | None:
    """The result, or None where the pool refuses; nothing but `CurveError` may be raised."""
    try:
        return (quote_exact_out if out else quote_exact_in)(pool, amount, direction, NOW)
    except CurveError:
        return None


def reserves(pool: AmmV4Pool, direction: TradeDirection) -> tuple[int, int]:
    return pool.reserves if direction is A_TO_B else pool.reserves[::-1]


@PROPERTY
@given(pools(), amounts, directions)
def test_every_rounding_is_against_the_wallet(pool: AmmV4Pool, amount: int, direction: TradeDirection) -> None:
    reserve_in, reserve_out = reserves(pool, direction)
    kept = 1 - Fraction(pool.fee_numerator, pool.fee_denominator)
    if result := tried(pool, amount, direction):
        assert result.amount_out <= amount * kept * reserve_out / (reserve_in + amount * kept)
    if result := tried(pool, amount, direction, out=True):
        assert result.amount_in >= Fraction(reserve_in * amount, reserve_out - amount) / kept


@PROPERTY
@given(pools(), amounts, amounts, directions)
def test_paying_more_never_gives_less(pool: AmmV4Pool, one: int, other: int, direction: TradeDirection) -> None:
    small, large = (tried(pool, amount, direction) for amount in sorted((one, other)))
    if small and large:
        assert small.amount_out <= large.amount_out
        assert small.price_impact_ppm <= large.price_impact_ppm


@PROPERTY
@given(pools(), st.data(), directions)
def test_what_an_exact_output_costs_buys_at_least_that_output(
    pool: AmmV4Pool, data: st.DataObject, direction: TradeDirection
) -> None:
    wanted = data.draw(st.integers(1, reserves(pool, direction)[1]))
    cost = tried(pool, wanted, direction, out=True)
    bought = tried(pool, cost.amount_in, direction) if cost else None
    assert not bought or bought.amount_out >= wanted


@PROPERTY
@given(pools(), amounts, directions)
def test_tokens_only_move_between_wallet_and_vaults_and_the_reserves_never_shrink_in_value(
    pool: AmmV4Pool, amount: int, direction: TradeDirection
) -> None:
    if result := tried(pool, amount, direction):
        moved = tuple(after - before for after, before in zip(result.pool_after.vaults, pool.vaults, strict=True))
        assert moved in ((amount, -result.amount_out), (-result.amount_out, amount))
        after, before = result.pool_after.reserves, pool.reserves
        assert after[0] * after[1] >= before[0] * before[1]


def test_the_fee_is_rounded_up_and_stays_in_the_pool() -> None:
    result = quote_exact_in(POOL, 10**9, A_TO_B, NOW)
    assert (result.amount_out, result.fee_in, result.protocol_fee) == (99_740_050, 2_500_000, 0)
    assert result.pool_after.reserves == (10**13 + 10**9, 10**12 - 99_740_050)


@pytest.mark.parametrize(("amount", "out"), [(1, False), (199, False), (4, True)])
def test_amounts_that_builds_of_the_program_round_differently_are_refused(amount: int, out: bool) -> None:
    with pytest.raises(CurveError, match="round it differently") as refused:
        (quote_exact_out if out else quote_exact_in)(POOL, amount, B_TO_A if out else A_TO_B, NOW)
    assert refused.value.code is Refusal.UNSUPPORTED


def test_the_next_larger_amount_is_priced() -> None:
    assert quote_exact_in(POOL, 200, A_TO_B, NOW).fee_in == 1
    assert quote_exact_out(POOL, 5, B_TO_A, NOW).amount_in == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(0, "closed"), (1, "unsupported"), (2, "closed"), (3, "closed"), (4, "closed"), (5, "closed"), (8, "closed")],
)
def test_only_two_states_of_a_pool_are_priced(status: int, code: str) -> None:
    pool = AmmV4Pool(vaults=(10**9, 10**9), taken=(0, 0), fee_numerator=25, fee_denominator=10_000, status=status)
    with pytest.raises(CurveError, match=f"status is {status}") as refused:
        quote_exact_in(pool, 10**6, A_TO_B, NOW)
    assert refused.value.code == code


def test_a_waiting_pool_opens_at_its_time_and_is_an_ordinary_one_then() -> None:
    when = NOW.unix_timestamp
    early, open_now = (
        AmmV4Pool(
            vaults=(10**9, 10**9),
            taken=(0, 0),
            fee_numerator=25,
            fee_denominator=10_000,
            status=WAITING_TRADE,
            open_time=when + wait,
        )
        for wait in (1, 0)
    )
    with pytest.raises(CurveError, match=f"opens at {when + 1}"):
        quote_exact_in(early, 10**6, A_TO_B, NOW)
    assert quote_exact_in(open_now, 10**6, A_TO_B, NOW).pool_after.status != WAITING_TRADE


@pytest.mark.parametrize("fee", [(1, 1), (2, 1), (0, 0), (-1, 5)])
def test_a_fee_that_leaves_nothing_is_no_pool(fee: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="from 0 to below 1"):
        AmmV4Pool(vaults=(1, 1), taken=(0, 0), fee_numerator=fee[0], fee_denominator=fee[1])

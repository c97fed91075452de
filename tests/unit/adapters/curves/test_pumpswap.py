"""PumpSwap is priced as its SDK does, and never in favour of the swapping wallet."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.pumpswap import BPS, Fees, FeeTier, PumpPool, fees_of, quote_exact_in, quote_exact_out
from dexexec_adapters.curves.swap import CurveError, Refusal, SwapResult
from tests.support.curve_values import A_TO_B, B_TO_A, NOW

VECTORS = Path(__file__).parents[3] / "vectors" / "pumpswap_sdk.json"
PROPERTY = settings(deadline=None)
TIERS = (
    FeeTier(market_cap=10, fees=Fees(lp=2, protocol=93, creator=30)),
    FeeTier(market_cap=1_000, fees=Fees(lp=20, protocol=5, creator=95)),
)


def pool(vaults: tuple[int, int] = (10**12, 10**11), **values: Any) -> PumpPool:
    return PumpPool(**{"vaults": vaults, "supply": 10**15, "tiers": TIERS, "has_creator": True, **values})


@st.composite
def pools(draw: st.DrawFn) -> PumpPool:
    rates = st.integers(0, 3_000)
    fees = Fees(lp=draw(rates), protocol=draw(rates), creator=draw(rates))
    return pool(
        (draw(st.integers(1, 2**63)), draw(st.integers(1, 2**63))),
        supply=draw(st.integers(0, U64_MAX)),
        tiers=(FeeTier(market_cap=0, fees=fees),),
        has_creator=draw(st.booleans()),
    )


amounts = st.integers(1, U64_MAX)


def tried(of: PumpPool, amount: int, *, out: bool = False) -> SwapResult[PumpPool] | None:
    """The sale or purchase, or None where the pool refuses; nothing but `CurveError` may be raised."""
    try:
        return quote_exact_out(of, amount, B_TO_A, NOW) if out else quote_exact_in(of, amount, A_TO_B, NOW)
    except CurveError:
        return None


@PROPERTY
@given(pools(), amounts)
def test_every_rounding_is_against_the_wallet(of: PumpPool, amount: int) -> None:
    base, quote = of.vaults
    fees = fees_of(of)
    rate = Fraction(fees.lp + fees.protocol + fees.creator, BPS)
    if sold := tried(of, amount):
        assert sold.amount_out <= Fraction(quote * amount, base + amount) * (1 - rate)
    if bought := tried(of, amount, out=True):
        assert bought.amount_in >= Fraction(quote * amount, base - amount) * (1 + rate)


@PROPERTY
@given(pools(), amounts)
def test_the_pool_keeps_what_the_wallet_and_the_receivers_of_fees_do_not_get(of: PumpPool, amount: int) -> None:
    for result in (tried(of, amount), tried(of, amount, out=True)):
        if result is None:
            continue
        before, after = of.vaults, result.pool_after.vaults
        assert after[0] * after[1] >= before[0] * before[1]
        if result.fee_out:
            assert after[0] == before[0] + amount
            assert before[1] - after[1] >= result.amount_out + result.protocol_fee
        else:
            assert after[1] - before[1] <= result.amount_in - result.protocol_fee


@PROPERTY
@given(pools(), amounts, amounts)
def test_selling_more_never_gives_less_and_buying_more_never_costs_less(of: PumpPool, one: int, other: int) -> None:
    less, more = sorted((one, other))
    if (small := tried(of, less)) and (large := tried(of, more)):
        # A unit more before the fees may make each of the three a unit more.
        assert small.amount_out <= large.amount_out + 2
    if (small := tried(of, less, out=True)) and (large := tried(of, more, out=True)):
        assert small.amount_in <= large.amount_in


@pytest.mark.parametrize("case", json.loads(VECTORS.read_text()), ids=lambda case: str(case["n"]))
def test_the_sdk_computes_the_same(case: dict[str, Any]) -> None:
    tiers = tuple(
        FeeTier(market_cap=int(cap), fees=Fees(lp=lp, protocol=protocol, creator=creator))
        for cap, lp, protocol, creator in case["tiers"]
    )
    base, quote = map(int, case["reserves"])
    of = pool((base, quote), supply=int(case["supply"]), tiers=tiers, has_creator=case["creator"])
    assert quote_exact_in(of, int(case["amount"]), A_TO_B, NOW).amount_out == int(case["sold"])
    assert quote_exact_out(of, int(case["amount"]), B_TO_A, NOW).amount_in == int(case["bought"])


@pytest.mark.parametrize(
    ("quote", "lp"),
    [(1, 2), (10, 2), (999, 2), (1_000, 20), (10**6, 20)],
    ids=["below", "first", "last", "second", "above"],
)
def test_the_fees_are_those_of_the_market_cap(quote: int, lp: int) -> None:
    assert fees_of(pool((10**6, quote), supply=10**6)).lp == lp


def test_a_pool_without_a_creator_pays_no_creator_fee() -> None:
    assert fees_of(pool(has_creator=False)).creator == 0


def test_the_other_two_kinds_of_swap_are_refused_by_name() -> None:
    with pytest.raises(CurveError, match="not documented") as buying:
        quote_exact_in(pool(), 10**6, B_TO_A, NOW)
    with pytest.raises(CurveError, match="no sale for an exact amount") as selling:
        quote_exact_out(pool(), 10**6, A_TO_B, NOW)
    assert buying.value.code == selling.value.code == Refusal.UNSUPPORTED


@pytest.mark.parametrize("fees", [(10_000, 0, 0), (5_000, 4_000, 1_000), (-1, 0, 0)])
def test_fees_that_leave_nothing_are_none(fees: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="bps must be below"):
        Fees(lp=fees[0], protocol=fees[1], creator=fees[2])


@pytest.mark.parametrize("tiers", [(), TIERS[::-1], (TIERS[0], TIERS[0])])
def test_tiers_without_an_order_are_none(tiers: tuple[FeeTier, ...]) -> None:
    with pytest.raises(ValueError, match="growing market caps"):
        pool(tiers=tiers)

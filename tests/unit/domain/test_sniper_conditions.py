"""Each condition of a sniper stops it at the figure that a pool or a quote has, and not at the limit itself."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.launch import NewPool
from dexexec.domain.sniper_conditions import Condition, SniperConditions, Stop
from tests.support.launched import AMOUNT, DECIMALS, MINT, NOW_MS, launched, quote_in

SOMEBODY = "somebody"


def stops(pool: NewPool, **conditions: Any) -> list[Stop]:
    return SniperConditions(**conditions).stops_of_pool(pool, MINT, NOW_MS)


@pytest.mark.parametrize(
    ("conditions", "holds", "fails", "stop"),
    [
        (
            {"min_liquidity": Decimal("100.5")},
            launched(reserve=100_500_000_000),
            launched(reserve=100_499_999_999),
            Stop(Condition.MIN_LIQUIDITY, "100.499999999", "100.5"),
        ),
        (
            {"max_age_ms": 1_000},
            launched(age_ms=1_000),
            launched(age_ms=1_001),
            Stop(Condition.MAX_AGE_MS, "1001", "1000"),
        ),
        (
            {"mint_authority_revoked": True},
            launched(freeze_authority=SOMEBODY),
            launched(mint_authority=SOMEBODY),
            Stop(Condition.MINT_AUTHORITY_REVOKED, "held by somebody", "revoked"),
        ),
        (
            {"freeze_authority_revoked": True},
            launched(mint_authority=SOMEBODY),
            launched(freeze_authority=SOMEBODY),
            Stop(Condition.FREEZE_AUTHORITY_REVOKED, "held by somebody", "revoked"),
        ),
        (
            {"max_transfer_fee_bps": 100},
            launched(transfer_fee_bps=100),
            launched(transfer_fee_bps=101),
            Stop(Condition.MAX_TRANSFER_FEE_BPS, "101", "100"),
        ),
        ({"venues": ("a", "c")}, launched(venue="a"), launched(venue="b"), Stop(Condition.VENUES, "b", "a, c")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_condition_of_the_pool_names_the_figure_and_the_limit(
    conditions: dict[str, Any], holds: NewPool, fails: NewPool, stop: Stop
) -> None:
    assert stops(holds, **conditions) == []
    assert stops(fails, **conditions) == [stop]
    assert stops(fails) == [], "nothing is required"
    assert (stop.seen in stop.text, stop.limit in stop.text, stop.condition in stop.text) == (True, True, True)


def test_all_conditions_that_fail_are_named() -> None:
    pool = launched(reserve=1, mint_authority=SOMEBODY, freeze_authority=SOMEBODY)
    found = stops(pool, min_liquidity=Decimal(1), mint_authority_revoked=True, freeze_authority_revoked=True)
    assert [one.condition for one in found] == [
        Condition.MIN_LIQUIDITY, Condition.MINT_AUTHORITY_REVOKED, Condition.FREEZE_AUTHORITY_REVOKED,
    ]  # fmt: skip


def test_the_price_impact_is_limited_by_the_order_or_by_the_service() -> None:
    own = SniperConditions(max_price_impact_bps=25)
    assert own.stops_of_quote(quote_in(impact_ppm=2_500), launched(), 1_000) == []
    [stop] = own.stops_of_quote(quote_in(impact_ppm=2_501), launched(), 1_000)
    assert stop == Stop(Condition.MAX_PRICE_IMPACT_BPS, "25.01", "25")
    [stop] = SniperConditions().stops_of_quote(quote_in(impact_ppm=2_501), launched(), 20)
    assert stop.limit == "20"
    assert SniperConditions(max_price_impact_bps=0).stops_of_quote(quote_in(impact_ppm=1), launched(), 1_000)


def test_the_price_is_what_is_paid_for_one_token() -> None:
    # 0.01 SOL for ten tokens of five decimals.
    assert SniperConditions(max_price=Decimal("0.001")).stops_of_quote(quote_in(), launched(), 1_000) == []
    [stop] = SniperConditions(max_price=Decimal("0.000999")).stops_of_quote(quote_in(), launched(), 1_000)
    assert stop == Stop(Condition.MAX_PRICE, "0.001", "0.000999")


@given(
    amount=st.integers(1, 2**64 - 1),
    price=st.decimals("0.000000000001", "1000000000000", places=12),
)
def test_the_bound_of_a_price_is_exact_and_never_looser(amount: int, price: Decimal) -> None:
    least = SniperConditions(max_price=price).least_out(amount, launched(), MINT)
    assert least is not None
    unit = Fraction(10**9, 10**DECIMALS)
    assert Fraction(amount, least) / unit <= Fraction(price)
    assert least == 1 or Fraction(amount, least - 1) / unit > Fraction(price)
    assert SniperConditions().least_out(AMOUNT, launched(), MINT) is None


PRICES = st.none() | st.decimals("0.000001", "1000000", places=6)
COUNTS = st.none() | st.integers(0, 10_000)


@given(
    st.builds(
        SniperConditions,
        min_liquidity=PRICES,
        max_price_impact_bps=COUNTS,
        max_price=PRICES,
        max_age_ms=COUNTS,
        mint_authority_revoked=st.booleans(),
        freeze_authority_revoked=st.booleans(),
        max_transfer_fee_bps=COUNTS,
        venues=st.lists(st.sampled_from(["raydium", "meteora"]), unique=True).map(tuple),
    )
)
def test_conditions_are_stored_as_they_are_read_back(conditions: SniperConditions) -> None:
    assert SniperConditions.of(json.loads(json.dumps(conditions.detail()))) == conditions


@pytest.mark.parametrize("stored", [{"venues": "raydium"}, {"maxAgeMs": "soon"}, {"minLiquidity": []}])
def test_a_stored_object_of_another_form_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError, ArithmeticError)):
        SniperConditions.of(stored)

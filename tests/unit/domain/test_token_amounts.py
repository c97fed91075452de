"""Amounts: exact in both directions, and rounded against the swapping wallet where rounding is needed."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import max_in, min_out
from dexexec.domain.token import from_base_units, looks_like_mint, to_base_units

amounts = st.integers(1, U64_MAX)
bps = st.integers(0, 5_000)


@given(amounts, st.integers(0, 18))
def test_an_amount_survives_writing_and_reading(amount: int, decimals: int) -> None:
    assert to_base_units(Decimal(from_base_units(amount, decimals)), decimals) == amount


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [(0, 6, "0"), (1, 6, "0.000001"), (1_500_000, 6, "1.5"), (-1, 2, "-0.01"), (7, 0, "7"), (10, 0, "10")],
)
def test_base_units_are_written_without_trailing_zeros(amount: int, decimals: int, text: str) -> None:
    assert from_base_units(amount, decimals) == text


def test_more_decimals_than_the_token_has_are_not_rounded_away() -> None:
    assert to_base_units(Decimal("0.0000001"), 6) is None
    assert to_base_units(Decimal("0.1000000"), 6) == 100_000


@given(amounts, bps)
def test_slippage_bounds_are_exact_and_never_looser_than_the_orders(amount: int, slippage: int) -> None:
    least, most = Fraction(amount * (10_000 - slippage), 10_000), Fraction(amount * (10_000 + slippage), 10_000)
    assert 0 <= least - min_out(amount, slippage) < 1, "floored, as the programs' own clients do"
    assert 0 <= max_in(amount, slippage) - most < 1


def test_without_slippage_the_bounds_are_the_quote() -> None:
    assert min_out(123, 0) == max_in(123, 0) == 123


@pytest.mark.parametrize("text", ["12345678", "", "0" * 40, "O" * 40, "x" * 45])
def test_an_impossible_mint_is_recognised(text: str) -> None:
    assert not looks_like_mint(text)

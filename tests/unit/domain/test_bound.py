"""The order's bound: from a quote, an amount or a price, always rounded against looseness."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.bound import Bound, amount_at, bound_by_slippage, bound_of
from dexexec.domain.quote import Mode
from tests.support.scripted import BUY_ONE_SOL, SELL_ONE_SOL, quote_of

SOL_IN_USDC = Fraction(150, 1_000)
"""150 USDC per SOL, in base units of each."""


def test_promise_13_a_first_quote_and_its_slippage_fix_a_bound() -> None:
    assert bound_by_slippage(quote_of("v", SELL_ONE_SOL, 150_000_001)) == Bound(149_250_000, 10**9)
    assert bound_by_slippage(quote_of("v", BUY_ONE_SOL, 150_000_001)) == Bound(10**9, 150_750_002)


def test_the_bound_in_a_quote_is_not_trusted() -> None:
    tight = replace(quote_of("v", SELL_ONE_SOL, 150_000_000), min_out=150_000_000)
    assert bound_by_slippage(tight).min_out == 149_250_000


@pytest.mark.parametrize(
    ("amount", "given_in_output", "mode", "expected"),
    [
        (2 * 10**9, False, Mode.EXACT_IN, 300 * 10**6),  # a buy that spends 2 SOL
        (300 * 10**6, True, Mode.EXACT_OUT, 2 * 10**9),  # a buy of 300 USDC
        (300 * 10**6, True, Mode.EXACT_IN, 2 * 10**9),  # a sell that spends 300 USDC
        (2 * 10**9, False, Mode.EXACT_OUT, 300 * 10**6),  # a sell that receives 2 SOL
    ],
)
def test_a_price_means_the_same_on_both_sides_and_in_both_modes(
    amount: int, given_in_output: bool, mode: Mode, expected: int
) -> None:
    assert amount_at(SOL_IN_USDC, amount, given_in_output=given_in_output, mode=mode) == expected


@given(st.integers(1, 2**64), st.fractions(Fraction(1, 10**12), 10**12), st.booleans(), st.sampled_from(list(Mode)))
def test_a_bound_by_price_is_never_looser_than_the_price_and_tighter_by_less_than_a_unit(
    amount: int, price: Fraction, given_in_output: bool, mode: Mode
) -> None:
    exact = amount / price if given_in_output else amount * price
    found = amount_at(price, amount, given_in_output=given_in_output, mode=mode)
    if mode is Mode.EXACT_IN:
        assert exact <= found < exact + 1
    else:
        assert exact - 1 < found <= exact


def test_promise_13_quotes_are_tightened_and_never_loosened() -> None:
    quote = quote_of("v", SELL_ONE_SOL, 150_000_000)
    assert Bound(149_900_000, 10**9).tighten(quote).min_out == 149_900_000
    assert Bound(1, 2**64).tighten(quote) == quote
    cost = quote_of("v", BUY_ONE_SOL, 150_000_000)
    assert Bound(10**9, 150_000_500).tighten(cost).max_in == 150_000_500


def test_the_distance_of_a_quote_from_the_bound_is_reported() -> None:
    bound = bound_of(Mode.EXACT_IN, 10**9, 150_000_000)
    assert bound.excess(quote_of("v", SELL_ONE_SOL, 150_000_000)) == ""
    worse = bound.excess(quote_of("v", SELL_ONE_SOL, 120_000_000))
    assert worse.startswith("30000000 base units less received than the order accepts (at least 150000000)")
    assert worse.endswith(": 2000 bps past its bound")
    dear = bound_of(Mode.EXACT_OUT, 10**9, 150_000_000).excess(quote_of("v", BUY_ONE_SOL, 151_500_000))
    assert dear == "1500000 base units more paid than the order accepts (at most 150000000): 100 bps past its bound"


def test_of_two_bounds_the_tighter_one_counts_in_each_amount() -> None:
    assert Bound(5, 10).intersect(Bound(7, 12)) == Bound(7, 10)
    assert Bound(5, 10).holds(10, 5)
    assert not Bound(5, 10).holds(11, 5)
    assert not Bound(5, 10).holds(10, 4)

"""Shares of a balance: how they are read and written, and that no base unit is lost or invented."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.amount import AmountError, JsonNumber
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import BPS, min_out
from dexexec.domain.share import least_received, read_share, share_of, share_text

BALANCES = st.integers(0, U64_MAX)
SHARES = st.integers(1, BPS)


@pytest.mark.parametrize(
    ("text", "bps"),
    [
        ("all", 10_000),
        ("100%", 10_000),
        ("100.00%", 10_000),
        ("50%", 5_000),
        ("50.0%", 5_000),
        ("50.00%", 5_000),
        ("33.33%", 3_333),
        ("0.01%", 1),
        ("0.1%", 10),
        ("99.99%", 9_999),
    ],
)
def test_a_share_is_read_exactly(text: str, bps: int) -> None:
    assert read_share(text) == bps


@pytest.mark.parametrize("text", ["0.01", "1", "", "abc", "-1", "1e5", "al", "allowance", JsonNumber("50")])
def test_what_is_not_meant_as_a_share_is_left_to_the_rules_for_amounts(text: str) -> None:
    assert read_share(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0%", "is zero"),
        ("0.00%", "is zero"),
        ("100.01%", "is more than 100%"),
        ("101%", "is more than 100%"),
        ("999.99%", "is more than 100%"),
    ],
)
def test_a_share_is_above_zero_and_at_most_the_whole(text: str, problem: str) -> None:
    with pytest.raises(AmountError) as caught:
        read_share(text)
    assert caught.value.problem == problem
    assert '"all"' in caught.value.expected


@pytest.mark.parametrize(
    "text",
    [
        *("ALL", "All", " all", "all ", "max", "everything"),
        *("50 %", " 50%", "50%\n", "33.333%", "5,5%", ".5%", "5.%"),
        *("-5%", "+5%", "%", "1e1%", "05%", "1000%", "half%", "\u0665\u0660%"),
    ],
)
def test_an_almost_right_share_is_refused_with_the_right_notation(text: str) -> None:
    with pytest.raises(AmountError) as caught:
        read_share(text)
    assert caught.value.problem == "is not a valid share of the balance"


@given(SHARES)
def test_every_share_has_one_notation_and_is_read_back(bps: int) -> None:
    assert read_share(share_text(bps)) == bps
    assert read_share(f"{Decimal(bps) / 100:.2f}%") == bps


@given(BALANCES)
def test_all_is_exactly_the_balance(balance: int) -> None:
    assert share_of(balance, BPS) == balance


@given(BALANCES, SHARES)
def test_a_share_is_the_exact_one_rounded_down_by_less_than_a_base_unit(balance: int, bps: int) -> None:
    amount = share_of(balance, bps)
    assert 0 <= amount <= balance
    assert 0 <= balance * bps - amount * BPS < BPS


@given(BALANCES, SHARES)
def test_a_share_and_its_rest_leave_nothing_when_the_rest_is_sold_as_all(balance: int, bps: int) -> None:
    first = share_of(balance, bps)
    assert first + share_of(balance - first, BPS) == balance


@given(BALANCES, SHARES, SHARES)
def test_a_larger_share_is_never_a_smaller_amount(balance: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert share_of(balance, low) <= share_of(balance, high)


@given(balance=BALANCES, reserved=BALANCES, kept=BALANCES)
def test_nothing_that_is_reserved_or_kept_is_available(balance: int, reserved: int, kept: int) -> None:
    found = SpendableBalance(account="wallet", slot=1, balance=balance, reserved=reserved, kept=kept)
    assert found.available == max(0, balance - reserved - kept)
    assert found.freed_later == (found.available == 0 and balance > kept)


@given(st.integers(1, U64_MAX), st.integers(1, U64_MAX), st.integers(1, U64_MAX), st.integers(0, 5_000))
def test_the_bound_for_another_amount_is_the_same_price_and_never_a_worse_one(
    quoted_in: int, quoted_out: int, amount: int, slippage_bps: int
) -> None:
    least = least_received((quoted_in, quoted_out), amount, slippage_bps)
    fixed = min_out(quoted_out, slippage_bps)
    # least / amount >= fixed / quoted_in, and less than one base unit above it
    assert 0 <= least * quoted_in - fixed * amount < quoted_in


@given(st.integers(1, U64_MAX), st.integers(1, U64_MAX), st.integers(0, 5_000))
def test_the_bound_for_the_quoted_amount_is_the_one_that_it_fixed(
    quoted_in: int, quoted_out: int, slippage_bps: int
) -> None:
    assert least_received((quoted_in, quoted_out), quoted_in, slippage_bps) == min_out(quoted_out, slippage_bps)

"""Promise 16, the arithmetic: what open attempts may still spend, and whether one more fits beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.funds import LAMPORTS, Need, Reserved, Shortfall, Spending, reserved_at, shortfall

USDC = "usdc"


def spends(amount: int, balance: int = 100, slot: int = 10, mint: str = USDC) -> Spending:
    return Spending("wallet", slot, (Need(LAMPORTS, 5, 1_000), Need(mint, amount, balance)))


def of(amount: int, slot: int | None = None) -> Reserved:
    return Reserved(slot, {USDC: amount, LAMPORTS: 5})


def test_promise_16_amounts_reserved_by_other_attempts_are_not_available() -> None:
    assert shortfall(spends(20), [of(80)]) is None
    assert shortfall(spends(21), [of(40), of(40)]) == Shortfall(
        mint=USDC, needed=21, balance=100, reserved=80, orders=2
    )
    assert shortfall(spends(20), [of(80), Reserved(None, {LAMPORTS: 991})]) == Shortfall(
        mint=LAMPORTS, needed=5, balance=1_000, reserved=996, orders=2
    )


def test_an_attempt_on_the_chain_counts_for_balances_of_before_it_alone() -> None:
    assert shortfall(spends(40, slot=9), [of(80, slot=10)]) is not None
    assert shortfall(spends(40, slot=10), [of(80, slot=10)]) is None


def test_a_reservation_of_one_mint_leaves_the_others_available() -> None:
    assert shortfall(spends(100), [Reserved(None, {"other": 10**9})]) is None
    assert shortfall(spends(0), [of(200)]) is None, "nothing is asked for"


def test_a_single_spending_always_fits() -> None:
    """Up to max-in may be more than there is, though the price of now is not."""
    assert shortfall(spends(101), []) is None
    assert shortfall(spends(101), [of(1)]) == Shortfall(mint=USDC, needed=101, balance=100, reserved=1, orders=1)


@given(st.lists(st.integers(1, 60)), st.integers(0, 200))
def test_the_sum_of_all_admitted_spendings_is_always_available(amounts: list[int], balance: int) -> None:
    there: list[Reserved] = []
    for amount in amounts:
        spending = spends(min(amount, balance), balance)
        if shortfall(spending, there) is None:
            there.append(Reserved(None, spending.amounts()))
    assert reserved_at(10, there).get(USDC, 0) <= balance


@pytest.mark.parametrize("slot", [None, 11])
def test_what_is_reserved_is_returned_by_mint(slot: int | None) -> None:
    assert reserved_at(10, [of(1, slot), of(2), of(4, 10)]) == {USDC: 3, LAMPORTS: 10}

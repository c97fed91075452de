"""SOL that the wallet keeps wrapped: what is taken of it, and what becomes of the steps that an adapter built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.funds import LAMPORTS
from dexexec.domain.solana import Instruction
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.wrapped_sol import amount_from_wrapped, keep_open, lamports_wrapped, open_only_if_absent
from dexexec_adapters.solana import spl
from tests.support.swap_transactions import MINT_OUT, OURS_OUT, POOL_PROGRAM, SOL, VENUE, WALLET, WRAPPED, call, pay

SWAP = call(POOL_PROGRAM, b"swap", WALLET, WRAPPED, OURS_OUT, signers=[WALLET])
SALE = spl.between_accounts(
    WALLET, spl.TokenAccount(WRAPPED, WSOL), spl.TokenAccount(OURS_OUT, MINT_OUT), 12 * SOL, (SWAP,)
)
"""As adapters build it: open, pay, sync, open, swap, close."""
PURCHASE = spl.between_accounts(
    WALLET, spl.TokenAccount(OURS_OUT, MINT_OUT), spl.TokenAccount(WRAPPED, WSOL), 5, (SWAP,)
)


def programs(steps: tuple[Instruction, ...]) -> list[str]:
    return [one.program for one in steps]


def test_lamports_are_spent_first_and_wrapped_sol_only_if_they_are_not_enough() -> None:
    assert amount_from_wrapped(1 * SOL, 10_000, 9 * SOL, 5 * SOL, {}) == 0
    assert amount_from_wrapped(12 * SOL, 10_000, 9 * SOL, 10 * SOL, {}) == 10 * SOL, (
        "and then all of it, so that fees are left"
    )
    assert amount_from_wrapped(9 * SOL, 10_000, 9 * SOL, 10 * SOL, {}) == 9 * SOL


def test_lamports_reserved_by_other_attempts_are_not_available() -> None:
    reserved = {LAMPORTS: 8 * SOL, WSOL: 7 * SOL}
    assert amount_from_wrapped(1 * SOL, 0, 9 * SOL, 10 * SOL, reserved) == 0
    assert amount_from_wrapped(2 * SOL, 0, 9 * SOL, 10 * SOL, reserved) == 2 * SOL
    assert amount_from_wrapped(5 * SOL, 0, 9 * SOL, 10 * SOL, reserved) == 3 * SOL
    assert amount_from_wrapped(5 * SOL, 0, 9 * SOL, 10 * SOL, {LAMPORTS: 9 * SOL, WSOL: 11 * SOL}) == 0


def test_amounts_missing_only_because_of_reservations_are_planned_so_that_the_order_waits() -> None:
    assert amount_from_wrapped(12 * SOL, 0, 1 * SOL, 20 * SOL, {WSOL: 12 * SOL}) == 12 * SOL
    assert amount_from_wrapped(25 * SOL, 0, 1 * SOL, 20 * SOL, {}) == 20 * SOL, (
        "and what is not there at all is missing"
    )


@given(st.integers(0, 100), st.integers(0, 10), st.integers(0, 100), st.integers(0, 100))
def test_the_amount_taken_is_available_and_wanted(wanted: int, costs: int, lamports: int, wrapped: int) -> None:
    assert 0 <= amount_from_wrapped(wanted, costs, lamports, wrapped, {}) <= min(wanted, wrapped)


@pytest.mark.parametrize("steps", [SALE, PURCHASE], ids=["sale", "purchase"])
def test_an_account_that_is_there_is_not_closed_and_the_rest_stays(steps: tuple[Instruction, ...]) -> None:
    assert steps[-1].data == b"\x09"
    assert keep_open(steps, WALLET, WRAPPED, 0) == steps[:-1]


def test_lamports_taken_from_wrapped_sol_are_not_wrapped_again() -> None:
    kept = keep_open(SALE, WALLET, WRAPPED, 10 * SOL)
    assert lamports_wrapped(kept, WALLET, WRAPPED) == 2 * SOL
    assert programs(kept) == programs(SALE[:-1])
    whole = keep_open(SALE, WALLET, WRAPPED, 12 * SOL)
    assert lamports_wrapped(whole, WALLET, WRAPPED) == 0
    assert programs(whole) == [one for one in programs(SALE[:-1]) if one != Program.SYSTEM]


def test_other_payments_and_other_accounts_are_left_alone() -> None:
    others = (pay(WALLET, VENUE, 7), pay(VENUE, WRAPPED, 7), call(Program.TOKEN, b"\x09", OURS_OUT, WALLET, WALLET))
    assert keep_open(others, WALLET, WRAPPED, 7) == others
    assert open_only_if_absent(others, WRAPPED) == others
    assert lamports_wrapped(others, WALLET, WRAPPED) == 0


@pytest.mark.parametrize("steps", [SALE, PURCHASE], ids=["sale", "purchase"])
def test_an_account_that_is_closed_in_the_end_must_not_be_there_when_it_is_opened(
    steps: tuple[Instruction, ...],
) -> None:
    strict = open_only_if_absent(steps, WRAPPED)
    opens = {one.accounts[1].address: one.data for one in strict if one.program == Program.ASSOCIATED_TOKEN}
    assert opens[WRAPPED] == b"\0"
    assert opens.get(OURS_OUT, b"\x01") == b"\x01"
    assert open_only_if_absent(steps[:-1], WRAPPED) == steps[:-1], "one that stays open may be there"

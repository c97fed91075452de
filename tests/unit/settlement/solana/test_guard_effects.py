"""The guard's second check: what a transaction did when it was simulated, through any programs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.quote import Leg
from dexexec.domain.rent import Rent
from dexexec.domain.solana import Account
from dexexec.domain.token import WSOL
from dexexec.settlement.guard_errors import Rule
from dexexec.settlement.solana.guard.effect_rules import balance_of, own_accounts
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.token_account import read_token_account
from tests.support.swap_transactions import (
    AFTER,
    ATTACKER,
    BEFORE,
    FEE,
    MAX_IN,
    MIN_OUT,
    MINT_IN,
    MINT_OUT,
    OTHER_MINT,
    OURS_IN,
    OURS_OTHER,
    OURS_OUT,
    POOL_PROGRAM,
    RENT,
    SOL,
    STEPS,
    VAULT_IN,
    VENUE,
    WALLET,
    WRAPPED,
    Swap,
    call,
    pay,
    quote,
    rule_of,
    token_account,
    wallet_account,
)

POOLED = Swap(steps=(*STEPS, call(POOL_PROGRAM, b"swap", OURS_OTHER, WRAPPED, ATTACKER)))
"""The good swap with a program that gets another account of our wallet, and one of another owner."""
HOLDING = POOLED.and_before(OURS_OTHER=token_account(MINT_OUT, 7))
LOST = SOL - FEE - RENT
"""Lamports that the good swap leaves in the wallet."""


def sol_in(**after: Account | None) -> Swap:
    """Wrapped SOL is what the order spends; none remains, unless `after` has some."""
    steps = (*STEPS[:2], call(POOL_PROGRAM, b"swap", WRAPPED, OURS_OUT, VENUE, signers=[VENUE]), STEPS[-1])
    start = {WALLET: wallet_account(SOL), VENUE: wallet_account(SOL)}
    end = start | {WALLET: wallet_account(SOL - FEE - RENT), OURS_OUT: token_account(MINT_OUT, 50)}
    return Swap(steps, start, end, quote(mint_in=WSOL)).and_after(**after)


def sol_out(**after: Account | None) -> Swap:
    """Wrapped SOL is what the order receives; none was there before, unless `after` has some."""
    steps = (*STEPS[:2], call(POOL_PROGRAM, b"swap", WRAPPED, OURS_IN, VENUE, signers=[VENUE]), STEPS[-1])
    start = {WALLET: wallet_account(SOL), VENUE: wallet_account(SOL), OURS_IN: token_account(MINT_IN, 100)}
    end = start | {WALLET: wallet_account(SOL - FEE), OURS_IN: token_account(MINT_IN, 0)}
    return Swap(steps, start, end, quote(mint_out=WSOL)).and_after(**after)


def test_good_swaps_may_be_signed() -> None:
    assert [rule_of(swap) for swap in (Swap(), POOLED, HOLDING)] == [None] * 3


# Amounts


def test_at_most_max_in_is_spent_to_the_unit() -> None:
    assert rule_of(Swap().and_after(OURS_IN=token_account(MINT_IN, 1_000 - MAX_IN))) is None
    assert rule_of(Swap().and_after(OURS_IN=token_account(MINT_IN, 1_000 - MAX_IN - 1))) is Rule.SPENT
    assert rule_of(Swap().and_after(OURS_IN=None)) is Rule.SPENT


def test_at_least_min_out_is_received_to_the_unit() -> None:
    assert rule_of(Swap().and_after(OURS_OUT=token_account(MINT_OUT, MIN_OUT))) is None
    assert rule_of(Swap().and_after(OURS_OUT=token_account(MINT_OUT, MIN_OUT - 1))) is Rule.RECEIVED
    assert rule_of(Swap().and_after(OURS_OUT=token_account(MINT_OUT, 50, ATTACKER))) is Rule.RECEIVED
    assert rule_of(Swap().and_after(OURS_OUT=token_account(OTHER_MINT, 50))) is Rule.RECEIVED
    assert rule_of(Swap().and_after(OURS_OUT=replace(token_account(MINT_OUT, 50), owner=POOL_PROGRAM))) is Rule.RECEIVED


def test_what_was_received_before_does_not_count() -> None:
    assert rule_of(Swap().and_before(OURS_OUT=token_account(MINT_OUT, 50))) is Rule.RECEIVED


def test_our_lamports_pay_the_fee_and_the_rent_of_our_own_accounts_and_nothing_more() -> None:
    assert rule_of(Swap().and_after(WALLET=wallet_account(LOST + 1))) is None
    assert rule_of(Swap().and_after(WALLET=wallet_account(LOST - 1))) is Rule.LAMPORTS


def test_our_account_is_not_closed_in_favour_of_another() -> None:
    empty = POOLED.and_before(OURS_OTHER=token_account(MINT_OUT))
    assert rule_of(empty.and_after(OURS_OTHER=None)) is Rule.LAMPORTS
    assert rule_of(empty.and_after(OURS_OTHER=None, WALLET=wallet_account(LOST + RENT))) is None


def test_our_lamports_are_not_parked_in_token_accounts_above_their_rent() -> None:
    out = token_account(MINT_OUT, 50, lamports=RENT + 1_000)
    assert rule_of(Swap().and_after(OURS_OUT=out, WALLET=wallet_account(LOST - 1_000))) is Rule.LAMPORTS
    rich = POOLED.and_before(OURS_OTHER=token_account(MINT_OUT, lamports=RENT + 5))
    assert rule_of(rich) is None
    assert rule_of(rich.and_after(OURS_OTHER=token_account(MINT_OUT))) is Rule.LAMPORTS


def test_rent_is_what_the_cluster_charges_now() -> None:
    lower = replace(Swap(), rent=Rent(5_080))
    cheap = token_account(MINT_OUT, 50, lamports=1_488_440)
    saved = RENT - 1_488_440
    assert rule_of(lower) is Rule.LAMPORTS, "the new account holds more than it must"
    assert rule_of(lower.and_after(OURS_OUT=cheap, WALLET=wallet_account(LOST + saved))) is None
    assert rule_of(lower.and_after(OURS_OUT=cheap, WALLET=wallet_account(LOST + saved - 1))) is Rule.LAMPORTS
    # An account from before keeps the rent that it has, and gets none back.
    held = lower.and_before(OURS_OUT=token_account(MINT_OUT))
    assert rule_of(held.and_after(OURS_OUT=token_account(MINT_OUT, 50), WALLET=wallet_account(LOST + RENT))) is None


# SOL


def test_spent_sol_counts_wallet_and_wrapped_together() -> None:
    assert rule_of(sol_in(WALLET=wallet_account(LOST - MAX_IN))) is None
    assert rule_of(sol_in(WALLET=wallet_account(LOST - MAX_IN - 1))) is Rule.SPENT
    wrapped = sol_in(WALLET=wallet_account(LOST)).and_before(WRAPPED=token_account(WSOL, 500))
    assert rule_of(wrapped.and_after(WRAPPED=token_account(WSOL, 400))) is None
    assert rule_of(wrapped.and_after(WRAPPED=token_account(WSOL, 399))) is Rule.SPENT
    assert rule_of(wrapped.and_after(WRAPPED=token_account(WSOL, 401), WALLET=wallet_account(LOST - 1))) is None


def test_received_sol_counts_wallet_and_wrapped_together() -> None:
    assert rule_of(sol_out()) is Rule.RECEIVED
    assert rule_of(sol_out(WALLET=wallet_account(SOL - FEE + MIN_OUT))) is None
    assert rule_of(sol_out(WALLET=wallet_account(SOL - FEE + MIN_OUT - 1))) is Rule.RECEIVED
    opened = sol_out(WALLET=wallet_account(SOL - FEE - RENT))
    assert rule_of(opened.and_after(WRAPPED=token_account(WSOL, MIN_OUT))) is None
    assert rule_of(opened.and_after(WRAPPED=token_account(WSOL, MIN_OUT - 1))) is Rule.RECEIVED
    assert rule_of(opened.and_after(WRAPPED=token_account(WSOL, MIN_OUT, close_authority=ATTACKER))) is (
        Rule.CLOSE_AUTHORITY
    )


def test_existing_wrapped_sol_is_never_closed_although_nothing_would_be_lost() -> None:
    spent = sol_in(WALLET=wallet_account(LOST)).and_before(WRAPPED=token_account(WSOL, 500))
    assert rule_of(spent.and_after(WRAPPED=None, WALLET=wallet_account(LOST + RENT + 400))) is Rule.CLOSE


def test_at_most_the_allowance_of_existing_wrapped_sol_is_spent() -> None:
    sells = sol_in(WALLET=wallet_account(LOST)).and_before(WRAPPED=token_account(WSOL, 500))
    assert rule_of(sells.and_after(WRAPPED=token_account(WSOL, 399), WALLET=wallet_account(LOST + 1))) is Rule.WRAPPED
    forbidden = replace(sells, spend_wrapped=False)
    assert rule_of(forbidden.and_after(WRAPPED=token_account(WSOL, 499))) is Rule.WRAPPED
    wraps = replace(sells, steps=(*sells.steps, pay(WALLET, WRAPPED, 60)))
    paid = wraps.and_after(WALLET=wallet_account(LOST - 60))
    assert rule_of(paid.and_after(WRAPPED=token_account(WSOL, 460))) is None
    assert rule_of(paid.and_after(WRAPPED=token_account(WSOL, 459), WALLET=wallet_account(LOST - 59))) is Rule.WRAPPED


def test_another_native_mint_does_not_turn_our_lamports_into_what_was_received() -> None:
    theirs = token_account(MINT_OUT, 50, lamports=RENT + 50)
    assert rule_of(Swap().and_after(OURS_OUT=theirs, WALLET=wallet_account(LOST - 50))) is Rule.LAMPORTS


# Who has a say


@pytest.mark.parametrize(
    "wallet",
    [None, replace(wallet_account(LOST), owner=ATTACKER), replace(wallet_account(LOST), data=b"\0")],
    ids=["gone", "assigned", "allocated"],
)
def test_our_wallet_stays_a_plain_account(wallet: Account | None) -> None:
    assert rule_of(Swap().and_after(WALLET=wallet)) is Rule.WALLET


def test_no_account_of_our_wallet_changes_hands() -> None:
    assert rule_of(HOLDING.and_after(OURS_OTHER=token_account(MINT_OUT, 7, ATTACKER))) is Rule.OWNER
    empty = POOLED.and_before(OURS_OTHER=token_account(MINT_OUT))
    assert rule_of(empty.and_after(OURS_OTHER=token_account(MINT_OUT, 0, ATTACKER))) is Rule.OWNER


def test_no_other_key_gets_the_right_to_move_our_tokens() -> None:
    def held_with(delegate: tuple[str, int] | None) -> Account:
        return token_account(MINT_OUT, 7, delegate=delegate)

    known = POOLED.and_before(OURS_OTHER=held_with((VENUE, 3)))
    assert rule_of(known) is None
    assert rule_of(known.and_after(OURS_OTHER=held_with(None))) is None
    assert rule_of(known.and_after(OURS_OTHER=held_with((VENUE, 2)))) is None
    assert rule_of(known.and_after(OURS_OTHER=held_with((VENUE, 4)))) is Rule.DELEGATE
    assert rule_of(known.and_after(OURS_OTHER=held_with((ATTACKER, 1)))) is Rule.DELEGATE
    assert rule_of(HOLDING.and_after(OURS_OTHER=held_with((VENUE, 1)))) is Rule.DELEGATE
    assert rule_of(Swap().and_after(OURS_OUT=token_account(MINT_OUT, 50, delegate=(VENUE, 0)))) is Rule.DELEGATE


def test_no_other_key_gets_the_right_to_close_our_accounts() -> None:
    def held_with(closer: str | None) -> Account:
        return token_account(MINT_OUT, 7, close_authority=closer)

    known = POOLED.and_before(OURS_OTHER=held_with(VENUE))
    assert [rule_of(known.and_after(OURS_OTHER=held_with(one))) for one in (VENUE, WALLET, None)] == [None] * 3
    assert rule_of(known.and_after(OURS_OTHER=held_with(ATTACKER))) is Rule.CLOSE_AUTHORITY
    assert rule_of(HOLDING.and_after(OURS_OTHER=held_with(ATTACKER))) is Rule.CLOSE_AUTHORITY


def test_no_account_of_our_wallet_is_frozen() -> None:
    assert rule_of(Swap().and_after(OURS_OUT=token_account(MINT_OUT, 50, state=2))) is Rule.FROZEN
    assert rule_of(POOLED.and_before(OURS_OTHER=token_account(MINT_OUT, 7, state=2))) is None


@pytest.mark.parametrize("hidden", [WALLET, OURS_IN, VAULT_IN])
def test_an_account_missing_from_the_simulation_is_not_assumed_unchanged(hidden: str) -> None:
    swap = replace(Swap(), hidden=frozenset({hidden}))
    expected = Rule.TRANSFER if hidden == OURS_IN else Rule.UNSEEN
    assert rule_of(swap) is expected


# Properties


@given(spent=st.integers(0, 1_000), received=st.integers(0, 200), lamports=st.integers(-5, 5))
def test_a_swap_passes_exactly_within_its_bounds(spent: int, received: int, lamports: int) -> None:
    swap = Swap().and_after(
        OURS_IN=token_account(MINT_IN, 1_000 - spent),
        OURS_OUT=token_account(MINT_OUT, received),
        WALLET=wallet_account(LOST + lamports),
    )
    assert (rule_of(swap) is None) == (spent <= MAX_IN and received >= MIN_OUT and lamports >= 0)


@given(wallet=st.integers(-300, 300), wrapped=st.integers(0, 300), before=st.integers(0, 300))
def test_spent_sol_is_the_same_however_it_is_spread(wallet: int, wrapped: int, before: int) -> None:
    start = sol_in(WALLET=wallet_account(LOST + wallet)).and_before(WRAPPED=token_account(WSOL, before))
    spent = before - wrapped - wallet
    allowed = Rule.WRAPPED if before - wrapped > MAX_IN else None
    found = rule_of(start.and_after(WRAPPED=token_account(WSOL, wrapped)))
    assert found is (Rule.SPENT if spent > MAX_IN else allowed)


# Token accounts


def test_only_token_accounts_are_read_as_such() -> None:
    good = token_account(MINT_IN, 2**64 - 1, delegate=(VENUE, 9), close_authority=ATTACKER)
    read = read_token_account(good)
    assert read is not None
    assert (read.mint, read.owner, read.amount, read.size) == (MINT_IN, WALLET, 2**64 - 1, 165)
    assert (read.delegate, read.delegated, read.close_authority, read.frozen) == (VENUE, 9, ATTACKER, False)
    extended = token_account(MINT_IN, program=Program.TOKEN_2022, extra=b"\x02\0\0")
    assert read_token_account(extended) is not None
    others = [
        None,
        replace(good, owner=POOL_PROGRAM),
        replace(good, data=good.data[:-1]),
        replace(good, data=good.data + b"\x02"),
        replace(good, data=b""),
        token_account(MINT_IN, state=0),
        token_account(MINT_IN, state=3),
        replace(extended, data=extended.data[:165] + b"\x01\0\0"),
        replace(extended, data=extended.data + bytes(355 - len(extended.data))),
    ]
    assert [read_token_account(one) for one in others] == [None] * len(others)


def test_our_wallets_balances_are_summed_up() -> None:
    accounts = {**AFTER, WRAPPED: token_account(WSOL, 5)}
    assert balance_of(accounts, WALLET, MINT_IN) == 900
    assert balance_of(accounts, WALLET, WSOL) == LOST + 5
    assert balance_of(accounts, VENUE, MINT_OUT) == 9_950
    assert balance_of({}, WALLET, WSOL) == 0
    assert own_accounts(BEFORE, WALLET) == {WALLET: wallet_account(SOL), OURS_IN: token_account(MINT_IN, 1_000)}


# ---- tokens that are only passed through ----

LEGS = (
    Leg(venue="a", pool="p", mint_in=MINT_IN, mint_out=OTHER_MINT, amount_in=1, amount_out=1),
    Leg(venue="a", pool="q", mint_in=OTHER_MINT, mint_out=MINT_OUT, amount_in=1, amount_out=1),
)


@pytest.mark.parametrize(
    ("before", "after", "rule"), [(7, 7, None), (7, 9, None), (7, 6, Rule.SPENT), (7, 0, Rule.SPENT)]
)
def test_of_a_token_that_is_passed_through_nothing_of_ours_may_go(before: int, after: int, rule: Rule | None) -> None:
    swap = replace(POOLED, quote=replace(quote(), legs=LEGS)).and_before(OURS_OTHER=token_account(OTHER_MINT, before))
    assert rule_of(swap.and_after(OURS_OTHER=token_account(OTHER_MINT, after))) is rule

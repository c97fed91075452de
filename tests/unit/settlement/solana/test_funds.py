"""Whether a wallet can pay: what is certain before a simulation, by name and amount, and never more than that."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from dexexec.domain.quote import Mode
from dexexec.domain.solana import Account, Instruction
from dexexec.domain.token import KNOWN, WSOL, Token, Tokens
from dexexec.settlement.solana.funds import WalletFunds, abbreviate
from dexexec.settlement.solana.message import (
    SIGNATURE_FEE,
    Message,
    Program,
    compute_unit_limit,
    compute_unit_price,
    memo,
)
from dexexec.settlement.solana.transaction import associated_token_account, compile_message, parse_message
from tests.support.swap_transactions import (
    BLOCKHASH,
    CLUSTER_RENT,
    MAX_IN,
    MINT_IN,
    OURS_IN,
    OURS_OUT,
    RENT,
    SOL,
    VAULT_IN,
    VENUE,
    WALLET,
    WRAPPED,
    call,
    open_account,
    pay,
    quote,
    token_account,
    transfer,
)

NAMED = Tokens((*KNOWN, Token(MINT_IN, "ACME", 2)))
SYNC = call(Program.TOKEN, b"\x11", WRAPPED)
CLOSE = call(Program.TOKEN, b"\x09", WRAPPED, WALLET, WALLET, signers=[WALLET])
SWAP = call(VENUE, b"swap", WALLET, OURS_IN, VAULT_IN, signers=[WALLET])


def message(*steps: Instruction) -> Message:
    return parse_message(compile_message(WALLET, steps, BLOCKHASH.hash))


def funds(
    lamports: int | None = SOL, held: int = MAX_IN, others: Mapping[str, Account | None] = MappingProxyType({})
) -> WalletFunds:
    wallet = None if lamports is None else Account(Program.SYSTEM, lamports, b"")
    found: dict[str, Account | None] = {WALLET: wallet, OURS_IN: token_account(MINT_IN, held), OURS_OUT: None}
    return WalletFunds(WALLET, {**found, WRAPPED: None, **others}, NAMED, CLUSTER_RENT)


def words(found: Exception | None) -> str:
    return str(found).replace(abbreviate(WALLET), "WALLET") if found else ""


def test_a_wallet_that_can_pay_has_no_shortage() -> None:
    steps = (open_account(WALLET, WALLET, quote().request.mint_out), transfer(OURS_IN, VAULT_IN, WALLET, MAX_IN))
    assert funds().shortage(quote(), message(*steps)) is None
    exactly = SIGNATURE_FEE + RENT
    assert funds(exactly).shortage(quote(), message(*steps)) is None, "what it keeps is judged in the end"
    assert (RENT, CLUSTER_RENT.wallet) == (2_039_280, 890_880)


def test_a_token_is_named_with_a_decimal_amount_and_an_unknown_one_in_base_units() -> None:
    poor = funds(held=MAX_IN - 1)
    assert words(poor.shortage(quote(), message(SWAP))) == (
        "the wallet WALLET holds 0.99 ACME, and 1 ACME are needed: for the swap"
    )
    assert words(replace(poor, tokens=Tokens(KNOWN)).shortage(quote(), message(SWAP))) == (
        f"the wallet WALLET holds 99 base units of {MINT_IN}, and 100 are needed: for the swap"
    )


def test_sol_is_added_up_with_rent_and_fee() -> None:
    sells_sol = quote(mint_in=WSOL, max_in=SOL)
    steps = (open_account(WALLET, WALLET, WSOL), pay(WALLET, WRAPPED, SOL), SYNC, SWAP, CLOSE)
    assert words(funds(SOL // 2).shortage(sells_sol, message(*steps))) == (
        "the wallet WALLET holds 0.5 SOL, and 1.00204428 SOL are needed: 1 SOL to swap, 0.00203928 SOL as rent for new"
        " accounts, 0.000005 SOL for the network fee"
    )
    needed = SOL + RENT + SIGNATURE_FEE
    assert funds(needed).shortage(sells_sol, message(*steps)) is None
    assert funds(needed - 1).shortage(sells_sol, message(*steps)) is not None
    assert words(funds(None).shortage(sells_sol, message(*steps))).startswith("the wallet WALLET holds 0 SOL, and 1.00")


def test_the_price_for_compute_units_is_part_of_the_fee() -> None:
    steps = (compute_unit_limit(100_000), compute_unit_price(1_000_000), SWAP)
    held = SIGNATURE_FEE + 100_000 + CLUSTER_RENT.wallet
    assert funds(held).shortage(quote(), message(*steps)) is None
    assert words(funds(held - 1).shortage(quote(), message(*steps))) == (
        "the wallet WALLET holds 0.000995879 SOL, and 0.00099588 SOL are needed: 0.000105 SOL for the network fee,"
        " 0.00089088 SOL to keep the wallet's account"
    )
    assert funds(SIGNATURE_FEE + 100_000).shortage(quote(), message(*steps)) is None, "it may end up with nothing"


def test_an_account_that_is_there_or_opened_twice_takes_no_rent_again() -> None:
    opens = open_account(WALLET, WALLET, quote().request.mint_out)
    there = funds(SIGNATURE_FEE + CLUSTER_RENT.wallet, others={OURS_OUT: token_account(quote().request.mint_out)})
    assert there.shortage(quote(), message(opens, SWAP)) is None
    twice = message(opens, replace(opens, data=b"\0"), SWAP)
    assert funds(SIGNATURE_FEE + RENT).shortage(quote(), twice) is None


@pytest.mark.parametrize("gives", [SWAP, CLOSE, pay(VENUE, WALLET, SOL)], ids=["a program", "a close", "a payment"])
def test_costs_after_a_step_that_may_pay_the_wallet_are_not_certain(gives: Instruction) -> None:
    later = message(memo("x"), gives, open_account(WALLET, WALLET, WSOL), pay(WALLET, WRAPPED, SOL))
    assert funds(2 * SIGNATURE_FEE + CLUSTER_RENT.wallet).shortage(quote(), later) is None


def test_how_much_an_exact_output_takes_is_not_certain_before_it_is_simulated() -> None:
    bought = replace(quote(), request=replace(quote().request, mode=Mode.EXACT_OUT, amount=50))
    poor = funds(held=1)
    assert poor.shortage(bought, message(SWAP)) is None
    assert words(poor.lacks_input(bought, bought.max_in)).startswith("the wallet WALLET holds 0.01 ACME, and 1 ACME")


def test_wrapped_sol_counts_for_a_swap_of_sol() -> None:
    wrapped = token_account(WSOL, SOL, lamports=SOL + RENT)
    sells_sol = quote(mint_in=WSOL, max_in=SOL)
    rich = funds(SIGNATURE_FEE + CLUSTER_RENT.wallet, others={WRAPPED: wrapped})
    assert rich.shortage(sells_sol, message(SWAP)) is None


def test_accounts_of_others_do_not_count() -> None:
    theirs = associated_token_account(VENUE, MINT_IN)
    found = funds(held=0, others={theirs: token_account(MINT_IN, 10**9, owner=VENUE)}).shortage(quote(), message(SWAP))
    assert words(found).startswith("the wallet WALLET holds 0 ACME")


def test_a_chain_error_without_an_amount_is_reported_with_the_wallets_balance() -> None:
    assert words(funds(1_000).lacks_lamports("rent")) == (
        "the wallet WALLET holds 0.000001 SOL, which is not enough: rent"
    )

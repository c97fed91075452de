"""The fill of a simulation counts as a transaction on the chain does: by owner, and SOL without fee and own rent."""

from collections.abc import Mapping
from dataclasses import replace

from dexexec.domain.quote import Fill, Quote
from dexexec.domain.solana import Account, Simulation
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.message import SIGNATURE_FEE
from dexexec.settlement.solana.simulated_fill import simulated_fill
from tests.support.swap_transactions import (
    MINT_IN,
    MINT_OUT,
    OURS_IN,
    OURS_OUT,
    RENT,
    SOL,
    VAULT_IN,
    VENUE,
    WALLET,
    WRAPPED,
    Swap,
    quote,
    token_account,
    wallet_account,
)

SLOT = 77
State = Mapping[str, Account | None]


def fill(before: State, after: State, quoted: Quote | None = None) -> Fill:
    checked = replace(Swap().proposal(), before=before, quote=quoted or quote())
    simulation = Simulation(slot=SLOT, units=1, after=after)
    return simulated_fill(checked, simulation, SIGNATURE_FEE)


def test_tokens_count_by_owner_and_the_fee_is_that_of_the_message_to_sign() -> None:
    before = {OURS_IN: token_account(MINT_IN, 500, WALLET), VAULT_IN: token_account(MINT_IN, 7, VENUE), OURS_OUT: None}
    after = {
        OURS_IN: token_account(MINT_IN, 400, WALLET),
        VAULT_IN: token_account(MINT_IN, 107, VENUE),
        OURS_OUT: token_account(MINT_OUT, 50, WALLET),
    }
    priced = fill(before, after)
    assert (priced.amount_in, priced.amount_out, priced.slot) == (100, 50, SLOT)
    assert priced.fee > 0


def test_sol_is_what_left_the_wallet_without_fee_and_rent_of_its_own_accounts() -> None:
    """One SOL was wrapped and sold, the account was closed again, and one for the received token was opened."""
    before = {WALLET: wallet_account(3 * SOL), WRAPPED: None, OURS_OUT: None}
    after = {
        WALLET: wallet_account(2 * SOL - RENT - SIGNATURE_FEE),
        WRAPPED: None,
        OURS_OUT: replace(token_account(MINT_OUT, 50, WALLET), lamports=RENT),
    }
    assert fill(before, after, quote(WSOL, MINT_OUT)).amount_in == SOL


def test_received_sol_counts_where_it_is_wrapped_and_where_it_is_not() -> None:
    wrapped_before = replace(token_account(WSOL, 5 * SOL, WALLET), lamports=5 * SOL + RENT)
    wrapped_after = replace(token_account(WSOL, 6 * SOL, WALLET), lamports=6 * SOL + RENT)
    emptied = token_account(MINT_IN, 0, WALLET)
    before = {WALLET: wallet_account(SOL), WRAPPED: wrapped_before, OURS_IN: token_account(MINT_IN, 100, WALLET)}
    after = {
        WALLET: wallet_account(SOL - SIGNATURE_FEE),
        WRAPPED: wrapped_after,
        OURS_IN: emptied,
    }
    received = fill(before, after, quote(MINT_IN, WSOL))
    assert (received.amount_in, received.amount_out) == (100, SOL)


def test_an_account_that_is_closed_gives_its_rent_back_to_the_wallet() -> None:
    closed = replace(token_account(MINT_IN, 100, WALLET), lamports=RENT)
    before = {WALLET: wallet_account(SOL), OURS_IN: closed}
    after = {WALLET: wallet_account(SOL + RENT + 3 - SIGNATURE_FEE), OURS_IN: None}
    assert fill(before, after, quote(MINT_IN, WSOL)).amount_out == 3

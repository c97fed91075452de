"""Which token account a swap may close: its own, which it empties, and which nobody else counts on."""

from dataclasses import replace
from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.closing import Closing
from dexexec.domain.quote import Mode
from dexexec.domain.solana import Account, AccountMeta, Instruction
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.closing import close_instruction, closing_of
from dexexec.settlement.solana.message import Program
from tests.support.swap_transactions import (
    ATTACKER,
    MAX_IN,
    MINT_IN,
    MINT_OUT,
    OURS_IN,
    OURS_OTHER,
    OURS_OUT,
    RENT,
    VAULT_IN,
    VENUE,
    WALLET,
    quote,
    token_account,
)


def closing(amount: int = MAX_IN, *, reserved: int = 0, account: Account | None = None, **more: Account) -> Closing:
    """Of a swap that sells `MAX_IN`, while our account holds `amount`."""
    accounts = {OURS_IN: account or token_account(MINT_IN, amount), OURS_OUT: token_account(MINT_OUT)}
    accounts |= {VAULT_IN: token_account(MINT_IN, MAX_IN, VENUE), **more}
    return closing_of(quote(), WALLET, accounts, {MINT_IN: reserved} if reserved else {})


def test_an_account_that_will_be_empty_is_closed_and_its_rent_is_named() -> None:
    assert closing() == Closing(address=OURS_IN, rent=RENT)
    assert closing().detail() == {"account": OURS_IN, "rent": str(RENT)}
    assert closing(account=token_account(MINT_IN, MAX_IN, lamports=RENT + 7)).rent == RENT + 7


@given(st.integers(0, 2**64 - 1).filter(lambda amount: amount != MAX_IN))
def test_an_account_that_will_not_be_empty_stays_open(amount: int) -> None:
    assert closing(amount) == Closing(kept=f"the account would keep {amount - MAX_IN} base units")


def test_an_account_that_others_may_still_spend_from_stays_open() -> None:
    assert closing(reserved=1).kept == "other orders may still spend 1 base units from the account"


def test_an_account_that_only_another_may_close_stays_open() -> None:
    account = token_account(MINT_IN, MAX_IN, close_authority=ATTACKER)
    assert closing(account=account).kept == f"only {ATTACKER} may close the account"
    assert closing(account=token_account(MINT_IN, MAX_IN, close_authority=WALLET)).address == OURS_IN


def test_an_account_with_withheld_transfer_fees_stays_open() -> None:
    """Token-2022 refuses to close it, and the swap would fail with it."""
    for withheld, kept in ((7, "the account holds 7 base units of withheld transfer fees"), (0, "")):
        plain = token_account(MINT_IN, MAX_IN)
        extensions = pack("<HHHHQ", 7, 0, 2, 8, withheld)
        account = Account(Program.TOKEN_2022, RENT, plain.data + b"\2" + extensions)
        assert closing(account=account).kept == kept


def test_of_several_accounts_none_is_closed() -> None:
    accounts = {OURS_IN: token_account(MINT_IN, MAX_IN), OURS_OTHER: token_account(MINT_IN, 0)}
    assert closing_of(quote(), WALLET, accounts, {}).kept.startswith("the swap uses 2 accounts")
    assert closing_of(quote(), WALLET, {OURS_IN: None}, {}).kept.startswith("the swap uses 0 accounts")


def test_sol_and_what_an_exact_output_leaves_open_are_never_closed() -> None:
    assert "no account to close" in closing_of(quote(mint_in=WSOL), WALLET, {}, {}).kept
    request = replace(quote().request, mode=Mode.EXACT_OUT)
    open_input = replace(quote(), request=request)
    assert "does not fix" in closing_of(open_input, WALLET, {OURS_IN: token_account(MINT_IN, MAX_IN)}, {}).kept


def test_the_instruction_is_the_token_programs_close_account() -> None:
    assert close_instruction(OURS_IN, Program.TOKEN_2022, WALLET) == Instruction(
        Program.TOKEN_2022,
        (
            AccountMeta(OURS_IN, signer=False, writable=True),
            AccountMeta(WALLET, signer=False, writable=True),
            AccountMeta(WALLET, signer=True, writable=False),
        ),
        b"\x09",
    )

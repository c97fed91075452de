"""The guard and the account that an order empties and closes: exactly that one, by exactly one instruction, to us."""

from dataclasses import replace

import pytest

from dexexec.domain.solana import Instruction
from dexexec.domain.token import WSOL
from dexexec.settlement.guard_errors import Rule
from dexexec.settlement.solana.closing import close_instruction
from dexexec.settlement.solana.message import Program, memo
from tests.support.swap_transactions import (
    ATTACKER,
    FEE,
    MAX_IN,
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
    quote,
    rule_of,
    token,
    token_account,
    wallet_account,
)

CLOSE = close_instruction(OURS_IN, Program.TOKEN, WALLET)
CLOSES = (
    replace(Swap(), closes=OURS_IN, steps=(*STEPS, CLOSE))
    .and_before(OURS_IN=token_account(MINT_IN, MAX_IN))
    .and_after(OURS_IN=None, WALLET=wallet_account(SOL - FEE))
)
"""The good swap sells all that the account holds and closes it. The rent pays for the account that it opens."""


def ending(*steps: Instruction) -> Swap:
    """The swap with other steps in place of the closing one."""
    return replace(CLOSES, steps=(*STEPS, *steps))


def test_the_emptied_account_is_closed_to_our_wallet() -> None:
    assert rule_of(CLOSES) is None
    assert rule_of(ending(CLOSE, memo("something"))) is None


def test_an_account_that_no_order_asks_to_close_is_not_closed() -> None:
    assert rule_of(replace(CLOSES, closes="")) is Rule.CLOSE


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((), id="not at all"),
        pytest.param((CLOSE, CLOSE), id="twice"),
        pytest.param((CLOSE, call(POOL_PROGRAM, b"swap", OURS_IN)), id="before a call that could open it again"),
        pytest.param((token(b"\x09", OURS_IN, ATTACKER, WALLET),), id="to another wallet"),
        pytest.param((token(b"\x09", OURS_IN, OURS_OUT, WALLET),), id="to an account of ours that is not the wallet"),
        pytest.param((token(b"\x09", OURS_IN, WALLET, VENUE),), id="by another authority"),
        pytest.param((token(b"\x09", OURS_IN, WALLET, WALLET, VENUE),), id="with more signers"),
        pytest.param((token(b"\x09\0", OURS_IN, WALLET, WALLET),), id="with more data"),
        pytest.param((token(b"\x09", OURS_IN, WALLET, WALLET, program=Program.TOKEN_2022),), id="by another program"),
        pytest.param((CLOSE, token(b"\x09", OURS_OUT, WALLET, WALLET)), id="with a second account"),
        pytest.param((token(b"\x09", OURS_OUT, WALLET, WALLET),), id="another account"),
    ],
)
def test_it_is_closed_by_exactly_one_instruction_at_the_end(steps: tuple[Instruction, ...]) -> None:
    assert rule_of(ending(*steps)) is Rule.CLOSE


def test_other_instructions_for_the_account_are_refused_as_ever() -> None:
    for tag in (4, 6, 8):
        assert rule_of(ending(token(bytes([tag]), OURS_IN, WALLET, WALLET), CLOSE)) is Rule.TOKEN


@pytest.mark.parametrize("amount", [0, MAX_IN - 1, MAX_IN + 1, 2**64 - 1])
def test_only_an_account_that_the_order_empties_is_closed(amount: int) -> None:
    assert rule_of(CLOSES.and_before(OURS_IN=token_account(MINT_IN, amount)).and_after(OURS_IN=None)) is Rule.CLOSE


def test_only_our_own_account_of_the_sold_token_is_closed() -> None:
    other = replace(ending(close_instruction(OURS_OUT, Program.TOKEN, WALLET)), closes=OURS_OUT)
    assert rule_of(other.and_before(OURS_OUT=token_account(MINT_OUT, MAX_IN))) is Rule.CLOSE
    foreign = replace(ending(close_instruction(VAULT_IN, Program.TOKEN, WALLET)), closes=VAULT_IN)
    assert rule_of(foreign.and_before(VAULT_IN=token_account(MINT_IN, MAX_IN, VENUE))) is Rule.CLOSE
    missing = replace(ending(close_instruction(OURS_OTHER, Program.TOKEN, WALLET)), closes=OURS_OTHER)
    assert rule_of(missing) is Rule.CLOSE


def test_wrapped_sol_is_not_closed_this_way() -> None:
    swap = replace(
        ending(close_instruction(WRAPPED, Program.TOKEN, WALLET)), closes=WRAPPED, quote=quote(mint_in=WSOL)
    ).and_before(WRAPPED=token_account(WSOL, MAX_IN), OURS_IN=token_account(WSOL, 0))
    assert rule_of(swap) is Rule.CLOSE


def test_the_effect_must_be_that_it_is_gone() -> None:
    assert rule_of(CLOSES.and_after(OURS_IN=token_account(MINT_IN, 0), WALLET=wallet_account(SOL - FEE - RENT))) is (
        Rule.CLOSE
    )


def test_rent_that_goes_elsewhere_is_noticed() -> None:
    assert rule_of(CLOSES.and_after(WALLET=wallet_account(SOL - FEE - RENT))) is Rule.LAMPORTS


def test_an_account_of_token_2022_is_closed_by_its_own_program() -> None:
    held = token_account(MINT_IN, MAX_IN, program=Program.TOKEN_2022, extra=b"\x02" + bytes(4))
    swap = CLOSES.and_before(OURS_IN=held).and_after(OURS_IN=None)
    assert rule_of(swap) is Rule.CLOSE
    steps = (*STEPS, close_instruction(OURS_IN, Program.TOKEN_2022, WALLET))
    assert rule_of(replace(swap, steps=steps)) is None


def test_an_account_of_another_mint_stays_untouchable() -> None:
    swap = ending(call(POOL_PROGRAM, b"swap", OURS_OTHER), CLOSE).and_before(OURS_OTHER=token_account(OTHER_MINT, 7))
    assert rule_of(swap) is Rule.UNTRADED

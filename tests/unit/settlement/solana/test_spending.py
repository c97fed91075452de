"""What a transaction may take of the wallet: max-in of what is sold, and every lamport that leaves before any comes."""

from dataclasses import replace

from dexexec.domain.funds import LAMPORTS, Need, Spending
from dexexec.domain.solana import Account, Instruction
from dexexec.domain.token import KNOWN, WSOL, Tokens
from dexexec.settlement.solana.funds import WalletFunds
from dexexec.settlement.solana.message import Program, network_fee
from dexexec.settlement.solana.spending import spending_of
from tests.support.swap_transactions import (
    AFTER,
    BEFORE,
    CLUSTER_RENT,
    FEE,
    MINT_IN,
    RENT,
    SOL,
    STEPS,
    WALLET,
    WRAPPED,
    State,
    Swap,
    call,
    open_account,
    pay,
    quote,
    token_account,
    wallet_account,
)

SYNC = call(Program.TOKEN, b"\x11", WRAPPED)
CLOSE = call(Program.TOKEN, b"\x09", WRAPPED, WALLET, WALLET, signers=[WALLET])


def spending(swap: Swap, after: State, paid: int | None = None) -> Spending:
    proposal = swap.proposal()
    fee = network_fee(proposal.message) if paid is None else paid
    return spending_of(proposal, after, fee, WalletFunds(WALLET, proposal.before, Tokens(KNOWN), CLUSTER_RENT), 7)


def test_a_sale_of_tokens_takes_max_in_and_lamports_for_fee_and_rent() -> None:
    assert spending(Swap(), AFTER) == Spending(
        WALLET, 7, (Need(LAMPORTS, FEE + RENT, SOL - CLUSTER_RENT.wallet), Need(MINT_IN, 100, 1_000))
    )


def test_an_amount_missing_in_a_simulation_counts_if_it_is_more_with_the_price() -> None:
    tipped = {**AFTER, WALLET: wallet_account(SOL - FEE - RENT - 7_000)}
    [lamports, _] = spending(Swap(), tipped).needs
    assert lamports.amount == FEE + RENT + 7_000
    [lamports, _] = spending(Swap(), {**tipped, WALLET: wallet_account(SOL - 10_000 - RENT - 7_000)}, paid=10_000).needs
    assert lamports.amount == FEE + RENT + 7_000


def sale_of_sol(*steps: Instruction, wrapped: Account | None = None) -> Swap:
    budget = STEPS[:2]
    swap = Swap(steps=(*budget, *steps), quote=quote(mint_in=WSOL, max_in=SOL // 2))
    return replace(swap, before={**BEFORE, WRAPPED: wrapped})


def test_a_sale_of_sol_takes_what_is_wrapped_although_some_may_come_back() -> None:
    steps = (open_account(WALLET, WALLET, WSOL), pay(WALLET, WRAPPED, SOL // 2), SYNC, CLOSE)
    found = spending(sale_of_sol(*steps), {WALLET: wallet_account(SOL // 2)})
    assert found.amounts() == {LAMPORTS: SOL // 2 + RENT + 5_200}


def test_at_most_the_existing_wrapped_sol_is_reserved() -> None:
    """Else sales that wrap less than max-in, as theirs is final, would wait for each other."""
    steps = (open_account(WALLET, WALLET, WSOL), pay(WALLET, WRAPPED, SOL // 5), SYNC, CLOSE)
    assert WSOL not in spending(sale_of_sol(*steps), {WALLET: wallet_account(SOL)}).amounts()
    little = sale_of_sol(*steps[1:3], wrapped=token_account(WSOL, 7))
    assert spending(little, {WALLET: wallet_account(SOL)}).amounts()[WSOL] == 7


def test_a_sale_of_sol_reserves_the_part_that_is_not_wrapped_on_the_way() -> None:
    steps = (pay(WALLET, WRAPPED, SOL // 5), SYNC)
    found = spending(sale_of_sol(*steps, wrapped=token_account(WSOL, 3 * SOL)), {WALLET: wallet_account(SOL)})
    assert found.needs[1] == Need(WSOL, SOL // 2 - SOL // 5, 3 * SOL)
    assert found.amounts()[LAMPORTS] == SOL // 5 + 5_200

"""What a wallet can spend of a token, from a node whose answers are given."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.balance import SpendableBalance
from dexexec.domain.funds import LAMPORTS
from dexexec.domain.solana import Account, Accounts
from dexexec.domain.token import KNOWN, WSOL, Tokens
from dexexec.settlement.solana.fresh_accounts import FRESHER_SLOTS
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.signature_fee import assumed
from dexexec.settlement.solana.spendable import BalanceReader, lamports_kept
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.testing.clock import ManualClock
from dexexec.venue import AccountFrozen, SolanaChain
from tests.support.sealers import chain_rent
from tests.support.swap_transactions import (
    ATTACKER,
    CLUSTER_RENT,
    MINT_IN,
    MINT_OUT,
    OURS_IN,
    OURS_OTHER,
    RENT,
    SOL,
    WALLET,
    WRAPPED,
    State,
    token_account,
    wallet_account,
)

KEPT = lamports_kept(0, CLUSTER_RENT)
NEW_PROGRAM_ACCOUNT = associated_token_account(WALLET, MINT_IN, Program.TOKEN_2022)


class Node:
    """Shows accounts as of slots, one answer after the other, the last again and again."""

    def __init__(self, *shown: tuple[int, State]) -> None:
        self.shown = shown
        self.requests = 0

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        slot, accounts = self.shown[min(self.requests, len(self.shown) - 1)]
        self.requests += 1
        return Accounts(slot, tuple(accounts.get(one) for one in addresses))


async def spendable(
    node: Node,
    mint: str = MINT_IN,
    reserved: Mapping[str, int] | None = None,
    *,
    spend_wrapped: bool = True,
    max_priority_fee: int = 0,
    memory: Node | None = None,
) -> SpendableBalance:
    slots: list[int] = []

    async def reservations(wallet: str, slot: int) -> Mapping[str, int]:
        assert wallet == WALLET
        slots.append(slot)
        return reserved or {}

    reader = BalanceReader(
        cast("SolanaChain", memory or node),
        WALLET,
        ManualClock(),
        reserved=reservations,
        max_priority_fee=max_priority_fee,
        spend_wrapped=spend_wrapped,
        tokens=Tokens(KNOWN),
        node=cast("SolanaChain", node),
        rent=chain_rent,
        signature_fee=assumed,
    )
    found = await reader.spendable(mint)
    assert slots[-1] == found.slot, "what is reserved is as of the slot of the balance"
    return found


def state(held: int | None = 700, lamports: int = SOL) -> State:
    accounts: dict[str, Account | None] = {WALLET: wallet_account(lamports)}
    if held is not None:
        accounts[OURS_IN] = token_account(MINT_IN, held)
    return accounts


async def test_the_whole_balance_is_available_to_the_base_unit() -> None:
    found = await spendable(Node((9, state(2**64 - 1))))
    assert found == SpendableBalance(account=OURS_IN, slot=9, balance=2**64 - 1)
    assert found.available == 2**64 - 1


async def test_what_an_own_swap_may_have_brought_is_read_from_a_node_and_not_from_memory() -> None:
    memory = Node((9, state(5)))
    node = Node((10, state(15)))
    assert (await spendable(node, memory=memory)).available == 5
    assert node.requests == 0
    # A purchase landed in slot 10, or is on its way.
    found = await spendable(node, reserved={LAMPORTS: 1}, memory=memory)
    assert (found.slot, found.available) == (10, 15)


async def test_what_other_attempts_may_take_is_left_out() -> None:
    found = await spendable(Node((9, state(700))), reserved={MINT_IN: 250, MINT_OUT: 3, LAMPORTS: 5})
    assert (found.balance, found.reserved, found.available, found.freed_later) == (700, 250, 450, False)
    found = await spendable(Node((9, state(700))), reserved={MINT_IN: 700})
    assert (found.available, found.freed_later) == (0, True)


async def test_only_the_associated_account_counts_since_venues_spend_from_no_other() -> None:
    elsewhere = token_account(MINT_IN, 900)
    found = await spendable(Node((9, {**state(700), OURS_OTHER: elsewhere})))
    assert found.balance == 700


async def test_an_account_of_token_2022_is_found() -> None:
    account = token_account(MINT_IN, 321, program=Program.TOKEN_2022, extra=b"\x02" + bytes(4))
    found = await spendable(Node((9, {**state(None), NEW_PROGRAM_ACCOUNT: account})))
    assert (found.account, found.available) == (NEW_PROGRAM_ACCOUNT, 321)


async def test_an_account_of_another_owner_or_mint_at_that_address_is_not_ours() -> None:
    for foreign in (token_account(MINT_IN, 700, ATTACKER), token_account(MINT_OUT, 700)):
        assert (await spendable(Node((9, {**state(None), OURS_IN: foreign})))).balance == 0


async def test_a_frozen_account_is_an_error_that_names_it() -> None:
    frozen = token_account(MINT_IN, 700, state=2)
    with pytest.raises(AccountFrozen, match=f"the account {OURS_IN} of wallet .* is frozen"):
        await spendable(Node((9, {**state(None), OURS_IN: frozen})))


async def test_nothing_to_spend_must_hold_in_a_later_read_too() -> None:
    node = Node((9, state(None)), (10, state(None)), (9 + FRESHER_SLOTS, state(5)))
    found = await spendable(node)
    assert (found.slot, found.available) == (9 + FRESHER_SLOTS, 5)
    assert node.requests == 3
    empty = Node((9, state(0)))
    assert (await spendable(empty)).available == 0
    assert empty.requests > 1


async def test_a_balance_is_read_once_if_there_is_one() -> None:
    node = Node((9, state(1)))
    await spendable(node)
    assert node.requests == 1


# SOL


async def test_all_sol_leaves_what_the_swap_costs() -> None:
    found = await spendable(Node((9, state())), WSOL)
    assert found == SpendableBalance(account=WALLET, slot=9, balance=SOL, kept=KEPT)
    assert found.available == SOL - KEPT
    assert CLUSTER_RENT.wallet + 2 * RENT + 2 * 5_000 <= KEPT


async def test_the_highest_priority_fee_that_may_be_offered_stays() -> None:
    assert lamports_kept(1_000_000, CLUSTER_RENT) - KEPT == 1_400_000
    assert lamports_kept(1, CLUSTER_RENT) - KEPT == 2, "rounded up"
    assert (await spendable(Node((9, state())), WSOL, max_priority_fee=1_000_000)).available == SOL - KEPT - 1_400_000


async def test_wrapped_sol_counts_if_it_may_be_spent() -> None:
    both = {**state(), WRAPPED: token_account(WSOL, 5 * SOL)}
    assert (await spendable(Node((9, both)), WSOL)).available == 6 * SOL - KEPT
    assert (await spendable(Node((9, both)), WSOL, spend_wrapped=False)).available == SOL - KEPT


async def test_what_is_reserved_of_one_kind_is_not_taken_from_the_other() -> None:
    both = {**state(), WRAPPED: token_account(WSOL, 5 * SOL)}
    found = await spendable(Node((9, both)), WSOL, {LAMPORTS: 3 * SOL})
    assert found.available == 5 * SOL
    found = await spendable(Node((9, both)), WSOL, {WSOL: 9 * SOL, LAMPORTS: SOL // 2})
    assert found.available == SOL - KEPT - SOL // 2


async def test_a_wallet_with_too_few_lamports_has_none_to_sell() -> None:
    found = await spendable(Node((9, state(lamports=KEPT - 1))), WSOL)
    assert (found.available, found.kept, found.freed_later) == (0, KEPT - 1, False)
    assert (await spendable(Node((9, {})), WSOL)).available == 0


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.integers(0, 2**50), st.integers(0, 2**50))
def test_sol_that_is_available_is_there_beside_everything_else(
    lamports: int, wrapped: int, reserved_lamports: int, reserved_wrapped: int
) -> None:
    accounts = {**state(lamports=lamports), WRAPPED: token_account(WSOL, wrapped)}
    reserved = {LAMPORTS: reserved_lamports, WSOL: reserved_wrapped}
    found = asyncio.run(spendable(Node((9, accounts)), WSOL, reserved))
    of_lamports = max(0, lamports - KEPT - reserved_lamports)
    assert found.available == of_lamports + max(0, wrapped - reserved_wrapped)

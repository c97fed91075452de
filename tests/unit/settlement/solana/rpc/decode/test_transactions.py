"""Executed and simulated transactions are decoded: balance changes, fees and failures; other shapes are refused."""

import copy
from typing import Any

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.solana import Account, Simulation
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.rpc.decode.failures import TransactionFailure
from dexexec.settlement.solana.rpc.decode.transactions import (
    ExecutedTransaction,
    balance_changes,
    read_simulation,
    read_transaction,
    rent_changes,
)
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS

WALLET, POOL, VAULT, VENUE = (str(Pubkey([n] * 32)) for n in range(1, 5))
TOKENS = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
SYSTEM = "11111111111111111111111111111111"
SIGNATURE = "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW"
RENT = 2_039_280
CONTEXT = {"apiVersion": "2.2.16", "slot": 341_197_933}


def balance(index: int, owner: str, mint: str, amount: int) -> dict[str, Any]:
    return {
        "accountIndex": index,
        "mint": mint,
        "owner": owner,
        "programId": TOKENS,
        "uiTokenAmount": {"amount": str(amount), "decimals": 6, "uiAmount": None, "uiAmountString": "?"},
    }


def meta(
    before: list[int], after: list[int], held: list[dict[str, Any]], holds: list[dict[str, Any]], fee: int = 5_000
) -> dict[str, Any]:
    return {
        "err": None,
        "status": {"Ok": None},
        "fee": fee,
        "preBalances": before,
        "postBalances": after,
        "preTokenBalances": held,
        "postTokenBalances": holds,
        "innerInstructions": [],
        "logMessages": [],
        "rewards": [],
        "loadedAddresses": {"readonly": [], "writable": []},
        "computeUnitsConsumed": 61_204,
    }


def shown(values: dict[str, Any]) -> dict[str, Any]:
    """`getTransaction`."""
    message = {
        "accountKeys": [WALLET, POOL, VAULT, SYSTEM, VENUE],
        "header": {"numReadonlySignedAccounts": 0, "numReadonlyUnsignedAccounts": 2, "numRequiredSignatures": 1},
        "instructions": [
            {"accounts": [0, 1], "data": "3Bxs4NN8M2Yn4TLb", "programIdIndex": 3, "stackHeight": 1},
            {"accounts": [0, 1, 2], "data": "2", "programIdIndex": 4, "stackHeight": 1},
        ],
        "recentBlockhash": VENUE,
        "addressTableLookups": [],
    }
    return {
        "blockTime": 1_747_900_000,
        "meta": values,
        "slot": 341_197_900,
        "transaction": {"message": message, "signatures": [SIGNATURE]},
        "version": 0,
    }


# ---- balance changes -------------------------------------------------------------------------------------------------


def test_tokens_move_by_the_owner_of_their_accounts_and_the_fee_moves_nothing() -> None:
    held = [balance(1, WALLET, USDC, 900), balance(2, POOL, USDC, 10), balance(3, WALLET, VENUE, 1)]
    holds = [balance(1, WALLET, USDC, 650), balance(2, POOL, USDC, 260), balance(3, WALLET, VENUE, 8)]
    rents = [RENT] * 3
    assert balance_changes(meta([10**9, *rents], [10**9 - 5_000, *rents], held, holds), WALLET) == {
        USDC: -250,
        VENUE: 7,
    }


def test_two_accounts_of_one_mint_count_together_and_what_cancels_is_left_out() -> None:
    held = [balance(1, WALLET, USDC, 5), balance(2, WALLET, USDC, 7)]
    holds = [balance(1, WALLET, USDC, 2), balance(2, WALLET, USDC, 10)]
    assert balance_changes(meta([100, 9, 9], [95, 9, 9], held, holds, fee=5), WALLET) == {}


def test_sol_that_is_wrapped_stays_the_wallets_own() -> None:
    holds = [balance(1, WALLET, WSOL, 3 * 10**9)]
    lamports = [10**10, 0], [10**10 - 5_000 - RENT - 3 * 10**9, RENT + 3 * 10**9]
    assert balance_changes(meta(*lamports, [], holds), WALLET) == {}


def test_sol_that_is_unwrapped_by_closing_the_account_stays_the_wallets_own() -> None:
    held = [balance(1, WALLET, WSOL, 3 * 10**9)]
    lamports = [10**9, RENT + 3 * 10**9], [4 * 10**9 + RENT - 5_000, 0]
    assert balance_changes(meta(*lamports, held, []), WALLET) == {}


def test_wrapped_sol_that_is_swapped_moves_under_its_mint_once() -> None:
    held = [balance(1, WALLET, WSOL, 10**9), balance(2, POOL, WSOL, 7), balance(3, WALLET, USDC, 0)]
    holds = [balance(1, WALLET, WSOL, 0), balance(2, POOL, WSOL, 10**9 + 7), balance(3, WALLET, USDC, 150)]
    before, after = [10**8, RENT + 10**9, RENT + 7, RENT], [10**8 - 5_000, RENT, RENT + 10**9 + 7, RENT]
    assert balance_changes(meta(before, after, held, holds), WALLET) == {WSOL: -(10**9), USDC: 150}


def test_rent_of_an_account_of_its_own_is_not_spent_and_that_of_anothers_is() -> None:
    holds = [balance(1, WALLET, USDC, 4), balance(2, POOL, USDC, 0)]
    lamports = [10**9, 0, 0], [10**9 - 5_000 - 2 * RENT, RENT, RENT]
    assert balance_changes(meta(*lamports, [], holds), WALLET) == {USDC: 4, WSOL: -RENT}


def test_lamports_that_lay_at_an_accounts_address_before_it_was_opened_are_no_gain() -> None:
    lamports = [10**9, 700], [10**9 - 5_000 - RENT + 700, RENT]
    assert balance_changes(meta(*lamports, [], [balance(1, WALLET, USDC, 0)]), WALLET) == {}


def test_an_account_that_is_given_away_goes_with_all_that_is_in_it() -> None:
    held, holds = [balance(1, WALLET, USDC, 9)], [balance(1, POOL, USDC, 9)]
    assert balance_changes(meta([10**9, RENT], [10**9 - 5_000, RENT], held, holds), WALLET) == {
        USDC: -9,
        WSOL: -RENT,
    }


# ---- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction_that_succeeded_has_its_slot_its_fee_and_what_it_moved() -> None:
    values = meta([10**9, 5, 5, 1, 1], [10**9 - 10_000, 2_005, 3_005, 1, 1], [], [], fee=5_000)
    cost = NetworkCost(base_fee=5_000)
    assert read_transaction(shown(values), SIGNATURE) == ExecutedTransaction(
        341_197_900, 5_000, {WSOL: -5_000}, None, cost
    )


def test_what_exceeds_the_base_fee_is_the_priority_fee_also_of_a_transaction_that_failed() -> None:
    values = meta([10**9, 5, 5, 1, 1], [10**9 - 5_321, 5, 5, 1, 1], [], [], fee=5_321)
    values["err"] = {"InstructionError": [1, {"Custom": 6022}]}
    executed = read_transaction(shown(values), SIGNATURE)
    assert executed is not None
    assert executed.cost == NetworkCost(base_fee=5_000, priority_fee=321)


def test_every_signature_of_a_transaction_has_its_base_fee_and_no_fee_is_exceeded() -> None:
    result = shown(meta([10**9, 5, 5, 1, 1], [10**9 - 12_000, 5, 5, 1, 1], [], [], fee=12_000))
    result["transaction"]["signatures"].append("second")
    executed = read_transaction(result, SIGNATURE)
    assert executed is not None
    assert executed.cost == NetworkCost(base_fee=10_000, priority_fee=2_000)
    result["meta"]["fee"] = 7_000
    executed = read_transaction(result, SIGNATURE)
    assert executed is not None
    assert executed.cost == NetworkCost(base_fee=7_000)


# ---- rent ------------------------------------------------------------------------------------------------------------


def test_rent_is_paid_for_own_accounts_that_are_opened_and_for_those_of_others_it_is_not_rent() -> None:
    holds = [balance(1, WALLET, USDC, 4), balance(2, POOL, USDC, 0)]
    lamports = [10**9, 0, 0], [10**9 - 5_000 - 2 * RENT, RENT, RENT]
    assert rent_changes(meta(*lamports, [], holds), WALLET) == (RENT, 0)


def test_rent_of_an_own_account_that_is_closed_is_returned_without_the_sol_that_was_wrapped() -> None:
    held = [balance(1, WALLET, WSOL, 3 * 10**9), balance(2, POOL, USDC, 7)]
    lamports = [10**9, RENT + 3 * 10**9, RENT], [4 * 10**9 + RENT - 5_000, 0, RENT]
    assert rent_changes(meta(*lamports, held, [balance(2, POOL, USDC, 7)]), WALLET) == (0, RENT)


def test_rent_that_is_paid_for_one_account_and_returned_by_another_is_both() -> None:
    lamports = [10**9, RENT, 0], [10**9 - 5_000, 0, RENT]
    found = rent_changes(meta(*lamports, [balance(1, WALLET, USDC, 0)], [balance(2, WALLET, VENUE, 5)]), WALLET)
    assert found == (RENT, RENT)


def test_wrapping_more_sol_in_an_open_account_is_no_rent() -> None:
    held, holds = [balance(1, WALLET, WSOL, 5)], [balance(1, WALLET, WSOL, 10**9 + 5)]
    lamports = [2 * 10**9, RENT + 5], [10**9 - 5_000, RENT + 10**9 + 5]
    assert rent_changes(meta(*lamports, held, holds), WALLET) == (0, 0)


def test_an_account_that_is_opened_and_closed_in_one_transaction_costs_no_rent() -> None:
    assert rent_changes(meta([10**9, 0], [10**9 - 5_000, 0], [], []), WALLET) == (0, 0)


def test_the_landing_of_a_swap_has_its_rent_and_a_failure_has_none() -> None:
    holds = [balance(1, WALLET, USDC, 4)]
    values = meta([10**9, 0, 5, 1, 1], [10**9 - 5_400 - RENT, RENT, 5, 1, 1], [], holds, fee=5_400)
    executed = read_transaction(shown(values), SIGNATURE)
    assert executed is not None
    assert executed.cost == NetworkCost(base_fee=5_000, priority_fee=400, rent_paid=RENT)


def test_a_transaction_that_failed_has_its_reason_and_moved_nothing() -> None:
    values = meta([10**9, 5, 5, 1, 1], [10**9 - 5_000, 5, 5, 1, 1], [], [])
    values["err"] = {"InstructionError": [1, {"Custom": 6022}]}
    executed = read_transaction(shown(values), SIGNATURE)
    assert executed is not None
    assert (executed.fee, executed.moved) == (5_000, {})
    assert executed.failure == TransactionFailure(
        "program-error",
        f"instruction 1 ({VENUE}) failed: custom program error: 0x1786",
        ProgramFailure(index=1, program=VENUE, custom=6022, text="custom program error: 0x1786"),
    )


def test_a_transaction_that_the_node_does_not_have_is_missing() -> None:
    assert read_transaction(None, SIGNATURE) is None


def test_another_transaction_than_the_requested_one_is_no_answer() -> None:
    with pytest.raises(DECODE_ERRORS):
        read_transaction(shown(meta([1], [1], [], [])), VENUE)


def test_a_simulation_that_succeeds_shows_the_accounts_as_they_would_be() -> None:
    logs = ["Program 11111111111111111111111111111111 invoke [1]"]
    account = {"data": ["", "base64"], "executable": False, "lamports": 7, "owner": SYSTEM, "rentEpoch": 0, "space": 0}
    value = {
        "accounts": [account, None, account | {"lamports": 0}],
        "err": None,
        "innerInstructions": None,
        "logs": logs,
        "replacementBlockhash": {"blockhash": VENUE, "lastValidBlockHeight": 3_100},
        "returnData": None,
        "unitsConsumed": 150,
    }
    found = read_simulation({"context": CONTEXT, "value": value}, [WALLET, POOL, VAULT], [SYSTEM])
    after = {WALLET: Account(SYSTEM, 7, b""), POOL: None, VAULT: None}
    assert found == Simulation(slot=341_197_933, units=150, error=None, failure=None, logs=tuple(logs), after=after)


def test_a_simulation_that_fails_names_the_program_and_shows_no_accounts() -> None:
    value = {
        "accounts": [None],
        "err": {"InstructionError": [1, {"Custom": 1}]},
        "logs": [],
        "unitsConsumed": 300,
        "returnData": None,
    }
    found = read_simulation({"context": CONTEXT, "value": value}, [WALLET], [SYSTEM, TOKENS])
    failure = ProgramFailure(index=1, program=TOKENS, custom=1, text="custom program error: 0x1")
    assert (found.units, found.failure, found.after) == (300, failure, {})
    assert found.error == f"instruction 1 ({TOKENS}) failed: a token account holds too little ({failure.text})"


@pytest.mark.parametrize("key", ["err", "fee", "preBalances", "postBalances", "preTokenBalances", "postTokenBalances"])
def test_a_transaction_without_one_of_its_parts_is_refused(key: str) -> None:
    whole = shown(meta([9, 1, 1, 1, 1], [4, 1, 1, 1, 1], [], []))
    values = copy.deepcopy(whole)
    del values["meta"][key]
    with pytest.raises(DECODE_ERRORS):
        read_transaction(values, SIGNATURE)
    with pytest.raises(DECODE_ERRORS):
        read_transaction(whole | {"meta": None}, SIGNATURE)

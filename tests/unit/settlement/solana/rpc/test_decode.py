"""A node's answers are decoded to values; invalid shapes are errors and never answers."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dexexec.domain.solana import Account, Simulation
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.rpc.called_programs import called_programs
from dexexec.settlement.solana.rpc.decode.blocks import ChainPosition, read_blockhash, read_position
from dexexec.settlement.solana.rpc.decode.failures import TransactionFailure, read_failure
from dexexec.settlement.solana.rpc.decode.statuses import ReportedStatus, ReportedStatuses, read_statuses
from dexexec.settlement.solana.rpc.decode.transactions import (
    ExecutedTransaction,
    balance_changes,
    read_simulation,
    read_transaction,
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


# ---- what moved ------------------------------------------------------------------------------------------------------


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
    assert read_transaction(shown(values), SIGNATURE) == ExecutedTransaction(341_197_900, 5_000, {WSOL: -5_000}, None)


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


@pytest.mark.parametrize(
    ("err", "failure"),
    [
        (
            "InsufficientFundsForFee",
            TransactionFailure("insufficient-funds", "the transaction failed: InsufficientFundsForFee"),
        ),
        (
            {"InsufficientFundsForRent": {"account_index": 2}},
            TransactionFailure("insufficient-funds", "the transaction failed: InsufficientFundsForRent"),
        ),
        (
            {"DuplicateInstruction": 3},
            TransactionFailure("duplicate-instruction", "the transaction failed: DuplicateInstruction"),
        ),
        (
            {"InstructionError": [0, "ProgramFailedToComplete"]},
            TransactionFailure(
                "program-error",
                f"instruction 0 ({SYSTEM}) failed: ProgramFailedToComplete",
                ProgramFailure(index=0, program=SYSTEM, custom=None, text="ProgramFailedToComplete"),
            ),
        ),
        (
            {"InstructionError": [1, {"BorshIoError": "Unknown"}]},
            TransactionFailure(
                "program-error",
                "instruction 1 (unknown program) failed: BorshIoError",
                ProgramFailure(index=1, program="", custom=None, text="BorshIoError"),
            ),
        ),
    ],
)
def test_an_error_has_a_code_and_names_the_instructions_program(err: Any, failure: TransactionFailure) -> None:
    assert read_failure(err, [SYSTEM]) == failure


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_a_blockhash_and_its_last_valid_height_are_of_one_answer() -> None:
    result = {"context": CONTEXT, "value": {"blockhash": VENUE, "lastValidBlockHeight": 319_337_180}}
    assert read_blockhash(result) == Blockhash(VENUE, 319_337_180, 341_197_933)


def test_statuses_have_the_state_of_each_signature_and_its_slot() -> None:
    known = {"confirmationStatus": "finalized", "confirmations": None, "err": None, "slot": 48, "status": {"Ok": None}}
    fresh = {"confirmationStatus": "processed", "confirmations": 0, "err": "x", "slot": 72, "status": {"Err": "x"}}
    result = {"context": CONTEXT, "value": [known, None, fresh]}
    assert read_statuses(result, 3) == ReportedStatuses(
        341_197_933, (ReportedStatus(48, 2, False), None, ReportedStatus(72, 0, True))
    )


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


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"blockhash": VENUE},
        {"blockhash": VENUE, "lastValidBlockHeight": None},
        {"blockhash": VENUE, "lastValidBlockHeight": "7"},
        {"blockhash": VENUE, "lastValidBlockHeight": -7},
        {"blockhash": VENUE, "lastValidBlockHeight": 7.0},
        {"blockhash": VENUE, "lastValidBlockHeight": 2**64},
        {"blockhash": VENUE, "lastValidBlockHeight": True},
        {"blockhash": None, "lastValidBlockHeight": 7},
        {"blockhash": VENUE[:-5], "lastValidBlockHeight": 7},
        {"blockhash": "0OIl", "lastValidBlockHeight": 7},
    ],
)
def test_a_blockhash_in_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        read_blockhash({"context": CONTEXT, "value": value})


@pytest.mark.parametrize(
    "result", [None, 7, [], {"absoluteSlot": 9}, {"absoluteSlot": 9, "blockHeight": None}, {"blockHeight": 7}]
)
def test_an_epoch_in_another_shape_is_refused(result: Any) -> None:
    assert read_position({"absoluteSlot": 9, "blockHeight": 7, "epoch": 0}) == ChainPosition(9, 7)
    with pytest.raises(DECODE_ERRORS):
        read_position(result)


@pytest.mark.parametrize(
    "value", [None, 5, [], [None, None], [7], ["x"], [{"slot": 1}], [{"slot": 1, "confirmationStatus": None}]]
)
def test_statuses_in_another_shape_or_number_are_refused(value: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        read_statuses({"context": CONTEXT, "value": value}, 1)


@pytest.mark.parametrize("key", ["err", "fee", "preBalances", "postBalances", "preTokenBalances", "postTokenBalances"])
def test_a_transaction_without_one_of_its_parts_is_refused(key: str) -> None:
    whole = shown(meta([9, 1, 1, 1, 1], [4, 1, 1, 1, 1], [], []))
    values = copy.deepcopy(whole)
    del values["meta"][key]
    with pytest.raises(DECODE_ERRORS):
        read_transaction(values, SIGNATURE)
    with pytest.raises(DECODE_ERRORS):
        read_transaction(whole | {"meta": None}, SIGNATURE)


@pytest.mark.parametrize("err", [{}, {"A": 1, "B": 2}, 7, {"InstructionError": 3}, {"InstructionError": ["x", "y"]}])
def test_an_error_in_another_shape_is_refused(err: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        read_failure(err, [])


# ---- a transaction's own bytes ---------------------------------------------------------------------------------------

keys = st.binary(min_size=32, max_size=32).map(Pubkey)
instructions = st.lists(
    st.builds(
        Instruction,
        keys,
        st.binary(max_size=300),
        st.lists(st.builds(AccountMeta, keys, st.just(False), st.booleans()), max_size=5),
    ),
    max_size=6,
)


@given(instructions, st.booleans())
def test_the_programs_of_a_transaction_are_read_from_its_bytes(steps: list[Instruction], versioned: bool) -> None:
    payer = Keypair.from_seed(bytes(32))
    message = (
        MessageV0.try_compile(payer.pubkey(), steps, [], Hash.default())
        if versioned
        else Message.new_with_blockhash(steps, payer.pubkey(), Hash.default())
    )
    raw = bytes(VersionedTransaction(message, [payer]))
    assert called_programs(raw) == tuple(str(step.program_id) for step in steps)


@pytest.mark.parametrize("size", range(0, 150, 7))
def test_a_transaction_that_is_cut_off_is_refused(size: int) -> None:
    payer = Keypair.from_seed(bytes(32))
    step = Instruction(Pubkey.default(), b"data", [])
    raw = bytes(VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [step], [], Hash.default()), [payer]))
    with pytest.raises(ValueError):
        called_programs(raw[:size])

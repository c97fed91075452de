"""Version 1 transactions (SIMD-0385): LiteSVM ignores what their headers request, so each is executed as an equal one
of version 0, with the requests as compute budget instructions behind its own. Pure.

Behind, because the positions of accounts and instructions then stay the same.
"""

from dataclasses import replace
from typing import Any

from solders.account import Account
from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.compute_budget import request_heap_frame, set_compute_unit_limit
from solders.instruction import CompiledInstruction, Instruction
from solders.message import MessageHeader, MessageV0, MessageV1
from solders.transaction import VersionedTransaction

from dexexec.localnet.execution_result import ExecutionResult

LAMPORTS_PER_SIGNATURE = 5_000
UNITS_PER_REQUEST = 150
"""Compute units of one compute budget instruction."""
MAX_UNITS = 1_400_000
LINES_PER_REQUEST = 2
"""Log lines of one compute budget instruction."""


def base_fee(message: MessageV1) -> int:
    """Lamports for its signatures."""
    return LAMPORTS_PER_SIGNATURE * message.header.num_required_signatures


def priority_fee(message: MessageV1) -> int:
    """Lamports that it offers in total. Without a request: none."""
    return message.config.priority_fee or 0


def may_load(message: MessageV1) -> int:
    """Bytes of accounts that it requests. Without a request it may load nothing."""
    return message.config.loaded_accounts_data_size_limit or 0


def as_v0(transaction: VersionedTransaction, message: MessageV1) -> VersionedTransaction:
    """The transaction that is executed. Its signatures are those of the original, so they must not be checked."""
    keys = list(message.account_keys)
    header = message.header
    if COMPUTE_BUDGET not in keys:
        # Read-only accounts that sign nothing come last, so no other position changes.
        keys.append(COMPUTE_BUDGET)
        unsigned = header.num_readonly_unsigned_accounts + 1
        header = MessageHeader(header.num_required_signatures, header.num_readonly_signed_accounts, unsigned)
    program = keys.index(COMPUTE_BUDGET)
    requests = [CompiledInstruction(program, request.data, b"") for request in _requests(message)]
    calls: list[CompiledInstruction] = []
    for call in message.instructions:
        if not _is_budget(message, call):
            calls.append(call)
        elif requests:
            # Such an instruction does nothing in a version 1 transaction. LiteSVM would obey it, so a request that is
            # needed anyway takes its place.
            calls.append(requests.pop())
    executed = MessageV0(header, keys, message.recent_blockhash, [*calls, *requests], [])
    return VersionedTransaction.populate(executed, transaction.signatures)


def result_of(executed: ExecutionResult, message: MessageV1) -> ExecutionResult:
    """The result without the compute budget instructions that were added."""
    added = _added(message)
    last = len(message.instructions)
    err = executed.err
    failed_at = err["InstructionError"][0] if isinstance(err, dict) and "InstructionError" in err else None
    if failed_at is not None and failed_at >= last:
        # The units that are reserved for the added instructions were used by the others.
        return replace(executed, err={"InstructionError": [last - 1, "ComputationalBudgetExceeded"]})
    if err is not None or not added:
        return executed
    return replace(
        executed, logs=executed.logs[: -LINES_PER_REQUEST * added], units=executed.units - UNITS_PER_REQUEST * added
    )


def _requests(message: MessageV1) -> list[Instruction]:
    heap = message.config.heap_size
    # Without a request there are no units at all.
    units = min(message.config.compute_unit_limit or 0, MAX_UNITS) + UNITS_PER_REQUEST * _added(message)
    return [set_compute_unit_limit(units), *([] if heap is None else [request_heap_frame(heap)])]


def _added(message: MessageV1) -> int:
    needed = 1 if message.config.heap_size is None else 2
    return max(0, needed - sum(_is_budget(message, call) for call in message.instructions))


def _is_budget(message: MessageV1, call: CompiledInstruction) -> bool:
    return message.account_keys[call.program_id_index] == COMPUTE_BUDGET


def refusal(message: MessageV1, payer: Account | None, rent_exempt: int) -> Any:
    """Why its payer cannot pay, as a TransactionError; None if it can. `rent_exempt` is for an account of its size."""
    if payer is None:
        return "AccountNotFound"
    left = payer.lamports - base_fee(message) - priority_fee(message)
    if left < 0:
        return "InsufficientFundsForFee"
    if 0 < left < rent_exempt <= payer.lamports:
        return {"InsufficientFundsForRent": {"account_index": 0}}
    return None

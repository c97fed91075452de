"""Answers of a node as plain values. Pure: JSON in, values out.

A shape that is not understood raises one of `DECODE_ERRORS`; whoever asks takes it for an answer that is none.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dexexec.domain import base58
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.solana import Simulation
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.message import LACKS_LAMPORTS, TOKEN_PROGRAMS
from dexexec.settlement.solana.program_failures import INSUFFICIENT, explain
from dexexec.settlement.solana.rpc.decode_accounts import read_account
from dexexec.settlement.solana.rpc.decode_values import read_exactly, read_text, read_u64
from dexexec.venue import InsufficientFunds

COMMITMENTS = ("processed", "confirmed", "finalized")
"""How sure something is, the least first."""
_FAILED = re.compile(r"Program (\w+) failed: ")


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """Where a node is: a slot, and the height of its block."""

    slot: int
    height: int


@dataclass(frozen=True, slots=True)
class ReportedStatus:
    """A signature that a node knows: where it landed, how sure that is (its place in `COMMITMENTS`), and whether it
    failed there."""

    slot: int
    certainty: int
    failed: bool


@dataclass(frozen=True, slots=True)
class ReportedStatuses:
    """What a node knows of signatures, in the order asked, as of `slot`."""

    slot: int
    found: tuple[ReportedStatus | None, ...]


@dataclass(frozen=True, slots=True)
class TransactionFailure:
    """Why a transaction failed: a machine-readable code, words, and the instruction if one is to blame."""

    code: str
    detail: str
    instruction: ProgramFailure | None = None


@dataclass(frozen=True, slots=True)
class ExecutedTransaction:
    """A transaction on chain: lamports of fee, and what it moved for the wallet that paid, or why it failed."""

    slot: int
    fee: int
    moved: Mapping[str, int]
    failure: TransactionFailure | None


def read_blockhash(result: Any) -> Blockhash:
    """`getLatestBlockhash`."""
    value = result["value"]
    if len(base58.decode(read_text(value["blockhash"]))) != 32:
        raise ValueError("not a hash")
    height, slot = read_u64(value["lastValidBlockHeight"]), read_u64(result["context"]["slot"])
    return Blockhash(value["blockhash"], height, slot)


def read_epoch(result: Any) -> ChainPosition:
    """`getEpochInfo`."""
    return ChainPosition(read_u64(result["absoluteSlot"]), read_u64(result["blockHeight"]))


def read_statuses(result: Any, count: int) -> ReportedStatuses:
    """`getSignatureStatuses` for so many signatures."""
    slot = read_u64(result["context"]["slot"])
    found = tuple(None if one is None else _read_sighting(one, slot) for one in result["value"])
    return ReportedStatuses(slot, read_exactly(found, count))


def _read_sighting(one: Any, now: int) -> ReportedStatus:
    slot = read_u64(one["slot"])
    if slot > now:
        raise ValueError("it landed in a slot that is still to come")
    return ReportedStatus(slot, COMMITMENTS.index(one["confirmationStatus"]), one["err"] is not None)


def read_transaction(result: Any, signature: str) -> ExecutedTransaction | None:
    """`getTransaction` in the encoding `json`; None if the node does not have it."""
    if result is None:
        return None
    meta, transaction = result["meta"], result["transaction"]
    if transaction["signatures"][0] != signature:
        raise ValueError("another transaction")
    keys = transaction["message"]["accountKeys"]
    programs = [keys[one["programIdIndex"]] for one in transaction["message"]["instructions"]]
    failure = None if meta["err"] is None else read_failure(meta["err"], programs, meta.get("logMessages") or ())
    if failure is not None and _is_another_wallets(failure.instruction, meta, transaction["message"]):
        failure = replace(failure, code=FailureReason.PROGRAM_ERROR)
    moved = {} if failure else balance_changes(meta, keys[0])
    return ExecutedTransaction(read_u64(result["slot"]), read_u64(meta["fee"]), moved, failure)


def balance_changes(meta: Mapping[str, Any], wallet: str) -> dict[str, int]:
    """What the wallet that pays holds more or less of each mint after a transaction, in base units.

    Tokens are told by their accounts' owners. SOL is what the wallet and all its token accounts hold together in
    lamports, but for the network fee: what it wraps, unwraps or puts into its own accounts as rent stays its own.
    """
    before, after = (_held(meta[f"{when}TokenBalances"]) for when in ("pre", "post"))
    moved: defaultdict[str, int] = defaultdict(int)
    for sign, held in ((-1, before), (1, after)):
        for owner, mint, amount in held.values():
            if owner == wallet and mint != WSOL:
                moved[mint] += sign * amount
    moved[WSOL] = read_u64(meta["fee"])
    for index, (was, now) in enumerate(zip(meta["preBalances"], meta["postBalances"], strict=True)):
        # An account that is opened or closed here belongs, where it is none, to whom it belongs where it is one.
        had, has = before.get(index) or after.get(index), after.get(index) or before.get(index)
        moved[WSOL] -= read_u64(was) if index == 0 or (had and had[0] == wallet) else 0
        moved[WSOL] += read_u64(now) if index == 0 or (has and has[0] == wallet) else 0
    return {mint: delta for mint, delta in moved.items() if delta}


def read_failure(err: Any, programs: Sequence[str], logs: Sequence[str] = ()) -> TransactionFailure:
    """A TransactionError; `programs` are those that the transaction's instructions call, in order, and `logs` what they
    wrote."""
    name = _name(err)
    if name != "InstructionError":
        return TransactionFailure(
            InsufficientFunds.code if name in LACKS_LAMPORTS else _kebab(name), f"the transaction failed: {name}"
        )
    index, what = err[name]
    known = read_u64(index) < len(programs)
    custom = read_u64(what["Custom"]) if isinstance(what, dict) and "Custom" in what else None
    text = _name(what) if custom is None else f"custom program error: {custom:#x}"
    program = programs[index] if known else ""
    instruction = ProgramFailure(index=index, program=program, custom=custom, text=text, origin=_origin(logs))
    meant = explain(instruction)
    detail = f"instruction {index} ({program or 'unknown program'}) failed: {meant or text}"
    return TransactionFailure(meant.code if meant else FailureReason.PROGRAM_ERROR, detail, instruction)


def read_simulation(result: Any, watched: Sequence[str], programs: Sequence[str]) -> Simulation:
    """`simulateTransaction`. A transaction that would fail changes nothing, so that there is no `after` then."""
    value, slot = result["value"], read_u64(result["context"]["slot"])
    units, logs = read_u64(value.get("unitsConsumed") or 0), tuple(map(str, value.get("logs") or ()))
    if value["err"] is not None:
        failure = read_failure(value["err"], programs, logs)
        return Simulation(slot=slot, units=units, error=failure.detail, failure=failure.instruction, logs=logs)
    shown = read_exactly(tuple(value.get("accounts") or ()), len(watched))
    after = {
        address: None if one is None or not one["lamports"] else read_account(one)
        for address, one in zip(watched, shown, strict=True)
    }
    return Simulation(slot=slot, units=units, logs=logs, after=after)


def _origin(logs: Sequence[str]) -> str:
    """The program that failed first: programs that called it fail after it, with the same error."""
    failed = (match[1] for line in logs if (match := _FAILED.match(str(line))))
    return next(failed, "")


def _is_another_wallets(failure: ProgramFailure | None, meta: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether a top-level token instruction failed for what somebody else's account lacks, such as a venue's vault."""
    if failure is None or failure.custom != INSUFFICIENT or failure.program not in TOKEN_PROGRAMS:
        return False
    source = message["instructions"][failure.index]["accounts"][0]
    held = _held(meta["preTokenBalances"]).get(source)
    return held is not None and held[0] != message["accountKeys"][0]


def _held(balances: Any) -> dict[int, tuple[str, str, int]]:
    """Token accounts by their place in the transaction: owner, mint, amount."""
    return {
        read_u64(one["accountIndex"]): (
            read_text(one["owner"]),
            read_text(one["mint"]),
            read_u64(int(one["uiTokenAmount"]["amount"])),
        )
        for one in balances or ()
    }


def _name(error: Any) -> str:
    """Of an error with or without more to say: `"AccountInUse"`, `{"DuplicateInstruction": 3}`."""
    [name] = [error] if isinstance(error, str) else error
    return read_text(name)


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")

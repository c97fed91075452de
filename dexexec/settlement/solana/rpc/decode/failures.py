"""Decodes a `TransactionError`: which instruction failed, in which program, and what the error means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.swap import ProgramFailure
from dexexec.settlement.solana.message import LACKS_LAMPORTS
from dexexec.settlement.solana.program_failures import explain
from dexexec.settlement.solana.rpc.decode.values import read_text, read_u64
from dexexec.venue import InsufficientFunds

_FAILED = re.compile(r"Program (\w+) failed: ")


@dataclass(frozen=True, slots=True)
class TransactionFailure:
    """Why a transaction failed: a machine-readable code, a sentence, and the failed instruction if there is one."""

    code: str
    detail: str
    instruction: ProgramFailure | None = None


def read_failure(error: Any, programs: Sequence[str], logs: Sequence[str] = ()) -> TransactionFailure:
    """Decodes a TransactionError. `programs` are the ones that the top-level instructions call, in order; `logs` are
    the transaction's log lines."""
    name = _error_name(error)
    if name != "InstructionError":
        code = InsufficientFunds.code if name in LACKS_LAMPORTS else _kebab_case(name)
        return TransactionFailure(code, f"the transaction failed: {name}")
    index, cause = error[name]
    # An index beyond the message's instructions is still reported, without a program.
    program = programs[index] if read_u64(index) < len(programs) else ""
    custom = read_u64(cause["Custom"]) if isinstance(cause, dict) and "Custom" in cause else None
    text = _error_name(cause) if custom is None else f"custom program error: {custom:#x}"
    instruction = ProgramFailure(index=index, program=program, custom=custom, text=text, origin=_failed_first(logs))
    explanation = explain(instruction)
    detail = f"instruction {index} ({program or 'unknown program'}) failed: {explanation or text}"
    return TransactionFailure(explanation.code if explanation else FailureReason.PROGRAM_ERROR, detail, instruction)


def _failed_first(logs: Sequence[str]) -> str:
    """The program that failed first."""
    # Callers log the same error after the program that they called, so the first line names the cause.
    failed = (match[1] for line in logs if (match := _FAILED.match(str(line))))
    return next(failed, "")


def _error_name(error: Any) -> str:
    """The name of an error, with or without data: `"AccountInUse"`, `{"DuplicateInstruction": 3}`."""
    [name] = [error] if isinstance(error, str) else error
    return read_text(name)


def _kebab_case(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")

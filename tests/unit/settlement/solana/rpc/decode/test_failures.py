"""A TransactionError becomes a code, a sentence and the failed instruction; other shapes are refused."""

from typing import Any

import pytest

from dexexec.domain.swap import ProgramFailure
from dexexec.settlement.solana.rpc.decode.failures import TransactionFailure, read_failure
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS

SYSTEM = "11111111111111111111111111111111"


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


@pytest.mark.parametrize("err", [{}, {"A": 1, "B": 2}, 7, {"InstructionError": 3}, {"InstructionError": ["x", "y"]}])
def test_an_error_in_another_shape_is_refused(err: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        read_failure(err, [])

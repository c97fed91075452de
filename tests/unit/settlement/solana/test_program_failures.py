"""What a failure of Solana's own programs means to an order: a named reason, and whether trying again can help."""

import pytest

from dexexec.domain.swap import ProgramFailure
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.program_failures import explain
from dexexec.settlement.solana.rpc.decode.failures import read_failure
from dexexec.settlement.solana.rpc.decode.transactions import read_transaction
from dexexec.venue import (
    AccountChanged,
    AccountFrozen,
    BadAnswer,
    ComputeExceeded,
    InsufficientFunds,
    TokenRestricted,
    VenueError,
)
from tests.support.swap_transactions import MINT_IN, OURS_IN, POOL_PROGRAM, VAULT_OUT, VENUE, WALLET


def custom(number: int, program: str = Program.TOKEN_2022, origin: str = "") -> ProgramFailure:
    return ProgramFailure(
        index=2, program=program, custom=number, text=f"custom program error: {number:#x}", origin=origin
    )


@pytest.mark.parametrize(
    ("number", "kind", "retryable"),
    [
        (1, InsufficientFunds, False),
        (3, BadAnswer, True),
        (9, AccountChanged, True),
        (17, AccountFrozen, False),
        (36, TokenRestricted, False),
        (37, TokenRestricted, False),
        (42, TokenRestricted, False),
        (67, TokenRestricted, False),
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["called itself", "inside of a venue's program"])
def test_a_token_programs_number_is_a_named_reason(
    number: int, kind: type[VenueError], retryable: bool, inside: bool
) -> None:
    program = POOL_PROGRAM if inside else Program.TOKEN_2022
    meant = explain(custom(number, program, Program.TOKEN_2022 if inside else ""))
    assert type(meant) is kind
    assert meant.retryable is retryable
    assert f"custom program error: {number:#x}" in str(meant)


@pytest.mark.parametrize("program", [Program.SYSTEM, Program.ASSOCIATED_TOKEN])
def test_too_few_lamports_are_missing_funds(program: str) -> None:
    assert isinstance(explain(custom(1, program)), InsufficientFunds)
    assert isinstance(explain(custom(1, POOL_PROGRAM, Program.SYSTEM)), InsufficientFunds)


def test_an_error_number_of_a_venues_program_is_left_to_the_venue() -> None:
    for number in (1, 17, 6_005):
        assert explain(custom(number, POOL_PROGRAM)) is None
        assert explain(custom(number, POOL_PROGRAM, POOL_PROGRAM)) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ComputationalBudgetExceeded", ComputeExceeded),
        ("IllegalOwner", AccountChanged),
        ("InsufficientFunds", InsufficientFunds),
    ],
)
def test_runtime_errors_have_a_reason_too(text: str, kind: type[VenueError]) -> None:
    assert type(explain(ProgramFailure(index=0, program=POOL_PROGRAM, custom=None, text=text))) is kind


def test_the_logs_show_which_program_failed_first() -> None:
    logs = [
        f"Program {POOL_PROGRAM} invoke [1]",
        f"Program log: Program {Program.SYSTEM} failed: a venue may write what it likes",
        f"Program {Program.TOKEN} invoke [2]",
        f"Program {Program.TOKEN} failed: custom program error: 0x11",
        f"Program {POOL_PROGRAM} failed: custom program error: 0x11",
    ]
    failure = read_failure({"InstructionError": [0, {"Custom": 17}]}, [POOL_PROGRAM], logs)
    assert failure.code == "account-frozen"
    assert failure.instruction is not None
    assert failure.instruction.origin == Program.TOKEN
    assert read_failure({"InstructionError": [0, {"Custom": 17}]}, [POOL_PROGRAM]).code == "program-error"


@pytest.mark.parametrize(("source", "code"), [(1, "insufficient-funds"), (2, "program-error")])
def test_a_venues_vault_that_holds_too_little_is_not_a_lack_of_the_wallet(source: int, code: str) -> None:
    keys = [WALLET, OURS_IN, VAULT_OUT, VENUE, Program.TOKEN]

    def holds(index: int, owner: str) -> dict[str, object]:
        return {"accountIndex": index, "owner": owner, "mint": MINT_IN, "uiTokenAmount": {"amount": "1"}}

    meta = {
        "err": {"InstructionError": [0, {"Custom": 1}]},
        "fee": 5_000,
        "preTokenBalances": [holds(1, WALLET), holds(2, VENUE)],
    }
    message = {"accountKeys": keys, "instructions": [{"programIdIndex": 4, "accounts": [source, 1, 3]}]}
    shown = {"slot": 7, "meta": meta, "transaction": {"signatures": ["signature"], "message": message}}
    executed = read_transaction(shown, "signature")
    assert executed is not None
    assert executed.failure is not None
    assert executed.failure.code == code

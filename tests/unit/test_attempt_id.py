"""The memo that says on chain which attempt of which order a transaction is."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.attempt_id import NAME, AttemptId

ORDER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MEMO = f"dexexec:1:{ORDER}:2"


def test_a_memo_is_plain_text_with_our_name_a_version_the_order_and_the_attempt() -> None:
    assert AttemptId(ORDER, 2).memo == MEMO
    assert MEMO.startswith(NAME)


@given(st.uuids(), st.integers(1, 10**9 - 1))
def test_what_is_written_is_read_again(order_id: UUID, attempt: int) -> None:
    assert AttemptId.read(AttemptId(order_id, attempt).memo) == AttemptId(order_id, attempt)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0123456789abcdef",
        f" {MEMO}",
        f"{MEMO}\n",
        f"{MEMO}:1",
        f"dexexec:2:{ORDER}:2",
        f"dexexec:1:{ORDER}:0",
        f"dexexec:1:{ORDER}:02",
        f"dexexec:1:{ORDER}:-1",
        f"dexexec:1:{ORDER}:",
        f"dexexec:1:{ORDER}:\u0662",
        f"dexexec:1:{str(ORDER).upper()}:2",
        f"dexexec:1:{ORDER.hex}:2",
    ],
)
def test_nothing_else_is_taken_for_one(text: str) -> None:
    assert AttemptId.read(text) is None

"""The memo that names a transaction's order and attempt on chain."""

from base64 import urlsafe_b64encode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.attempt_id import MEMO_PREFIX, AttemptId, Memo, find_memos, read_memo
from tests.support.attempts import DIGEST, RECORD

ORDER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MEMO = f"dexexec:1:{ORDER}:2:{RECORD}"
WITH_KEY = f"dexexec:2:{ORDER}:2:{RECORD}:{DIGEST}"


def test_a_memo_has_prefix_version_order_attempt_and_record() -> None:
    assert AttemptId(ORDER, 2).memo(RECORD) == MEMO
    assert MEMO.startswith(MEMO_PREFIX)


def test_the_memo_of_an_order_with_a_key_ends_with_the_digest_of_the_key() -> None:
    assert AttemptId(ORDER, 2, DIGEST).memo(RECORD) == WITH_KEY
    assert len(WITH_KEY) == len(MEMO) + 17
    assert find_memos(f"[{len(WITH_KEY)}] {WITH_KEY}") == [Memo(AttemptId(ORDER, 2, DIGEST), RECORD)]


DIGESTS = st.none() | st.binary(min_size=12, max_size=12).map(lambda one: urlsafe_b64encode(one).decode())


@given(st.uuids(), st.integers(1, 10**9 - 1), DIGESTS)
def test_a_memo_survives_writing_and_reading(order_id: UUID, attempt: int, digest: str | None) -> None:
    known = AttemptId(order_id, attempt, digest)
    assert read_memo(known.memo(RECORD)) == Memo(known, RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0123456789abcdef",
        f" {MEMO}",
        f"{MEMO}\n",
        f"{MEMO}:1",
        f"dexexec:1:{ORDER}:2",
        f"dexexec:2:{ORDER}:2:{RECORD}",
        f"dexexec:1:{ORDER}:2:{RECORD}:{DIGEST}",
        f"dexexec:3:{ORDER}:2:{RECORD}:{DIGEST}",
        f"{WITH_KEY[:-1]}",
        f"{WITH_KEY}a",
        f"{WITH_KEY[:-1]}=",
        f"dexexec:1:{ORDER}:0:{RECORD}",
        f"dexexec:1:{ORDER}:02:{RECORD}",
        f"dexexec:1:{ORDER}:-1:{RECORD}",
        f"dexexec:1:{ORDER}::{RECORD}",
        f"dexexec:1:{ORDER}:\u0662:{RECORD}",
        f"dexexec:1:{str(ORDER).upper()}:2:{RECORD}",
        f"dexexec:1:{ORDER.hex}:2:{RECORD}",
        f"dexexec:1:{ORDER}:2:{RECORD.upper()}",
    ],
)
def test_other_texts_are_not_read_as_memos(text: str) -> None:
    assert read_memo(text) is None


def test_our_memos_are_found_among_the_memos_of_a_transaction_as_a_node_lists_them() -> None:
    mine = Memo(AttemptId(ORDER, 2), RECORD)
    assert find_memos(f"[{len(MEMO)}] {MEMO}") == [mine]
    assert find_memos(f"[5] hello; [{len(MEMO)}] {MEMO}; [2] ; ") == [mine]
    assert find_memos(f"[60] {MEMO} and more") == []
    assert find_memos("(unprintable)") == []

"""The memo of a transaction: it names the order and the attempt, so that a record that lost them can be restored.

`dexexec:1:01890a5d-ac96-774b-bcce-b302099a8057:2:5f3c9a1e` is attempt 2 of that order, in the record named `5f3c9a1e`.
Format 2, for orders with an Idempotency-Key, ends with a digest of the key: `dexexec:2:…:2:5f3c9a1e:Zt0Qm3xW-a9K_b2c`.
"""

import re
from dataclasses import dataclass
from uuid import UUID

MEMO_PREFIX = "dexexec:"
"""The start of every memo of this service, in any version."""
UNNAMED = "00000000"
"""The name where no record exists: for adapters that are only checked."""
_MEMO = re.compile(
    r"dexexec:([12]):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([1-9][0-9]{0,8}):([0-9a-f]{8})"
    r"(?::([A-Za-z0-9_-]{16}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class AttemptId:
    """`attempt` is 1 for an order's first transaction. `key_digest` is the digest of the order's Idempotency-Key and
    body, as the record computes it (`key_digest()` in Postgres); None if the order has no key."""

    order_id: UUID
    attempt: int
    key_digest: str | None = None

    def memo(self, record: str) -> str:
        """The text on chain, for the record of that name (8 hex digits), which distinguishes two records that share a
        wallet. No two transactions have the same memo, so no two have the same bytes."""
        about = f"{self.order_id}:{self.attempt}:{record}"
        return f"{MEMO_PREFIX}1:{about}" if self.key_digest is None else f"{MEMO_PREFIX}2:{about}:{self.key_digest}"


@dataclass(frozen=True, slots=True)
class Memo:
    """The content of a memo of this service."""

    attempt: AttemptId
    record: str


def read_memo(text: str) -> Memo | None:
    """The content of a memo; None unless it has exactly this service's format."""
    match = _MEMO.fullmatch(text)
    if match is None:
        return None
    version, order_id, attempt, record, key_digest = match.groups()
    # Version 2 has a digest, version 1 has none: any other combination is a forgery or damaged.
    if (version == "2") != (key_digest is not None):
        return None
    return Memo(AttemptId(UUID(order_id), int(attempt), key_digest), record)


def find_memos(listed: str) -> list[Memo]:
    """The memos of this service in a node's list of a transaction's memos: `[66] dexexec:...; [4] text`."""
    memos = (read_memo(part) for part in re.split(r"; |\[\d+\] ", listed))
    return [memo for memo in memos if memo is not None]

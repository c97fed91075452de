"""Which attempt of which order a transaction is. Its memo carries this on chain, so that a record that lost the attempt
can be told of it.

    dexexec:1:01890a5d-ac96-774b-bcce-b302099a8057:2:5f3c9a1e
    dexexec:2:01890a5d-ac96-774b-bcce-b302099a8057:2:5f3c9a1e:Zt0Qm3xW-a9K_b2c

is the second attempt of that order, in the record that is called `5f3c9a1e`. The number after our name is the format's
version: orders that were posted with an Idempotency-Key have the second one, which ends with a digest of the key.
"""

import re
from dataclasses import dataclass
from uuid import UUID

NAME = "dexexec:"
"""How every memo of ours begins, whatever its version."""
UNNAMED = "00000000"
"""The name of a record where there is none: adapters that are only checked."""
_MEMO = re.compile(
    r"dexexec:([12]):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([1-9][0-9]{0,8}):([0-9a-f]{8})"
    r"(?::([A-Za-z0-9_-]{16}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class AttemptId:
    """`attempt` is 1 for an order's first transaction. `key_digest` is that of the order's Idempotency-Key and body, as
    the record makes it (`key_digest()` in Postgres); None where the order has no key."""

    order_id: UUID
    attempt: int
    key_digest: str | None = None

    def memo(self, record: str) -> str:
        """As text on chain, for the record of that name (8 hex digits): two records whose orders one wallet pays are
        told apart. No two transactions have the same memo, so no two have the same bytes."""
        about = f"{self.order_id}:{self.attempt}:{record}"
        return f"{NAME}1:{about}" if self.key_digest is None else f"{NAME}2:{about}:{self.key_digest}"


@dataclass(frozen=True, slots=True)
class Memo:
    """What a memo of ours says."""

    attempt: AttemptId
    record: str


def read_memo(text: str) -> Memo | None:
    """What a memo says; None for any that is not exactly one of ours."""
    found = _MEMO.fullmatch(text)
    if found is None or (found[1] == "2") != (found[5] is not None):
        return None
    return Memo(AttemptId(UUID(found[2]), int(found[3]), found[5]), found[4])


def find_memos(listed: str) -> list[Memo]:
    """Memos of ours in the way a node lists those of a transaction: `[66] dexexec:...; [4] text`."""
    found = (read_memo(part) for part in re.split(r"; |\[\d+\] ", listed))
    return [memo for memo in found if memo is not None]

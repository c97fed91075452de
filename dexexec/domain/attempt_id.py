"""Which attempt of which order a transaction is. Its memo carries this on chain, so that a record that lost the attempt
can be told of it.

    dexexec:1:01890a5d-ac96-774b-bcce-b302099a8057:2

is the second attempt of that order. The number after the name is the format's version.
"""

import re
from dataclasses import dataclass
from uuid import UUID

NAME = "dexexec:"
"""How every memo of ours begins, whatever its version."""
_MEMO = re.compile(r"dexexec:1:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([1-9][0-9]{0,8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AttemptId:
    """`attempt` is 1 for an order's first transaction."""

    order_id: UUID
    attempt: int

    @property
    def memo(self) -> str:
        """As text on chain. No two transactions have the same, so no two have the same bytes."""
        return f"{NAME}1:{self.order_id}:{self.attempt}"

    @classmethod
    def read(cls, memo: str) -> "AttemptId | None":
        """From a memo; None for any that is not exactly one of ours."""
        found = _MEMO.fullmatch(memo)
        return cls(UUID(found[1]), int(found[2])) if found else None

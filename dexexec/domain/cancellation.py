"""The answer to a client that cancels an order: it is cancelled, or it is too late."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from dexexec.domain.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The order is `cancelled` and will never be swapped; `seq` is its last event. `repeated`: it was so before."""

    order_id: UUID
    seq: int
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLate:
    """A transaction was signed for the order, or it has `ended`. `attempt` is its newest attempt as JSON values:
    number, venue, signature and outcome."""

    order_id: UUID
    status: Status
    ended: bool
    attempt: Mapping[str, object] | None = None

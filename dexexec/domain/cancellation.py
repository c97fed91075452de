"""What a client can cancel, one order or all that match, and the answers to it."""

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


@dataclass(frozen=True, slots=True)
class Pair:
    """The mints of an order's fields `inputMint` and `outputMint`."""

    input_mint: str
    output_mint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The orders that a client cancels together; None: any. Without `all_open` only those that rest, or rested before
    the try that they are in; with it also those that are executed at once. `owner` is the key whose orders they are."""

    all_open: bool = False
    pair: Pair | None = None
    tag: str | None = None
    owner: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledAll:
    """How many orders were cancelled, and for how many a transaction was signed that can still land."""

    cancelled: int
    too_late: int

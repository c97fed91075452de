"""Direct dispatch, as the store sees it: new orders are claimed for the worker of this process when they are stored.

Between intake and `execution.direct_dispatch`, beside the queue. The claim is an ordinary one: if the process dies, the
sweeper finds the order like any other (docs/adr/0010).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dexexec.store.steps import Claimed


@dataclass(frozen=True, slots=True)
class CapacityReservation:
    """Places for `count` new orders in the worker session `worker`, since `reserved_at` (monotonic seconds)."""

    worker: int
    count: int
    reserved_at: float


class Dispatcher(Protocol):
    """Passes new orders to a worker without the queue. Each reservation must be settled by one call of `take`."""

    def reserve(self, wanted: int) -> CapacityReservation | None:
        """Reserve places for up to `wanted` orders; None without a free place."""

    def take(self, reservation: CapacityReservation, claimed: Sequence[Claimed]) -> bool:
        """Start these orders, which are committed and claimed, and free the other places. Returns False when the
        session has ended: the claims are then void, and the orders go on the queue.

        `claimed` is empty when nothing was committed, or when that is not known. The worker then finds orders that are
        claimed in its name by itself.
        """

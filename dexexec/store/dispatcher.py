"""The short way of a new order: the worker of its own process, if it has room, claims it in the commit that stores it.

Between `intake` and `execution.worker`, beside the queue: an order that is claimed so needs no entry on the stream, no
lease of it and no claim of its own. Nothing else changes. The claim is an ordinary one; whoever dies now, the sweeper
finds the order like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dexexec.store.steps import Claimed


@dataclass(frozen=True, slots=True)
class CapacityReservation:
    """Room for `count` new orders with the session `worker`, reserved at `reserved_at` (monotonic seconds)."""

    worker: int
    count: int
    reserved_at: float


class Dispatcher(Protocol):
    """Takes new orders up without the queue. After `reserve` returned a reservation, `take` must follow, once."""

    def reserve(self, wanted: int) -> CapacityReservation | None:
        """Keep room for up to `wanted` orders; None when there is none."""

    def take(self, reservation: CapacityReservation, claimed: Sequence[Claimed]) -> bool:
        """These are committed and claimed; the room that is left is free again. None, when nothing was committed or
        that is not known: the worker then finds by itself what it holds. False when it is too late, and their claims
        are worth nothing: they go on the queue."""

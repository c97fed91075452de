"""The confirmed orders that this process keeps until they are final, so that they need no claim and no release.

Between the pipeline, which confirms an order, and the finality watcher, which ends it. The worker goes on holding such
an order: when its session ends, the order is free like any other that it held, and a watcher takes it from Postgres.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from dexexec.clock import Clock
from dexexec.execution.job import Job
from dexexec.store import Attempt

MOST_ORDERS = 10_000
"""Orders that are kept in memory. Those beyond are released, and taken from Postgres for each look."""


@dataclass(frozen=True, slots=True)
class WatchedOrder:
    """A confirmed order under this worker's claim, and its open attempt."""

    job: Job
    attempt: Attempt


class WatchedOrders:
    """The orders that the worker session keeps, with the time of their next look."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._orders: dict[UUID, WatchedOrder] = {}
        self._due: dict[UUID, float] = {}  # monotonic seconds
        self._is_open = False

    def __len__(self) -> int:
        return len(self._orders)

    def open(self) -> None:
        """A watcher looks at the orders from now on."""
        self._is_open = True

    def close(self) -> None:
        """No watcher does any more. The session ends, which frees the orders."""
        self._is_open = False
        self._orders.clear()
        self._due.clear()

    def has_room(self) -> bool:
        """Whether an order that is confirmed now can be kept."""
        return self._is_open and len(self._orders) < MOST_ORDERS

    def has(self, order_id: UUID, claim: int) -> bool:
        """Whether that order is kept under that claim."""
        found = self._orders.get(order_id)
        return found is not None and found.job.order.claim == claim

    def add(self, order: WatchedOrder, look_in_ms: float) -> None:
        """Keep an order that is confirmed in Postgres, and still held by this worker."""
        # The session may have ended while its step was written.
        if self._is_open:
            self._orders[order.job.order.id] = order
            self._due[order.job.order.id] = self._clock.monotonic() + look_in_ms / 1_000

    def due(self, network: str) -> list[WatchedOrder]:
        """The orders of that network whose next look is due, those that have waited longest first."""
        now = self._clock.monotonic()
        due = [order_id for order_id, at in self._due.items() if at <= now]
        orders = [self._orders[order_id] for order_id in sorted(due, key=self._due.__getitem__)]
        return [order for order in orders if order.attempt.signed.network == network]

    def look_again(self, orders: Iterable[WatchedOrder], look_in_ms: float) -> None:
        """These orders get another look, unless they are final by then."""
        for order in orders:
            if self._orders.get(order.job.order.id) is order:
                self._due[order.job.order.id] = self._clock.monotonic() + look_in_ms / 1_000

    def remove(self, order: WatchedOrder) -> None:
        """The order has ended, or is no longer confirmed, or another worker has it."""
        if self._orders.get(order.job.order.id) is order:
            del self._orders[order.job.order.id]
            del self._due[order.job.order.id]

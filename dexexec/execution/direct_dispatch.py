"""Gives new orders to the worker of the same process without the queue, while it is empty and the worker has room.

The store claims such orders in the commit that stores them (`dexexec.store.dispatcher`).
"""

from collections.abc import Callable, Sequence

from dexexec.clock import Clock
from dexexec.execution.capacity import Capacity
from dexexec.execution.order_tasks import OrderTasks
from dexexec.store import CapacityReservation, Claimed


class DirectDispatcher:
    """Implements `dexexec.store.Dispatcher`. `changed` is called when there is more room."""

    def __init__(
        self, tasks: OrderTasks, capacity: Capacity, *, enabled: bool, changed: Callable[[], None], clock: Clock
    ) -> None:
        self._tasks = tasks
        self._capacity = capacity
        self._enabled = enabled
        self._changed = changed
        self._clock = clock
        self._session: int | None = None

    def open(self, session: int) -> None:
        """From now on orders may be stored under the claims of this worker session."""
        self._session = session

    def close(self) -> None:
        """Accept no more orders. Those that are being stored now go on the queue."""
        self._session = None

    def reserve(self, wanted: int) -> CapacityReservation | None:
        """Room for orders that are about to be stored, if there is any."""
        if self._session is None or not self._enabled:
            return None
        count = self._capacity.reserve(wanted)
        # The time before the commit: leases and deadlines count from there.
        return CapacityReservation(self._session, count, self._clock.monotonic()) if count else None

    def take(self, reservation: CapacityReservation, claimed: Sequence[Claimed]) -> bool:
        """Start executing the stored orders. False if the session that claimed them is over."""
        self._capacity.release(reservation.count)
        self._changed()
        if self._session != reservation.worker:
            return False
        for order in claimed:
            self._tasks.start(order, reservation.reserved_at, direct=True)
        return True

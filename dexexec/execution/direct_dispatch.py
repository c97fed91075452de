"""New orders that go to the worker of their own process without the queue, while that is empty and there is room.

Between `store.dispatcher`, which claims them when they are stored, and the worker's turns. The room is shared with
the lease loop of `dexexec.execution.worker`: a place is given away once.
"""

from collections.abc import Callable, Sequence

from dexexec.clock import Clock
from dexexec.execution.order_tasks import OrderTasks
from dexexec.store import CapacityReservation, Claimed


class DirectDispatcher:
    """Implements `dexexec.store.Dispatcher`. `concurrency` orders may be in hand; with `paced`, all go over the queue,
    since the pace of execution is kept by leases. `changed` is called when there is more room."""

    def __init__(
        self, turns: OrderTasks, concurrency: int, *, paced: bool, changed: Callable[[], None], clock: Clock
    ) -> None:
        self._turns, self._concurrency, self._paced = turns, concurrency, paced
        self._changed, self._clock = changed, clock
        self._session: int | None = None
        self._leasing = 0  # entries that the queue may give right now
        self._queue_empty = False  # it had less than what was asked for last
        self._reserved = 0  # capacity reserved for new orders that are being stored

    def open(self, session: int) -> None:
        """From now on orders may be stored under the claims of this worker session."""
        self._session, self._queue_empty = session, False

    def close(self) -> None:
        """Take no more. What is being stored now goes on the queue."""
        self._session = None

    # For the store

    def reserve(self, wanted: int) -> CapacityReservation | None:
        """Room for orders that are about to be stored; None unless the queue is empty, so that none waits there longer
        for it."""
        count = min(wanted, self._free() - self._leasing)
        if self._session is None or not self._queue_empty or self._paced or count <= 0:
            return None
        self._reserved += count
        return CapacityReservation(self._session, count, self._clock.monotonic())

    def take(self, reservation: CapacityReservation, claimed: Sequence[Claimed]) -> bool:
        """Start the turns of what was stored under our claim. False when that session is over."""
        self._reserved -= reservation.count
        self._changed()
        if self._session != reservation.worker:
            return False
        for one in claimed:
            self._turns.start(one, reservation.reserved_at, direct=True)
        return True

    # For the lease loop

    def begin_lease(self, most: int) -> int:
        """How many entries to ask the queue for; `end_lease` must follow, unless it is 0.

        While nothing waits on the queue, half of the room is left to new orders that need not go there.
        """
        free = self._free()
        if free <= 0:
            self._queue_empty = False  # what comes meanwhile goes on the queue, and then has the first turn
            return 0
        self._leasing = min(-(-free // 2) if self._queue_empty else free, most)
        return self._leasing

    def learn(self, *, queue_empty: bool) -> None:
        """What the last lease has shown."""
        self._queue_empty = queue_empty

    def end_lease(self) -> None:
        """The entries have come, and those of them that are claimed are in hand."""
        self._leasing = 0

    def _free(self) -> int:
        return self._concurrency - len(self._turns) - self._reserved

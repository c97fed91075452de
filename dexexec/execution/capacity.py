"""Counts how many more orders a worker may execute. The lease loop and direct dispatch share this capacity."""

from dexexec.execution.order_tasks import OrderTasks


class Capacity:
    """Room for `concurrency` orders, less those that are executed and those that either side has reserved."""

    def __init__(self, tasks: OrderTasks, concurrency: int) -> None:
        self._tasks = tasks
        self._concurrency = concurrency
        self._leasing = 0
        self._reserved = 0
        self._queue_empty = False

    def reset(self) -> None:
        """A new worker session has begun: the state of the queue is unknown."""
        self._queue_empty = False

    # For direct dispatch

    def reserve(self, wanted: int) -> int:
        """Reserve room for up to `wanted` new orders; `release` must follow, unless it is 0."""
        # While orders wait on the queue, new ones go there as well: they must not overtake.
        count = min(wanted, self._free() - self._leasing)
        if not self._queue_empty or count <= 0:
            return 0
        self._reserved += count
        return count

    def release(self, count: int) -> None:
        """The orders are executed, or were not stored."""
        self._reserved -= count

    # For the lease loop

    def begin_lease(self, limit: int) -> int:
        """How many entries to request from the queue; `end_lease` must follow, unless it is 0."""
        free = self._free()
        if free <= 0:
            # Orders that arrive now go on the queue, and must be executed before later ones.
            self._queue_empty = False
            return 0
        # The request blocks for a while when the queue is empty. Half of the room is left to direct dispatch meanwhile,
        # rounded in favour of the queue, so that one free place is still leased.
        self._leasing = min(-(-free // 2) if self._queue_empty else free, limit)
        return self._leasing

    def queue_seen(self, *, empty: bool) -> None:
        """Whether the last lease emptied the queue."""
        self._queue_empty = empty

    def end_lease(self) -> None:
        """The entries were delivered, and the orders that were claimed are executed."""
        self._leasing = 0

    def _free(self) -> int:
        return self._concurrency - len(self._tasks) - self._reserved

"""The arrays of pools whose price needs more accounts than the pool itself: bins or ticks around the price."""

from collections.abc import Callable, Iterable

MAX_ARRAYS = 16
"""Arrays of one pool that a quote reads at most. A transaction could not name many more."""
KEPT_SECONDS = 60.0
"""An array that a large swap needed is read for so long with the pool. Then it is forgotten, until one needs it."""
MOST_POOLS = 1_024
"""Pools whose arrays are remembered, the last read ones."""


class MoreNeeded(Exception):  # noqa: N818 - no error: a swap reaches farther than the arrays that were read
    """The price of a pool depends on these accounts too, and they were not read. They may not exist."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self.addresses = tuple(dict.fromkeys(addresses))
        super().__init__(f"accounts that were not read are needed: {', '.join(self.addresses)}")


class KnownArrays:
    """The arrays to read with each pool: those around its price, and those that swaps needed lately by the monotonic
    clock `now` (seconds)."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._around: dict[str, tuple[str, ...]] = {}
        self._needed: dict[str, dict[str, float]] = {}

    def of(self, pool: str) -> tuple[str, ...]:
        """The arrays of a pool that are known to be needed."""
        oldest = self._now() - KEPT_SECONDS
        lately = (address for address, at in self._needed.get(pool, {}).items() if at > oldest)
        return tuple(dict.fromkeys((*self._around.get(pool, ()), *lately)))[:MAX_ARRAYS]

    def move(self, pool: str, around: Iterable[str]) -> bool:
        """The pool's price is among these arrays now. Returns whether one of them was not known."""
        known = self.of(pool)
        # Read or not, the pool counts as the last one that was used: a dict keeps the order of insertion.
        self._around.pop(pool, None)
        self._around[pool] = tuple(around)[:MAX_ARRAYS]
        while len(self._around) > MOST_POOLS:
            oldest = next(iter(self._around))
            del self._around[oldest]
            self._needed.pop(oldest, None)
        return not {*self._around[pool]} <= {*known}

    def add(self, pool: str, addresses: Iterable[str]) -> bool:
        """A swap needs these too. Returns whether they are read with the pool from now on: False if they are too many.

        Those that are known already count as well: another quote may have added them a moment ago.
        """
        wanted = dict.fromkeys(addresses)
        if len({*self.of(pool), *wanted}) > MAX_ARRAYS:
            # What earlier swaps needed may lie far from today's price.
            self._needed.pop(pool, None)
        if len({*self.of(pool), *wanted}) > MAX_ARRAYS:
            return False
        self._needed.setdefault(pool, {}).update(dict.fromkeys(wanted, self._now()))
        return True

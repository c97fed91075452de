"""Resting orders sorted by the rate at which they fire: which of them a rate crosses costs as much as there are.

The order is that of price and time: first the order that the moving price reaches first, then the older one.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from dexexec.resting.conditions import Fires, WatchedOrder

Entry = tuple[int, datetime, int, WatchedOrder]
"""Sorted by rate, creation and id. The id is unique, so two orders are never compared."""

BUCKET = 512
"""An insertion moves the entries behind it. In one long list these would be all orders, here they are one bucket's."""


class PriceBook:
    """Orders that fire on one side of their rate, each with the key of its rate (`conditions.key_of`)."""

    def __init__(self, fires: Fires) -> None:
        # A rising rate reaches the lowest key first, a falling one the highest: with its sign turned it is the first
        # too.
        self._sign = 1 if fires is Fires.AT_OR_ABOVE else -1
        self._entries: dict[UUID, Entry] = {}
        self._buckets: list[list[Entry]] = []
        self._lasts: list[Entry] = []  # of each bucket, to find the right one

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, order: WatchedOrder, key: int) -> None:
        """Add an order that is not in the book."""
        entry = (self._sign * key, order.created_at, order.id.int, order)
        self._entries[order.id] = entry
        if not self._buckets:
            self._buckets.append([entry])
            self._lasts.append(entry)
            return
        place = min(bisect_left(self._lasts, entry), len(self._lasts) - 1)
        bucket = self._buckets[place]
        insort(bucket, entry)
        # Split in the middle: both halves take as many entries again before they are split themselves.
        if len(bucket) > 2 * BUCKET:
            self._buckets[place : place + 1] = bucket[:BUCKET], bucket[BUCKET:]
            self._lasts[place : place + 1] = bucket[BUCKET - 1], bucket[-1]
        else:
            self._lasts[place] = bucket[-1]

    def remove(self, order_id: UUID) -> None:
        """Remove an order. One that is not in the book is ignored."""
        entry = self._entries.pop(order_id, None)
        if entry is None:
            return
        place = bisect_left(self._lasts, entry)
        bucket = self._buckets[place]
        del bucket[bisect_left(bucket, entry)]
        # Half-empty buckets are not merged: they are few against the orders, and the next entries fill them.
        if bucket:
            self._lasts[place] = bucket[-1]
        else:
            del self._buckets[place], self._lasts[place]

    def crosses(self, key: int) -> bool:
        """Whether a rate with this key reaches any order."""
        return bool(self._buckets) and self._buckets[0][0][0] <= self._sign * key

    def crossed(self, key: int) -> Iterator[WatchedOrder]:
        """The orders that a rate with this key reaches, by price and time. Do not change the book meanwhile."""
        for bucket in self._buckets:
            for entry in bucket:
                if entry[0] > self._sign * key:
                    return
                yield entry[3]

    def orders(self) -> Iterator[WatchedOrder]:
        """All orders, in order of price and time."""
        return (entry[3] for bucket in self._buckets for entry in bucket)

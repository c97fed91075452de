"""Groups resting orders by what one quote can watch: a market, the side on which they fire, and a band of sizes.

A quote for the smallest size of a band is never worse than those of its other orders, so it shows which orders that
wait for a better rate can have been reached. For orders that wait for a worse rate it is the largest size. Neither is
enough to trigger an order: a quote for its own size decides.
"""

from collections.abc import Iterable, Iterator
from uuid import UUID

from dexexec.resting.conditions import Fires, Market, WatchedOrder, key_of, rate_of
from dexexec.resting.price_book import PriceBook

UNMARKED = -1
"""The key of a trailing stop without a high-water mark: any rate is above it."""
REMEASURE = 64
"""Removed orders after which a band measures its sizes again, at least."""


class Band:
    """The orders of a group whose sizes are within a factor of four. `smallest` and `largest` may still be those of an
    order that was removed: the bounds are a little wider then, and still true."""

    def __init__(self, fires: Fires) -> None:
        self.book = PriceBook(fires)
        self.smallest = 0
        self.largest = 0
        self.impact_ppm = 0
        """The strictest limit for the price impact."""
        self._removed = 0

    def add(self, order: WatchedOrder, key: int) -> None:
        """Add an order."""
        self.book.add(order, key)
        if len(self.book) == 1:
            self._measure([order])
        else:
            self.smallest = min(self.smallest, order.amount)
            self.largest = max(self.largest, order.amount)
            self.impact_ppm = min(self.impact_ppm, order.impact_ppm)

    def remove(self, order_id: UUID) -> None:
        """Remove an order."""
        self.book.remove(order_id)
        self._removed += 1
        # As many removals as orders pay for the look at all of them.
        if self._removed > max(REMEASURE, len(self.book)):
            self._measure(list(self.book.orders()))

    def sizes(self) -> list[int]:
        """The different sizes, smallest first. Looks at every order: only for the case that the edge has no quote."""
        return sorted({order.amount for order in self.book.orders()})

    def _measure(self, orders: Iterable[WatchedOrder]) -> None:
        self._removed = 0
        amounts = []
        limits = []
        for order in orders:
            amounts.append(order.amount)
            limits.append(order.impact_ppm)
        if amounts:
            self.smallest, self.largest, self.impact_ppm = min(amounts), max(amounts), min(limits)


class Group:
    """All orders of a market that fire on one side, by band, from the smallest sizes to the largest."""

    def __init__(self, market: Market, fires: Fires) -> None:
        self.market = market
        self.fires = fires
        self._bands: dict[int, Band] = {}

    def __len__(self) -> int:
        return sum(len(band.book) for band in self._bands.values())

    def bands(self) -> list[Band]:
        """The bands that have orders; first the one whose quote bounds the rates of all others."""
        ordered = [band for _, band in sorted(self._bands.items())]
        return ordered if self.fires is Fires.AT_OR_ABOVE else ordered[::-1]

    def add(self, order: WatchedOrder, key: int) -> None:
        """Add an order with the key of its rate."""
        number = band_of(order.amount)
        if number not in self._bands:
            self._bands[number] = Band(self.fires)
        self._bands[number].add(order, key)

    def remove(self, order: WatchedOrder) -> None:
        """Remove an order."""
        number = band_of(order.amount)
        if number in self._bands:
            self._bands[number].remove(order.id)
            if not len(self._bands[number].book):
                del self._bands[number]


class Watches:
    """All resting orders that wait for a price."""

    def __init__(self) -> None:
        self._orders: dict[UUID, WatchedOrder] = {}
        self._groups: dict[tuple[Market, Fires], Group] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[WatchedOrder]:
        return iter(self._orders.values())

    def get(self, order_id: UUID) -> WatchedOrder | None:
        """The order, if it is watched."""
        return self._orders.get(order_id)

    def holds(self, order: WatchedOrder) -> bool:
        """Whether this very object is watched: a change replaces it."""
        return self._orders.get(order.id) is order

    def put(self, order: WatchedOrder) -> None:
        """Watch an order, in the place of an earlier version of it."""
        self.remove(order.id)
        self._orders[order.id] = order
        if not order.trail_bps:
            self._group(order.market, order.fires).add(order, order.key)
            return
        # A trailing stop waits on both sides: below for its trigger, above for a new high-water mark.
        mark = UNMARKED
        if order.best is not None:
            mark = key_of(rate_of(order.market.mode, order.amount, order.best))
            self._group(order.market, Fires.AT_OR_BELOW).add(order, order.key)
        self._group(order.market, Fires.AT_OR_ABOVE).add(order, mark)

    def remove(self, order_id: UUID) -> None:
        """Stop watching an order. One that is not watched is ignored."""
        order = self._orders.pop(order_id, None)
        if order is None:
            return
        for fires in Fires:
            group = self._groups.get((order.market, fires))
            if group is not None:
                group.remove(order)
                if not group.bands():
                    del self._groups[order.market, fires]

    def raise_best(self, order: WatchedOrder, best: int) -> None:
        """Give a trailing stop another high-water mark."""
        # Removed first: the books find an entry by the key that it was added with.
        self.remove(order.id)
        order.raise_best(best)
        self.put(order)

    def groups(self) -> list[Group]:
        """All groups, stops before limits: protection comes first."""
        return sorted(self._groups.values(), key=lambda group: group.fires is Fires.AT_OR_ABOVE)

    def _group(self, market: Market, fires: Fires) -> Group:
        if (market, fires) not in self._groups:
            self._groups[market, fires] = Group(market, fires)
        return self._groups[market, fires]


def band_of(amount: int) -> int:
    """The band of a size: each is four times as wide as the one below, so that there are at most 32."""
    return amount.bit_length() // 2

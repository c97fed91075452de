"""Raises the high-water marks of trailing stops, for the oracle: by a quote for the order's own size.

A rising price raises the marks of all trailing stops of its market at once. Beyond a number of different sizes, one
quote for the largest of the others stands for them: it bounds their prices from below, so no mark is too high.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from dexexec.resting.conditions import (
    Executable,
    Fires,
    Market,
    WatchedOrder,
    executable,
    lowest_rate,
    other_amount,
)
from dexexec.resting.quotes import OracleQuotes
from dexexec.resting.reference_check import Reference
from dexexec.resting.watched_order import high_water_of
from dexexec.resting.watches import Watches
from dexexec.store import HighWater

OWN_SIZES = 200
"""Different sizes of a market that get a quote of their own in a turn."""
PER_COMMIT = 1_000


class MarkStore(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def raise_high_water(self, marks: Sequence[HighWater]) -> None:
        """Raise high-water marks in one commit; a lower mark changes nothing."""


Risen = list[tuple[WatchedOrder, int]]
"""Orders with their new marks."""


class HighWaterMarks:
    """Follows prices upwards."""

    def __init__(self, store: MarkStore, quotes: OracleQuotes, reference: Reference) -> None:
        self._store = store
        self._quotes = quotes
        self._reference = reference

    async def follow(self, watches: Watches, market: Market, orders: Iterable[WatchedOrder]) -> None:
        """Raise the marks of those orders whose price is better than their mark. Raises `UnavailableError`."""
        # Orders without a mark first, then those whose price is the furthest from theirs.
        waiting = sorted(orders, key=lambda order: (order.best is not None, order.key))
        sizes = list(dict.fromkeys(order.amount for order in waiting))
        own = dict.fromkeys(sizes[:OWN_SIZES])
        risen = await self._by_own_size(market, [order for order in waiting if order.amount in own], list(own))
        others = [order for order in waiting if order.amount not in own]
        if others:
            risen += await self._by_largest(market, others)
        for begin in range(0, len(risen), PER_COMMIT):
            await self._raise(watches, risen[begin : begin + PER_COMMIT])

    async def _by_own_size(self, market: Market, orders: Sequence[WatchedOrder], sizes: Sequence[int]) -> Risen:
        routings = await asyncio.gather(*(self._quotes.believed(market, size) for size in sizes))
        quotes = dict(zip(sizes, routings, strict=True))
        risen: Risen = []
        for order in orders:
            deal = executable(quotes[order.amount], order.impact_ppm)
            if deal is not None and order.is_better(deal.net) and await self._agrees(market, deal):
                risen.append((order, deal.net))
        return risen

    async def _by_largest(self, market: Market, orders: Sequence[WatchedOrder]) -> Risen:
        amounts = [order.amount for order in orders]
        routing = await self._quotes.believed(market, max(amounts))
        strictest = min(order.impact_ppm for order in orders)
        deal = executable(routing, strictest)
        if deal is None or not await self._agrees(market, deal):
            return []
        rate = lowest_rate(routing.ranking, strictest, min(amounts))
        if rate <= 0:
            return []  # the network's fee takes all of the smallest size
        marks = [other_amount(market.mode, order.amount, rate, Fires.AT_OR_BELOW) for order in orders]
        return [(order, mark) for order, mark in zip(orders, marks, strict=True) if mark and order.is_better(mark)]

    async def _agrees(self, market: Market, deal: Executable) -> bool:
        # A mark that nothing else confirms would let the stop trail a price that never was.
        return (await self._reference.agreement(market, deal)).holds

    async def _raise(self, watches: Watches, risen: Risen) -> None:
        # Stored before it is used: what a stop trails after a restart is never lower than what it trailed before.
        marks = [
            HighWater(order_id=order.id, version=order.version, rate=high_water_of(order, best))
            for order, best in risen
        ]
        await self._store.raise_high_water(marks)
        for order, best in risen:
            watches.raise_best(order, best)

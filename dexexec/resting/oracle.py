"""The oracle: triggers resting orders whose price is reached. A duty of the leader; a worker executes what it triggers.

A turn reads what has changed, quotes each group of orders once, and gets a fresh quote for the size of every order that
may have been reached: a tick is never believed alone. Only that quote decides.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar
from uuid import UUID

from dexexec.clock import Clock
from dexexec.domain.token import Tokens
from dexexec.observe.observer import Observer
from dexexec.resting.conditions import Executable, Fires, Market, WatchedOrder, executable
from dexexec.resting.crossings import find_crossed
from dexexec.resting.due_queue import DueQueue
from dexexec.resting.high_water import HighWaterMarks, MarkStore
from dexexec.resting.quotes import OracleQuotes
from dexexec.resting.record import RestingRecord, RestingStore
from dexexec.resting.reference_check import Agreement, Reference
from dexexec.resting.share_sizes import ShareSizes
from dexexec.resting.trigger_detail import disagreement_detail, trigger_detail
from dexexec.resting.wakes import enqueue
from dexexec.resting.watched_order import UnwatchableError, watched_order
from dexexec.store import RestingNote, RestingOrder, Triggering
from dexexec.venues.router import Routing

T = TypeVar("T")

AT_ONCE = 250
"""Orders that are decided together. The first of a thousand do not wait for the quotes of the last."""


class OracleStore(RestingStore, MarkStore, Protocol):
    """The part of `dexexec.store.Store` that the oracle uses."""

    async def trigger(self, items: Sequence[Triggering]) -> list[UUID]:
        """Trigger orders in one commit; returns those that still rested at their version, in the given order."""

    async def note_resting(self, notes: Sequence[RestingNote]) -> None:
        """Add an event to orders that rest on, in one commit."""


class Oracle:
    """A duty of the leader. `max_price_impact_bps` is for orders without a limit of their own."""

    name = "triggering orders by price"

    def __init__(
        self,
        store: OracleStore,
        queue: DueQueue,
        quotes: OracleQuotes,
        reference: Reference,
        *,
        sizes: ShareSizes,
        tokens: Tokens,
        max_price_impact_bps: int,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._store = store
        self._queue = queue
        self._quotes = quotes
        self._reference = reference
        self._marks = HighWaterMarks(store, quotes, reference)
        self._sizes = sizes
        self._tokens = tokens
        self._max_price_impact_bps = max_price_impact_bps
        self._clock = clock
        self._observer = observer
        self._record = self._new_record()

    def resign(self) -> None:
        """Forget the orders: another process watches them."""
        # A turn that is under way ends with the record that it began with.
        self._record = self._new_record()

    async def turn(self) -> None:
        """Trigger what is reached now. Raises `UnavailableError`."""
        record = self._record
        await record.refresh()
        await record.resize(self._sizes.changed(record.watches))
        groups = record.watches.groups()
        # All groups at once: the quotes themselves are limited, and no group waits for another one's venue.
        crossed = await asyncio.gather(*(find_crossed(group, self._quotes) for group in groups))
        held: set[UUID] = set()
        now = self._clock.monotonic()
        for group, orders in zip(groups, crossed, strict=True):
            waiting = [order for order in orders if order.fires is group.fires and order.quiet_until <= now]
            for chunk in _chunks(_by_price_and_time(waiting, group.fires), AT_ONCE):
                held |= await self._decide(record, group.market, chunk)
        record.end_disagreements(held)
        # After the triggers, which must not wait for marks: a rising price raises those of all trailing stops.
        for group, orders in zip(groups, crossed, strict=True):
            marks = [order for order in orders if order.fires is not group.fires and record.watches.holds(order)]
            if marks:
                await self._marks.follow(record.watches, group.market, marks)

    async def _decide(self, record: RestingRecord, market: Market, orders: Sequence[WatchedOrder]) -> set[UUID]:
        """Trigger those of the orders whose own quote reaches their price; returns those that the reference holds
        back."""
        quotes = await self._fresh_quotes(market, orders)
        fired: list[tuple[WatchedOrder, Executable]] = []
        held: list[tuple[WatchedOrder, Executable, Agreement]] = []
        for order in orders:
            deal = executable(quotes[order.amount], order.impact_ppm)
            if deal is None or not order.fires_at(deal.net):
                continue
            agreement = await self._reference.agreement(market, deal)
            if agreement.holds:
                fired.append((order, deal))
            else:
                held.append((order, deal, agreement))
        await self._trigger(record, fired)
        await self._note(record, held)
        return {order.id for order, _, _ in held}

    async def _fresh_quotes(self, market: Market, orders: Iterable[WatchedOrder]) -> dict[int, Routing]:
        """A quote for each different size."""
        amounts = list(dict.fromkeys(order.amount for order in orders))
        routings = await asyncio.gather(*(self._quotes.believed(market, amount) for amount in amounts))
        return dict(zip(amounts, routings, strict=True))

    async def _trigger(self, record: RestingRecord, fired: Sequence[tuple[WatchedOrder, Executable]]) -> None:
        if not fired:
            return
        # In the order of price and time. The store answers in this order, and so they get on the queue.
        items = [
            Triggering(order_id=order.id, version=order.version, detail=trigger_detail(order, deal), stop=order.stop)
            for order, deal in fired
        ]
        triggered = await self._store.trigger(items)
        await enqueue(self._queue, triggered)
        for order_id in triggered:
            record.watches.remove(order_id)
        # Cancelled, amended, triggered by another leader, or locked by one that tries: the row decides.
        refused = {order.id for order, _ in fired} - set(triggered)
        if refused:
            await record.read_again(refused)

    async def _note(self, record: RestingRecord, held: Sequence[tuple[WatchedOrder, Executable, Agreement]]) -> None:
        """Write an event for the orders whose trigger the reference holds back, once for each time that it does."""
        new = [(order, deal, agreement) for order, deal, agreement in held if not order.disagreed]
        if not new:
            return
        notes = [
            RestingNote(order_id=order.id, version=order.version, detail=disagreement_detail(order, deal, agreement))
            for order, deal, agreement in new
        ]
        await self._store.note_resting(notes)
        for order, _, _ in new:
            record.hold(order)

    def _new_record(self) -> RestingRecord:
        return RestingRecord(self._store, self._read, self._clock)

    def _read(self, row: RestingOrder) -> WatchedOrder | None:
        try:
            row = self._sizes.sized(row)
            return watched_order(row, self._tokens, self._max_price_impact_bps, self._clock.monotonic())
        except (UnwatchableError, ValueError, ArithmeticError) as error:
            # A row that was damaged by hand must not keep the orders behind it from being watched.
            self._observer.order_unwatchable(row.id, str(error) or type(error).__name__)
            return None


def _by_price_and_time(orders: Iterable[WatchedOrder], fires: Fires) -> Iterator[WatchedOrder]:
    """First the orders that the price reached first, and of these the oldest."""
    sign = 1 if fires is Fires.AT_OR_ABOVE else -1
    return iter(sorted(orders, key=lambda order: (sign * order.key, order.created_at, order.id.int)))


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(islice(items, size)):
        yield chunk

"""Orders in a real Postgres and on a real queue, and what became of them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dexexec.broker.queue import Queue
from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder
from dexexec.domain.status import TRANSITIONS, Status
from dexexec.store import Store
from tests.support.parts import new_order
from tests.support.waiting import until

PAUSE = 0.005
"""Seconds between two reads of an order's events."""


@dataclass(kw_only=True)
class OrdersOnServers:
    """A store and a queue. Subclasses add the workers."""

    store: Store
    queue: Queue

    async def post(self, order: NewOrder | None = None) -> UUID:
        """Store an order and put it on the queue."""
        order = order or new_order()
        await self.store.create(order)
        await self.queue.enqueue([order.id])
        return order.id

    async def events(self, order_id: UUID) -> list[Event]:
        """Everything that happened to an order so far."""
        return (await self.store.events_after([(order_id, 0)]))[order_id]

    async def view(self, order_id: UUID) -> Any:
        """The order as GET shows it."""
        return await self.store.order(order_id)

    async def ended(self, order_id: UUID) -> list[Event]:
        """Its events, once it has ended; promise 7 is checked on the way."""

        async def final() -> list[Event]:
            events = await self.events(order_id)
            return events if events[-1].final else []

        events: list[Event] = await until(final, pause=PAUSE)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        for before, after in itertools.pairwise(events):
            assert after.status in TRANSITIONS[before.status].values()
        return events

    async def reached(self, order_id: UUID, *statuses: Status) -> None:
        """Wait until an order has been in these, in this order."""

        async def there() -> bool:
            seen = iter([event.status for event in await self.events(order_id)])
            return all(status in seen for status in statuses)

        await until(there, pause=PAUSE)


def statuses_of(events: Sequence[Event]) -> list[str]:
    """The statuses of an order, one per event."""
    return [event.status.value for event in events]

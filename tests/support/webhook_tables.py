"""The tables of webhooks, in memory or in Postgres, with what tests do to them again and again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from secrets import randbelow
from typing import Any
from uuid import UUID, uuid4

from dexexec.clock import Clock, SystemClock
from dexexec.domain.webhook import ClaimedDelivery, DeliveryState, NewWebhook, PlannedDelivery
from dexexec.store import Address, EventReader, Store
from dexexec.store.webhook_claims import ClaimTable
from dexexec.store.webhook_outcomes import OutcomeTable
from dexexec.store.webhook_planning import PlanningTable
from dexexec.store.webhooks import EventStream, WebhookTable
from dexexec.webhooks.ports import Claiming
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.events import MemoryEventReader
from tests.support.fakes.store import MemoryStore
from tests.support.fakes.webhooks import MemoryWebhooks
from tests.support.parts import open_database, running

MINE, OTHERS = 1, 2
LIMITS: dict[str, Any] = {"limit": 100, "per_webhook": 4, "per_owner": 100}
FIRST = "whsec_first"
LONG_AGO = datetime(2026, 1, 31, 12, tzinfo=UTC)
NO_PAUSE: dict[str, Any] = {"pause": 0.0, "probe_pause": 0.0}


@dataclass(frozen=True)
class Tables:
    """The tables, a session that claims, and the store of the orders."""

    doors: WebhookTable | MemoryWebhooks
    planning: PlanningTable | MemoryWebhooks
    claims: ClaimTable | MemoryWebhooks
    outcomes: OutcomeTable | MemoryWebhooks
    session: Claiming
    store: Store
    stream: EventStream

    async def made(self, **values: Any) -> UUID:
        """A new webhook."""
        return (await self.doors.create(webhook(**values))).id

    async def planned(self, webhook_id: UUID, *events: tuple[UUID, int]) -> None:
        """Deliveries of events to a webhook that is at its first position."""
        [found] = [each for each in await self.planning.active() if each.id == webhook_id]
        rows = [delivery(webhook_id, order_id, seq) for order_id, seq in events]
        assert await self.planning.plan([webhook_id], found.position, found.position, rows, known_until=None) == len(
            rows
        )

    async def claimed(
        self, lease: str = "lease", session: Claiming | None = None, **limits: Any
    ) -> list[ClaimedDelivery]:
        """What can be tried now, for a minute."""
        return await (session or self.session).claim(lease, **{"seconds": 60.0, **LIMITS, **limits})

    async def states(self, webhook_id: UUID) -> list[tuple[int, DeliveryState]]:
        """The `seq` and state of each delivery, by its id."""
        found = await self.doors.deliveries(webhook_id, None, None, 100, None)
        assert found is not None
        return [(each.seq, each.state) for each in reversed(found)]


def webhook(name: str = "hook", owner: int | None = MINE, **values: Any) -> NewWebhook:
    new = NewWebhook(
        id=uuid4(),
        owner=owner,
        all_orders=owner is None,
        name=name,
        url="https://hooks.example/secret-path",
        statuses=frozenset(),
        secret=FIRST,
    )
    return replace(new, **values)


def delivery(webhook_id: UUID, order_id: UUID, seq: int) -> PlannedDelivery:
    return PlannedDelivery(
        webhooks=(webhook_id,), order_id=order_id, seq=seq, type="order.routing", payload=f'{{"seq":{seq}}}'
    )


def memory_webhooks(clock: Clock) -> MemoryWebhooks:
    """The fake on an empty database."""
    database = MemoryDatabase()
    return MemoryWebhooks(MemoryEventReader(database), MemoryStore(database, lambda _: None).port, clock)


@asynccontextmanager
async def open_memory_tables(clock: Clock) -> AsyncIterator[Tables]:
    """The fakes."""
    database = MemoryDatabase()
    store = MemoryStore(database, lambda _: None).port
    stream = MemoryEventReader(database)
    memory = MemoryWebhooks(stream, store, clock)
    yield Tables(memory, memory, memory, memory, await memory.begin_session(), store, stream)


@asynccontextmanager
async def open_postgres_tables(address: Address) -> AsyncIterator[Tables]:
    """The real ones."""
    clock = SystemClock()
    async with open_database(address) as database:
        store = Store(database, lambda _: None, clock)
        stream = EventReader(database)
        doors = WebhookTable(database, stream, store, new_id=uuid4, clock=clock)
        claims = ClaimTable(database, lambda: randbelow(2**31))
        session = await claims.begin_session()
        async with running(store.run()):
            yield Tables(doors, PlanningTable(database), claims, OutcomeTable(database), session, store, stream)
        await session.end()

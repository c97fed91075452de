"""Orders with a past: what tests of the archive and of retention put into the store."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow

from dexexec.clock import SystemClock
from dexexec.domain.event import Detail
from dexexec.domain.order_filter import OrderFilter
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.execution.archiver import Archiver
from dexexec.observe.observer import Observer, make_logger
from dexexec.store import Address, Claimed, Resolution, Store
from tests.support.parts import open_database
from tests.support.prepared_orders import claimed_by, one_order, step, submitted

LANDED = Resolution(1, Outcome.LANDED, {"slot": 7})


class ArchiveSetup:
    """A store, and the clock's hand on its rows."""

    def __init__(self, address: Address, store: Store) -> None:
        self.address, self.store = address, store

    async def claimed(self, **about: Any) -> Claimed:
        """A new order under a claim whose worker has just gone."""
        order_id = await one_order(self.store, **about)
        worker = await self.store.begin("w", 20)
        claimed = await claimed_by(self.store, worker, order_id)
        await worker.end()
        return claimed

    async def write(self, claimed: Claimed, version: int, *events: tuple[Status, Detail], **more: Any) -> None:
        """One step."""
        assert await self.store.advance(step(claimed, version, *events, **more))

    async def submitted(self, **about: Any) -> Claimed:
        """An order whose attempt is open."""
        claimed = await self.claimed(**about)
        await submitted(self.store, claimed, uuid4().hex)
        return claimed

    async def confirm(self, claimed: Claimed, *, final: bool = True) -> None:
        """Its swap has landed; for good, or not yet."""
        resolution = LANDED if final else Resolution(1, None, {"slot": 7})
        event = (Status.CONFIRMED, {"price": "151.1", "txHash": "t", "networkFee": 5000})
        await self.write(claimed, 4, event, final=final, fill=Fill(10, 20, 5000, 7), resolution=resolution)

    async def confirmed(self, days: float = 0, **about: Any) -> UUID:
        """An order that ended well, so many days ago."""
        claimed = await self.submitted(**about)
        await self.confirm(claimed)
        self.age(days, claimed.order.id)
        return claimed.order.id

    async def failed(self, days: float = 0, **about: Any) -> UUID:
        """An order that ended before anything was sent, so many days ago."""
        claimed = await self.claimed(**about)
        await self.write(claimed, 1, (Status.FAILED, {"reason": "no-route"}), final=True, reason="no-route")
        self.age(days, claimed.order.id)
        return claimed.order.id

    def age(self, days: float, *order_ids: UUID) -> None:
        """Everything of these orders was so many days earlier."""
        for statement in (
            "UPDATE orders SET created_at = created_at - %s, finished_at = finished_at - %s WHERE id = ANY(%s)",
            "UPDATE order_events SET at = at - %s WHERE order_id = ANY(%s)",
            "UPDATE idempotency_keys SET created_at = created_at - %s WHERE order_id = ANY(%s)",
        ):
            shifts = [timedelta(days=days)] * (statement.count("%s") - 1)
            self.sql(statement, *shifts, list(order_ids))

    def sql(self, statement: str, *values: object) -> list[TupleRow]:
        """One statement, on a session of its own."""
        with psycopg.connect(self.address.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        """Rows in a table."""
        return int(self.sql(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - our own words

    def partitions(self) -> list[str]:
        """The archive's tables."""
        return [
            name for (name,) in self.sql("SELECT relid::text FROM pg_partition_tree('archived_orders') WHERE isleaf")
        ]

    async def everything(self, order_ids: Iterable[UUID]) -> list[object]:
        """Everything that the store returns about these orders."""
        ids = list(order_ids)
        statuses = (frozenset[Status](), *(frozenset({s}) for s in (Status.CONFIRMED, Status.FAILED, Status.PENDING)))
        pages = [await self.store.orders(100, None, OrderFilter(statuses=some)) for some in statuses]
        events, versions = await self.store.events_after([(i, 1) for i in ids]), await self.store.versions(ids)
        return [[await self.store.order(order_id) for order_id in ids], events, versions, pages]


@asynccontextmanager
async def open_retention(
    address: Address, days: int = 30, observer: Observer | None = None, rest: timedelta = timedelta(0)
) -> AsyncIterator[Archiver]:
    """The archiver as in a worker process; by default, orders are archived as soon as they have ended."""
    async with open_database(address) as database:
        observer = observer or Observer(make_logger("error"))
        yield Archiver(database, days, clock=SystemClock(), observer=observer, rest=rest)

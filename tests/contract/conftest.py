"""The stores that keep one contract, and the comparisons of them with a chain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.event import Event
from dexexec.store import Address, ChainComparisons, Store
from tests.support.fakes.comparisons import MemoryComparisons
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.store import MemoryStore
from tests.support.parts import open_database, open_store, running
from tests.support.prepared_orders import Announce, Open, OpenRecord, Record


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> Open:
    """Opens stores on one database."""
    if request.param == "memory":
        database = MemoryDatabase()

        @asynccontextmanager
        async def open_memory(announce: Announce = lambda _: None) -> AsyncIterator[Store]:
            yield MemoryStore(database, announce).port

        return open_memory
    address: Address = request.getfixturevalue("database_address")

    @asynccontextmanager
    async def open_postgres(announce: Announce = lambda _: None) -> AsyncIterator[Store]:
        async with open_store(address, announce) as store:
            yield store

    return open_postgres


@pytest.fixture(params=["memory", "postgres"])
def records(request: pytest.FixtureRequest) -> OpenRecord:
    """Opens a store, and what it is compared with a chain by."""

    @asynccontextmanager
    async def open_memory() -> AsyncIterator[Record]:
        memory, announced = MemoryDatabase(), list[Event]()
        comparisons = MemoryComparisons(memory, announced.extend).port
        yield Record(MemoryStore(memory, announced.extend).port, comparisons, announced)

    if request.param == "memory":
        return open_memory
    address: Address = request.getfixturevalue("database_address")

    @asynccontextmanager
    async def open_postgres() -> AsyncIterator[Record]:
        announced = list[Event]()
        async with open_database(address) as database:
            store = Store(database, announced.extend, SystemClock())
            async with running(store.run()):
                record = Record(store, ChainComparisons(database, announced.extend), announced)
                try:
                    yield record
                finally:
                    for worker in record.workers:
                        await worker.end()

    return open_postgres

"""The stores that keep one contract."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dexexec.store import Address, Store
from tests.contract.store_scene import Announce, Open
from tests.fakes.database import MemoryDatabase
from tests.fakes.store import MemoryStore
from tests.parts import open_store


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

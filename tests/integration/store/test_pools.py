"""Connections to Postgres of their own for new orders, for reads and for the worker: none waits for another's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.store import Address, Database, Step, Store
from tests.support.parts import new_order, open_database, running
from tests.support.waiting import until


@asynccontextmanager
async def store_of_three_pools(address: Address) -> AsyncIterator[tuple[Store, dict[str, Database]]]:
    """A store with one connection of each kind."""
    async with open_database(address):
        pools = {name: Database(address, size=1, timeout=0.5) for name in ("work", "orders", "reads")}
        for pool in pools.values():
            await pool.open()
        store = Store(
            pools["work"], lambda _: None, SystemClock(), for_orders=pools["orders"], for_reads=pools["reads"]
        )
        async with running(store.run()):
            yield store, pools
        for pool in pools.values():
            await pool.close()


async def test_orders_are_taken_and_executed_while_readers_hold_all_their_connections(
    database_address: Address,
) -> None:
    async with store_of_three_pools(database_address) as (store, pools), pools["reads"].connection():
        order = new_order()
        assert (await store.create(order)).order_id == order.id
        session = await store.begin("w", 20)
        (claimed,) = await store.claim(session.id, [order.id])
        assert await store.advance(
            Step(order_id=order.id, claim=claimed.order.claim, version=1, events=((Status.ROUTING, {}),))
        )
        for read in (store.order(order.id), store.orders(1, None), store.versions([])):
            with pytest.raises(UnavailableError):
                await read
        await session.end()


async def test_orders_are_taken_and_read_while_the_worker_holds_all_its_connections(database_address: Address) -> None:
    async with store_of_three_pools(database_address) as (store, pools), pools["work"].connection():
        order = new_order()
        assert (await store.create(order)).order_id == order.id
        assert await store.order(order.id)


async def test_orders_are_executed_and_read_while_posts_hold_all_their_connections(database_address: Address) -> None:
    async with store_of_three_pools(database_address) as (store, pools):
        order = new_order()
        await store.create(order)
        async with pools["orders"].connection():
            session = await store.begin("w", 20)
            assert await store.claim(session.id, [order.id])
            assert await store.order(order.id)
            await session.end()


async def test_a_connection_that_comes_back_after_its_pool_was_closed_is_closed_too(database_address: Address) -> None:
    database = Database(database_address)
    await database.open()
    async with database.connection() as connection:
        await database.close()
        assert not connection.closed
    assert connection.closed


async def test_a_connection_that_is_used_all_the_time_is_replaced_when_it_is_old(database_address: Address) -> None:
    database = Database(database_address)
    database._pool.max_lifetime = 0.0
    await database.open()
    async with database.connection() as connection:
        pass
    await until(lambda: connection.closed)
    await database.close()

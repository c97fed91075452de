"""The schema before the archive, with orders in it, becomes the one with it: nothing is lost, and retention works."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from dexexec.domain.status import Status
from dexexec.store import Address, Database, migrate
from dexexec.store.migrate import TABLE, migrations
from tests.integration.aging import Ground, open_retention
from tests.integration.filling import fill
from tests.parts import open_store

COUNT = 200
TABLES = ("orders", "order_events", "attempts", "idempotency_keys")
LIVE = """
INSERT INTO orders (id, side, amount, status, mode, input_mint, output_mint, amount_base, slippage_bps, deadline_at,
                    client)
SELECT gen_random_uuid(), side, amount, 'pending', mode, input_mint, output_mint, amount_base, slippage_bps,
       deadline_at, client
FROM orders LIMIT 1
"""


@asynccontextmanager
async def before_the_archive(address: Address) -> AsyncIterator[Ground]:
    """200 finished orders of the last 40 days and a live one, in the schema of three files; no store is open yet."""
    with psycopg.connect(address.conninfo(), autocommit=True) as connection:
        connection.execute(TABLE.encode())
        for name, text in migrations()[:3]:
            connection.execute(text.encode())
            connection.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (name,))
        fill(address.conninfo(), COUNT, 40)
        connection.execute(LIVE)
    database = Database(address)
    await database.open()
    try:
        assert await migrate(database) == [name for name, _ in migrations()[3:]]
    finally:
        await database.close()
    async with open_store(address) as store:
        yield Ground(address, store)


async def test_orders_of_the_schema_before_are_kept_listed_and_worked_on(database_address: Address) -> None:
    async with before_the_archive(database_address) as ground:
        assert [ground.count(table) for table in TABLES] == [COUNT + 1, 5 * COUNT, COUNT, COUNT]
        assert len(await ground.store.orders(300, None, Status.CONFIRMED)) == COUNT
        (pending,) = await ground.store.orders(300, None, Status.PENDING)
        worker = await ground.store.begin("w", 20)
        order_id = ground.sql("SELECT id FROM orders WHERE status = 'pending'")[0][0]
        (claimed,) = await ground.store.claim(worker.id, [order_id])
        assert str(claimed.order.id) == pending["orderId"]
        await worker.end()


async def test_orders_of_the_schema_before_are_archived_and_dropped_when_days_are_set(
    database_address: Address,
) -> None:
    async with before_the_archive(database_address) as ground, open_retention(database_address, days=20) as retention:
        listed = await ground.store.orders(300, None, None)
        await retention.round()
        assert ground.count("orders") == 1
        left = await ground.store.orders(300, None, None)
        assert left == listed[: len(left)]
        assert COUNT / 2 <= len(left) <= COUNT / 2 + 10, "twenty days of forty, and up to one more"
        assert ground.count("idempotency_keys") == len(left) - 1

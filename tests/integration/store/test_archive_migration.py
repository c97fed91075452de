"""The schema before the archive, with orders in it, becomes the one with it: nothing is lost, and retention works."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from dexexec.domain.order_filter import OrderFilter
from dexexec.domain.status import Status
from dexexec.store import Address, Database, migrate
from dexexec.store.migrate import TABLE, migrations
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.long_history import fill
from tests.support.parts import open_store

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
async def before_the_archive(address: Address) -> AsyncIterator[ArchiveSetup]:
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
        yield ArchiveSetup(address, store)


async def test_orders_of_the_schema_before_are_kept_listed_and_worked_on(empty_database: Address) -> None:
    async with before_the_archive(empty_database) as setup:
        assert [setup.count(table) for table in TABLES] == [COUNT + 1, 5 * COUNT, COUNT, COUNT]
        assert len(await setup.store.orders(300, None, OrderFilter(statuses=frozenset({Status.CONFIRMED})))) == COUNT
        (pending,) = await setup.store.orders(300, None, OrderFilter(statuses=frozenset({Status.PENDING})))
        worker = await setup.store.begin("w", 20)
        order_id = setup.sql("SELECT id FROM orders WHERE status = 'pending'")[0][0]
        (claimed,) = await setup.store.claim(worker.id, [order_id])
        assert str(claimed.order.id) == pending["orderId"]
        await worker.end()


async def test_orders_of_the_schema_before_are_archived_and_dropped_when_days_are_set(
    empty_database: Address,
) -> None:
    async with before_the_archive(empty_database) as setup, open_retention(empty_database, days=20) as retention:
        listed = await setup.store.orders(300, None)
        await retention.round()
        assert setup.count("orders") == 1
        left = await setup.store.orders(300, None)
        assert left == listed[: len(left)]
        assert COUNT / 2 <= len(left) <= COUNT / 2 + 10, "twenty days of forty, and up to one more"
        assert setup.count("idempotency_keys") == len(left) - 1


REFUSED = """
WITH o AS (
    INSERT INTO orders (id, side, amount, status, mode, input_mint, output_mint, amount_base, slippage_bps, deadline_at,
                        client, version, rounds, attempts)
    SELECT gen_random_uuid(), side, amount, 'routing', mode, input_mint, output_mint, amount_base, slippage_bps,
           clock_timestamp() + interval '5 min', client, 5, 1, 1
    FROM orders LIMIT 1
    RETURNING id
), e AS (
    INSERT INTO order_events (order_id, seq, status, detail)
    SELECT id, seq, (ARRAY['pending', 'routing', 'building', 'submitted', 'routing'])[seq], '{}'
    FROM o, generate_series(1, 5) seq
)
INSERT INTO attempts (order_id, n, venue, signature, payload, last_valid_height, quote, outcome, proof)
SELECT id, 1, 'here', 'refused', '\\x01', 1000, '{}', 'rejected', '{"code": "slippage"}' FROM o
RETURNING order_id
"""


async def test_promise_5_a_swap_that_a_node_refused_before_is_looked_up_and_not_signed_again(
    empty_database: Address,
) -> None:
    """A refusal is no proof: the order is submitted as it was, along the table."""
    with psycopg.connect(empty_database.conninfo(), autocommit=True) as connection:
        connection.execute(TABLE.encode())
        for name, text in migrations()[:4]:
            connection.execute(text.encode())
            connection.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (name,))
        fill(empty_database.conninfo(), 1, 1)
        [[order_id]] = connection.execute(REFUSED.encode()).fetchall()
    database = Database(empty_database)
    await database.open()
    try:
        await migrate(database)
    finally:
        await database.close()
    async with open_store(empty_database) as store:
        events = await store.events_after([(order_id, 0)])
        worker = await store.begin("w", 20)
        (claimed,) = await store.claim(worker.id, [order_id])
        await worker.end()
    reported = [(event.seq, event.status.value) for event in events[order_id]]
    assert reported[4:] == [(5, "routing"), (6, "building"), (7, "submitted")]
    assert claimed.attempt is not None
    assert (claimed.attempt.n, claimed.attempt.signed.signature) == (1, "refused")
    assert (claimed.order.status, claimed.order.version) == (Status.SUBMITTED, 7)

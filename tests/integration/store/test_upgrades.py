"""The way from every earlier schema to the newest: a record with orders in every state stays whole and goes on."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from dexexec.store import Address, Created, migrate
from dexexec.store.costs import CostQuery
from dexexec.store.migrate import migrations
from tests.conftest import Servers
from tests.support import earlier_records as earlier
from tests.support.answer_checks import check_order
from tests.support.databases import new_database
from tests.support.earlier_records import make_earlier_record
from tests.support.parts import new_order, open_database, open_store

ALL = CostQuery(since=datetime(2000, 1, 1, tzinfo=UTC), until=None, group_by=())
STATUSES = {
    earlier.CONFIRMED: "confirmed",
    earlier.FAILED: "failed",
    earlier.PENDING: "pending",
    earlier.SENT: "submitted",
    earlier.ARCHIVED: "confirmed",
    earlier.RESTING: "waiting",
    earlier.SNIPER: "waiting",
    earlier.RECURRING: "waiting",
    earlier.CANCELLED: "cancelled",
    earlier.DRY: "failed",
}


@pytest.fixture(scope="module")
def database(servers: Servers) -> Iterator[Address]:
    """One for all levels, each of which gets a schema."""
    with new_database(servers.postgres) as address:
        yield address


@pytest.mark.parametrize("level", range(1, len(migrations()) + 1), ids=[name for name, _ in migrations()])
async def test_a_record_of_every_earlier_schema_is_migrated_and_goes_on(database: Address, level: int) -> None:
    schema = f"level_{level}"
    ids = make_earlier_record(database.conninfo(), schema, level)
    assert len(ids) >= 4
    address = dataclasses.replace(database, schema=schema)
    async with open_store(address) as store:
        listed = {one["orderId"]: one["status"] for one in await store.orders(100, None)}
        assert listed == {str(order_id): STATUSES[order_id] for order_id in ids}
        orders: dict[Any, Any] = {order_id: await store.order(order_id) for order_id in ids}
        for order_id, order in orders.items():
            check_order(json.loads(orjson.dumps(order)))
            assert [event["status"] for event in order["events"]][-1] == STATUSES[order_id]
        filled = [order for order in orders.values() if order["status"] == "confirmed"]
        for order in filled:
            assert (order["amountIn"], order["amountOut"]) == ("10000000", "1511000")
            assert [attempt["outcome"] for attempt in order["attempts"]] == ["landed"]
        assert (await store.costs(ALL)).total.fees == len(filled) * earlier.FEE

        replayed = await store.create(new_order(key=earlier.KEY, body_hash=b"\x01"))
        assert replayed == Created(earlier.PENDING, replayed=True)
        worker = await store.begin("w", 20)
        claimed = {one.order.id: one for one in await store.claim(worker.id, [earlier.PENDING, earlier.SENT])}
        assert claimed.keys() == {earlier.PENDING, earlier.SENT}
        in_flight = claimed[earlier.SENT].attempt
        assert in_flight
        assert (in_flight.signed.signature, in_flight.signed.payload) == (earlier.OPEN_SIGNATURE, b"\x01\x02")
        await worker.end()
    async with open_database(address) as migrated:
        assert await migrate(migrated) == []

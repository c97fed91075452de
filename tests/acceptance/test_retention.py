"""A worker process with DEXEXEC_KEEP_DAYS archives finished orders, and drops old ones."""

import asyncio

from dexexec.store import Address
from tests.support.long_history import fill
from tests.support.parts import open_database
from tests.support.service.client import http
from tests.support.service.process import Launcher
from tests.support.service.promise_checks import rows
from tests.support.waiting import POLL, until


async def test_a_worker_archives_and_drops_and_the_api_reads_what_is_left(
    launcher: Launcher, database_address: Address
) -> None:
    async with open_database(database_address):
        fill(database_address.conninfo(), 100, 10)
    oldest, newest = (str(row["id"]) for row in rows(database_address, "SELECT id FROM orders ORDER BY id")[:: 100 - 1])
    service = launcher.start(DEXEXEC_KEEP_DAYS="5")
    await asyncio.to_thread(service.ready)
    async with http() as calls, asyncio.timeout(50):
        keys = "SELECT count(*) AS n FROM idempotency_keys"
        await until(lambda: rows(database_address, keys)[0]["n"] in range(50, 70), pause=POLL)
        assert rows(database_address, "SELECT id FROM orders") == []
        assert (await calls.get(f"{service.url}/api/orders/{oldest}")).status == 404
        kept = (await calls.get(f"{service.url}/api/orders/{newest}")).body
        assert (kept["orderId"], kept["status"], kept["seq"]) == (newest, "confirmed", 5)
        order_id = await calls.accepted(service.url)
        await until(lambda: rows(database_address, "SELECT id FROM orders WHERE finished_at IS NOT NULL"), pause=POLL)
        page = (await calls.get(f"{service.url}/api/orders?limit=2")).body["orders"]
        assert isinstance(page, list)
        assert [one["orderId"] for one in page] == [order_id, newest]

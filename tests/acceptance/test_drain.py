"""Promise 15: SIGTERM. Leasing stops, orders in flight finish or are handed back, and sockets close with "resume"."""

import asyncio
import time

from dexexec.execution.sweeper import consumers_of
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.parts import open_redis
from tests.support.service.client import http, watching
from tests.support.service.process import Launcher, Process, say
from tests.support.service.promise_checks import agree, check_promises, rows
from tests.support.waiting import POLL, until

OVERHEAD_SECONDS = 4.0
"""Beside the drain itself: a read on the queue that ends by itself, the farewell to sockets, a busy machine."""


async def in_flight(address: Address, least: int) -> None:
    """Wait until so many swaps are on their way."""
    statement = "SELECT id FROM orders WHERE status = 'submitted'"
    await until(lambda: len(rows(address, statement)) >= least, pause=POLL)


async def test_a_worker_that_has_the_time_finishes_what_is_in_flight(
    launcher: Launcher, database_address: Address
) -> None:
    api = launcher.start("api")
    worker = launcher.start(
        "worker", DEXEXEC_MOCK_LANDING_MS="1500", DEXEXEC_CONCURRENCY="20", DEXEXEC_DRAIN_SECONDS="15"
    )
    async with http() as calls, asyncio.timeout(50):
        url = await asyncio.to_thread(lambda: api.url)
        order_ids = await asyncio.gather(*(calls.accepted(url) for _ in range(40)))
        await in_flight(database_address, 20)
        code = await asyncio.to_thread(worker.stop)
        assert code == 0
        states = rows(database_address, "SELECT status, claim, worker FROM orders")
        left = [state for state in states if state["status"] != "confirmed"]
        assert len(left) == 20, "it finished what it had, and took nothing more"
        assert {(state["status"], state["claim"], state["worker"]) for state in left} == {("pending", 0, None)}
        assert worker.logged("worker stopped")["handed_back"] == 0
        async with watching(lambda: url, order_ids):
            launcher.start("worker")
    verdict = check_promises(database_address, order_ids)
    assert verdict.claims == 0, "no order was taken up twice"


async def test_a_worker_that_has_no_time_hands_its_orders_back_and_another_finishes_them(
    launcher: Launcher, database_address: Address
) -> None:
    slow = {"DEXEXEC_MOCK_LANDING_MS": "5000", "DEXEXEC_DRAIN_SECONDS": "0.5"}
    api, worker = launcher.start("api"), launcher.start("worker", **slow)
    async with http() as calls, asyncio.timeout(50):
        url = await asyncio.to_thread(lambda: api.url)
        order_ids = await asyncio.gather(*(calls.accepted(url) for _ in range(30)))
        async with watching(lambda: url, order_ids):
            await in_flight(database_address, 30)
            other = launcher.start("worker", **slow)
            await asyncio.to_thread(other.logged, "worker started")
            begun = time.monotonic()
            assert await asyncio.to_thread(worker.stop) == 0
            stopped = time.monotonic() - begun
            assert worker.logged("worker stopped")["handed_back"] == 30
            again = "SELECT id FROM orders WHERE claim > 1"
            await until(lambda: len(rows(database_address, again)) == 30, pause=POLL)
            taken = time.monotonic() - begun - stopped
    say(f"stopped after {stopped:.2f} s, its orders taken up by another {taken:.2f} s later")
    assert stopped < 0.5 + OVERHEAD_SECONDS
    verdict = check_promises(database_address, order_ids)
    assert verdict.statuses["confirmed"] == 30
    assert verdict.swaps == 30


async def test_sockets_see_the_orders_in_flight_end_and_are_then_closed_with_1001(
    launcher: Launcher, database_address: Address
) -> None:
    service = launcher.start(DEXEXEC_MOCK_LANDING_MS="1000", DEXEXEC_CONCURRENCY="20", DEXEXEC_DRAIN_SECONDS="15")
    await asyncio.to_thread(service.ready)
    current = [service.url]
    async with http() as calls, asyncio.timeout(50):
        order_ids = await asyncio.gather(*(calls.accepted(current[0]) for _ in range(30)))
        async with watching(lambda: current[0], order_ids) as watch:
            await in_flight(database_address, 20)
            begun = time.monotonic()
            stopping = asyncio.create_task(asyncio.to_thread(service.stop))
            await watch.reach(lambda w: w.closes != [])
            assert len(watch.at("confirmed")) == 20
            assert watch.closes == [1001]
            assert await stopping == 0
            assert time.monotonic() - begun < 1.0 + OVERHEAD_SECONDS
            service = launcher.start()
            current[0] = await asyncio.to_thread(lambda: service.url)
    agree(watch.events, database_address)
    assert check_promises(database_address, order_ids).statuses["confirmed"] == 30


async def test_a_service_that_drains_takes_no_new_connections(launcher: Launcher, database_address: Address) -> None:
    service = launcher.start(DEXEXEC_MOCK_LANDING_MS="2000", DEXEXEC_DRAIN_SECONDS="15")
    await asyncio.to_thread(service.ready)
    url = service.url
    async with http() as calls, asyncio.timeout(50):
        order_id = await calls.accepted(url)
        await in_flight(database_address, 1)
        stopping = asyncio.create_task(asyncio.to_thread(service.stop))

        async def refused() -> bool:
            try:
                await calls.get(f"{url}/healthz")
            except OSError:
                return True
            return False

        await until(refused, pause=POLL)
        assert service.running
        assert await stopping == 0
    assert check_promises(database_address, [order_id]).statuses["confirmed"] == 1


async def test_restarts_leave_no_more_consumers_on_the_stream_than_living_processes_have(
    launcher: Launcher, servers: Servers, redis_prefix: str
) -> None:
    async with open_redis(servers.redis_url) as client:

        async def consumers() -> set[str]:
            rows = await client.xinfo_consumers(f"{{{redis_prefix}}}:work", "workers")
            return {row["name"].decode() for row in rows}

        async def are_those_of(process: Process) -> None:
            line = await asyncio.to_thread(process.logged, "worker started")
            of_it = set(consumers_of(str(line["worker"])))

            async def alone() -> bool:
                return await consumers() == of_it

            await until(alone, pause=POLL)

        killed = launcher.start("worker")
        await are_those_of(killed)
        await asyncio.to_thread(killed.kill)
        second = launcher.start("worker")
        await are_those_of(second)
        assert await asyncio.to_thread(second.stop) == 0
        assert await consumers() == set()

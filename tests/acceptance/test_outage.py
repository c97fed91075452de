"""Postgres and Redis lost in the middle: no process of the service ends, no order is lost, no swap is doubled."""

import asyncio
import os
import random
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis

from dexexec.store import Address
from tests.support.resting_rows import rest
from tests.support.service.breakable_servers import BreakableServers, breakable_servers
from tests.support.service.client import Answer, Http, http, watching
from tests.support.service.embedded_servers import postmaster, servers_running, valkey_pid
from tests.support.service.process import Launcher, Process, say, servers_at
from tests.support.service.promise_checks import agree, check_promises, rows, unfinished
from tests.support.waiting import POLL, until, wait_until

SLOW = {
    "DEXEXEC_MOCK_LATENCY_MS": "10",
    "DEXEXEC_MOCK_LANDING_MS": "400",
    "DEXEXEC_MOCK_SLIPPAGE_PPM": "5500",
    "DEXEXEC_RETRY_BASE_MS": "50",
    "DEXEXEC_CONCURRENCY": "10",
    "DEXEXEC_REQUEST_TIMEOUT_MS": "1500",
}
"""Few orders in flight per worker, so that many wait on the queue when it is lost."""


@pytest.fixture(scope="module")
def breakable() -> Iterator[BreakableServers]:
    with breakable_servers() as breakable:
        yield breakable


@dataclass(frozen=True, slots=True)
class OutageSetup:
    """An API process and two workers on servers that may be broken."""

    breakable: BreakableServers
    address: Address
    api: Process
    workers: list[Process]

    @property
    def running(self) -> bool:
        return self.api.running and all(worker.running for worker in self.workers)


@pytest.fixture
def setup(breakable: BreakableServers) -> Iterator[OutageSetup]:
    name = f"t{uuid.uuid4().hex[:10]}"
    with psycopg.connect(breakable.address.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    address = replace(breakable.address, database=name)
    with Launcher(**servers_at(address, breakable.redis_url, name), **SLOW) as launcher:
        api, workers = launcher.start("api"), [launcher.start("worker") for _ in range(2)]
        for worker in workers:
            worker.logged("worker started")
        api.ready()
        try:
            yield OutageSetup(breakable, address, api, workers)
        finally:
            breakable.start_again()


async def posted(calls: Http, url: str, count: int) -> list[str]:
    chance = random.Random(count)
    return await asyncio.gather(*(calls.accepted(url, f"{chance.uniform(0.01, 20):.4f}") for _ in range(count)))


async def some_ended(address: Address, count: int) -> None:
    """Wait until the work is in full swing."""

    async def enough() -> bool:
        return (
            int(str(rows(address, "SELECT count(*) AS n FROM orders WHERE finished_at IS NOT NULL")[0]["n"])) >= count
        )

    await until(enough)


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts orders through all failures, and keeps the answers: accepted, or refused with an unknown outcome."""

    calls: Http
    url: str
    accepted: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    async def post(self) -> bool:
        """Post one; whether it was accepted."""
        answer = await self.calls.order(self.url)
        if answer.status == 202:
            self.accepted.append(str(answer.body["orderId"]))
            return True
        refuses(answer)
        if "orderId" in answer.body:
            self.unknown.append(str(answer.body["orderId"]))
        return False

    async def until_accepted(self) -> float:
        """Post until one is accepted; the seconds that took."""
        begun = time.monotonic()
        await until(self.post, pause=POLL)
        return time.monotonic() - begun

    async def post_on(self, over: asyncio.Event) -> None:
        """Post one after the other."""
        while not over.is_set():
            await self.post()


def refuses(answer: Answer) -> None:
    assert (answer.status, answer.body["type"]) == (503, "/problems/unavailable"), answer
    assert int(answer.headers["Retry-After"]) >= 1


async def test_flushing_redis_again_and_again_loses_no_order(setup: OutageSetup) -> None:
    """Promise 6."""
    url = setup.api.url
    with redis.Redis.from_url(setup.breakable.redis_url) as client:
        async with http() as calls, asyncio.timeout(50):
            order_ids = await posted(calls, url, 80)
            async with watching(lambda: url, order_ids) as watch:
                for turn in range(4):
                    await some_ended(setup.address, 5 + 10 * turn)
                    client.flushall()
                order_ids += (more := await posted(calls, url, 20))
                watch.also(more)
                flushed = time.monotonic()
            say(f"all ended {time.monotonic() - flushed:.2f} s after the last flush")
    assert setup.running
    say(f"{check_promises(setup.address, order_ids)}")
    agree(watch.events, setup.address)


async def test_resting_orders_are_changed_and_cancelled_while_redis_and_all_workers_are_away(
    setup: OutageSetup,
) -> None:
    url = setup.api.url
    async with http() as calls, asyncio.timeout(50):
        posted_one = await calls.post(url, {"type": "limit", "side": "buy", "amount": "1", "limitPrice": "300"})
        order = f"{url}/api/orders/{posted_one.body['orderId']}"
        rest(setup.address.conninfo(), 1_200)
        for worker in setup.workers:
            worker.send(signal.SIGKILL)
        setup.breakable.kill_valkey()
        changed = await calls.patch(order, {"limitPrice": "310"}, 2)
        assert (changed.status, changed.body["seq"]) == (200, 3)
        stale = await calls.patch(order, {"limitPrice": "320"}, 2)
        assert (stale.status, stale.body["seq"]) == (412, 3)
        answer = await calls.delete(f"{url}/api/orders?status=waiting")
        assert (answer.status, answer.body) == (200, {"cancelled": 1_201, "tooLate": 0})
        gone = await calls.patch(order, {"limitPrice": "320"}, 3)
        assert (gone.status, gone.body["orderStatus"]) == (409, "cancelled")
    assert rows(setup.address, "SELECT count(*) AS n FROM orders WHERE ended IS DISTINCT FROM 'cancelled'") == [
        {"n": 0}
    ]


async def test_a_killed_redis_only_delays(setup: OutageSetup) -> None:
    """Promise 6. What is in flight goes on without it; nothing new is taken in until it is back."""
    url = setup.api.url
    async with http() as calls, asyncio.timeout(50):
        order_ids = await posted(calls, url, 80)
        async with watching(lambda: url, order_ids) as watch:
            await some_ended(setup.address, 5)
            await asyncio.to_thread(setup.breakable.kill_valkey)
            for answer in await asyncio.gather(*(calls.order(url) for _ in range(5))):
                refuses(answer)
                assert "orderId" not in answer.body
            await until(partial(misses, calls, url, ["redis"]), pause=POLL)
            assert len(rows(setup.address, "SELECT id FROM orders")) == len(order_ids), "nothing is half accepted"
            assert unfinished(setup.address) > 0
            await asyncio.to_thread(setup.breakable.start_again)
            back = time.monotonic()
            poster = Poster(calls, url)
            seconds = await poster.until_accepted()
            order_ids += poster.accepted
            watch.also(poster.accepted)
            assert poster.unknown == []
        say(f"accepting {seconds:.2f} s after Redis was back, all ended after {time.monotonic() - back:.2f} s")
        await ready_again(calls, url)
    assert setup.running
    say(f"{check_promises(setup.address, order_ids)}")
    agree(watch.events, setup.address)


async def misses(calls: Http, url: str, what: list[str]) -> bool:
    ready = await calls.get(f"{url}/readyz")
    return (ready.status, ready.body["missing"]) == (503, what)


async def ready_again(calls: Http, url: str) -> None:
    async def ready() -> bool:
        return (await calls.get(f"{url}/readyz")).status == 200

    await until(ready, pause=POLL)


async def test_an_immediate_stop_of_postgres_only_delays(setup: OutageSetup) -> None:
    """Promises 1 to 3 across a crash of the record itself. An order whose answer was lost with it exists or does not,
    and the client got its id."""
    url = setup.api.url
    over = asyncio.Event()
    async with http() as calls, asyncio.timeout(55):
        poster = Poster(calls, url)
        first = await posted(calls, url, 60)
        async with watching(lambda: url, first) as watch:
            await some_ended(setup.address, 5)
            posting = [asyncio.create_task(poster.post_on(over)) for _ in range(3)]
            await asyncio.to_thread(setup.breakable.stop_postgres_at_once)
            assert not await poster.post()
            await until(partial(misses, calls, url, ["postgres", "worker"]), pause=POLL)
            await asyncio.to_thread(setup.breakable.start_again)
            back = time.monotonic()
            seconds = await poster.until_accepted()
            over.set()
            await asyncio.gather(*posting)
        await ready_again(calls, url)
        await until(lambda: unfinished(setup.address) == 0, pause=POLL)
    say(f"accepting {seconds:.2f} s after Postgres was back, all ended after {time.monotonic() - back:.2f} s")
    assert setup.running
    existing = {str(row["id"]) for row in rows(setup.address, "SELECT id FROM orders")}
    verdict = check_promises(setup.address, [*first, *poster.accepted, *existing.intersection(poster.unknown)])
    say(f"{verdict}; {len(poster.unknown)} answers with an unknown outcome")
    agree(watch.events, setup.address)


async def test_kill_9_of_everything_and_a_new_start_gives_every_socket_exactly_the_rest(data_dir: Path) -> None:
    """Promises 2, 3 and 8: the service, Postgres and Valkey at once; then the one command again."""
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), **SLOW) as launcher:
        service = launcher.start()
        await asyncio.to_thread(service.ready)
        current = [service.url]
        async with http() as calls, asyncio.timeout(55):
            order_ids = await posted(calls, current[0], 80)
            async with watching(lambda: current[0], order_ids) as watch:
                await watch.reach(lambda w: len(w.unfinished) < 60 and len(w.at("submitted")) >= 3)
                for pid in (postmaster(data_dir), valkey_pid(data_dir), service.pid):
                    kill(pid)
                service.kill()
                await asyncio.to_thread(wait_until, lambda: not servers_running(data_dir), 20, "all to be gone")
                seen = sum(map(len, watch.events.values()))
                restarted = time.monotonic()
                service = launcher.start()
                current[0] = await asyncio.to_thread(lambda: service.url)
                say(f"banner {time.monotonic() - restarted:.2f} s after the new start")
            say(f"all ended {time.monotonic() - restarted:.2f} s after the new start")
        assert len(watch.closes) == 1
        assert 0 < seen < sum(map(len, watch.events.values()))
        address = Address(host=str(data_dir / "postgres"))
        say(f"{check_promises(address, order_ids)}")
        agree(watch.events, address)
        assert await asyncio.to_thread(service.stop) == 0


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)

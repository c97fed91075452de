"""A real Redis Cluster of three primaries and a replica: everything works on it, also when a node dies or the keys move
to another one."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio
from redis.crc import key_slot

from dexexec.bootstrap.connections import open_redis
from dexexec.bootstrap.servers import Servers as Found
from dexexec.broker.queue import Queue
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError, UnusableError
from dexexec.feed.listeners import OtherListeners
from dexexec.feed.publisher import Publisher
from dexexec.store import Address
from tests.support.parts import running
from tests.support.redis_nodes import Cluster, Node, a_cluster, a_server
from tests.support.service.client import http, watching
from tests.support.service.process import QUICK, Launcher, say, servers_at
from tests.support.service.promise_checks import agree, check_promises
from tests.support.streaming import memory_record, open_api
from tests.support.waiting import until

NOWHERE = Address(host="/nowhere")
"""Postgres has no part in it."""


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    with a_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """Complete again, after any damage by the test before."""
    started.mend()
    return started


def client(url: str, prefix: str) -> AbstractAsyncContextManager[redis.asyncio.Redis]:
    return open_redis(Found(NOWHERE, url, ()), prefix)


async def attempt(queue: Queue) -> bool:
    """Whether the queue takes an id now; if not, it raises the expected error."""
    try:
        await queue.enqueue([uuid4()])
    except UnavailableError:
        return False
    return True


async def test_a_rate_limit_holds_over_all_processes(cluster: Cluster) -> None:
    prefix = cluster.prefix(2)
    async with client(cluster.url(), prefix) as one, client(cluster.url(cluster.primaries[1]), prefix) as two:
        limiters = [RateLimiter(one, prefix, "one"), RateLimiter(two, prefix, "two")]
        grants = await asyncio.gather(*(limiters[n % 2].take(f"client:{n % 3}", 5, 2) for n in range(12)))
        assert sum(grant.granted for grant in grants) == 15
        await limiters[0].give_back("client:0", grants[0].units)
        assert (await limiters[1].take("client:0", 5, 5)).granted == len(grants[0].units)


async def test_a_feed_receives_what_another_process_announces_without_reading_postgres(cluster: Cluster) -> None:
    prefix = cluster.prefix(1)
    url, channel = cluster.url(), f"{prefix}:events"
    async with memory_record() as record, client(url, prefix) as near, client(url, prefix) as far:
        publisher = Publisher(far, channel, others=OtherListeners(countable=False))
        async with running(publisher.run()), open_api(record, near, channel) as api:
            order_id = await record.create()
            listener = await api.connect()
            await listener.subscribe(order_id)
            assert await listener.seqs(order_id, 1) == [1]
            for status in (Status.ROUTING, Status.BUILDING):
                publisher.announce([await record.step(order_id, status)])
            assert await listener.seqs(order_id, 2) == [2, 3]


async def test_orders_go_their_whole_way_and_all_keys_are_on_one_node(
    cluster: Cluster, database_address: Address
) -> None:
    prefix = cluster.prefix(1)
    settings = servers_at(database_address, cluster.url(cluster.primaries[0]), prefix)
    with Launcher(**settings, **QUICK, DEXEXEC_CLIENT_ORDERS_PER_MINUTE="100") as launcher:
        api, worker = launcher.start("api"), launcher.start("worker")
        await asyncio.to_thread(api.ready)
        async with http() as calls, asyncio.timeout(30):
            order_ids = await asyncio.gather(*(calls.accepted(api.url) for _ in range(20)))
            async with watching(lambda: api.url, order_ids) as watch:
                pass
        keys = [node.ask("KEYS", f"*{prefix}*") for node in cluster.primaries]
        assert not keys[0]
        assert not keys[2]
        assert {key.partition(":")[0] for key in keys[1]} == {f"{{{prefix}}}"}
        assert "Cluster" in api.banner()
        assert await asyncio.to_thread(api.stop) == await asyncio.to_thread(worker.stop) == 0
    assert check_promises(database_address, order_ids).statuses["confirmed"] == 20
    agree(watch.events, database_address)


async def test_the_death_of_the_node_with_our_keys_delays_until_its_replica_takes_over(
    cluster: Cluster, database_address: Address
) -> None:
    """Accepted orders are executed once, by processes that the test does not touch."""
    prefix, accepted = cluster.prefix(0), list[str]()
    with Launcher(**servers_at(database_address, cluster.url(), prefix), **QUICK) as launcher:
        api, worker = launcher.start("api"), launcher.start("worker")
        await asyncio.to_thread(api.ready)
        async with http() as calls, asyncio.timeout(40):

            async def posted() -> bool:
                answer = await calls.order(api.url)
                assert answer.status in {202, 503}, answer
                if answer.status == 202:
                    accepted.append(str(answer.body["orderId"]))
                return answer.status == 202

            for _ in range(20):
                assert await posted()
            await asyncio.to_thread(cluster.primaries[0].kill)
            died = time.monotonic()
            while await posted():  # it is taken in as long as the queue was known to have room a moment ago
                pass
            await until(posted, pause=0.05)
            say(f"accepting again {time.monotonic() - died:.2f} s after")
            await asyncio.gather(*(posted() for _ in range(20)))
            async with watching(lambda: api.url, accepted) as watch:
                pass
            say(f"all ended {time.monotonic() - died:.2f} s after")
        assert cluster.replica.info()["role"] == "master"
        assert api.running
        assert worker.running
    assert check_promises(database_address, accepted).statuses["confirmed"] == len(accepted)
    agree(watch.events, database_address)


async def test_a_cluster_that_misses_slots_is_an_outage_and_recovers(cluster: Cluster) -> None:
    """Our own node lives, but Redis refuses everything unless all slots are covered, as it is configured by default."""
    prefix = cluster.prefix(0)
    async with client(cluster.url(), prefix) as one, client(cluster.url(), prefix) as two:
        queue = Queue(one, two, prefix)
        await queue.prepare()
        assert await attempt(queue)
        await asyncio.to_thread(cluster.primaries[2].kill)

        async def refused() -> bool:
            return not await attempt(queue)

        await until(refused)
        with pytest.raises(UnavailableError):
            await RateLimiter(one, prefix, "p").take("k", 1)
        with pytest.raises(UnavailableError):
            await queue.lease("a", 10, 50)
        await asyncio.to_thread(cluster.primaries[2].start)
        await until(lambda: attempt(queue))
        assert len(await queue.lease("a", 10_000, 50)) == await queue.depth()


async def test_our_keys_move_to_another_node_and_the_work_goes_on(cluster: Cluster) -> None:
    """Clients that wait, listen and write notice by themselves."""
    prefix = cluster.prefix(0)
    async with client(cluster.url(), prefix) as one, client(cluster.url(), prefix) as two:
        queue, listener = Queue(one, two, prefix), one.pubsub()
        await queue.prepare()
        await listener.subscribe(f"{prefix}:events")
        first = uuid4()
        await queue.enqueue([first])
        source = next(node for node in cluster.nodes if node.ask("KEYS", f"*{prefix}*") and node.is_primary)
        waiting = [asyncio.create_task(lease_until_one(queue, name)) for name in "ab"]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        move(cluster, source, cluster.primaries[1], prefix)
        second = uuid4()
        await until(lambda: took(queue, second))
        assert {await waiter for waiter in waiting} == {first, second}
        assert cluster.primaries[1].ask("KEYS", f"*{prefix}*")
        await one.publish(f"{prefix}:events", "heard")

        async def heard() -> Any:
            message = await listener.get_message(ignore_subscribe_messages=True, timeout=1)
            return message and message["data"]

        assert await until(heard) == b"heard"
        await listener.aclose()  # type: ignore[no-untyped-call]


async def lease_until_one(queue: Queue, consumer: str) -> object:
    """The first order that arrives, through all outages."""
    while True:
        try:
            for entry in await queue.lease(consumer, 1, 500):
                return entry.order_id
        except UnavailableError:
            await asyncio.sleep(0.01)


async def took(queue: Queue, order_id: Any) -> bool:
    try:
        await queue.enqueue([order_id])
    except UnavailableError:
        return False
    return True


def move(cluster: Cluster, source: Node, target: Node, prefix: str) -> None:
    """Move our slot with all its keys, as `redis-cli --cluster reshard` does."""
    slot = key_slot(f"{{{prefix}}}".encode())
    here, there = source.ask("CLUSTER", "MYID"), target.ask("CLUSTER", "MYID")
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
    while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
    for node in (target, source, *cluster.primaries):
        if node.is_primary:
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", there)


def test_the_wrong_kind_of_address_is_an_error_of_one_line(cluster: Cluster, tmp_path: Path) -> None:
    port = cluster.primaries[0].port
    with pytest.raises(UnusableError, match=rf"set REDIS_URL to redis\+cluster://127\.0\.0\.1:{port}$"):
        asyncio.run(first_contact(f"redis://127.0.0.1:{port}"))
    refused = pytest.raises(UnusableError, match=r"the Cluster of .* cluster support disabled\. Check REDIS_URL")
    with a_server(tmp_path / "alone") as alone, refused:
        asyncio.run(first_contact(f"redis+cluster://127.0.0.1:{alone.port}"))


async def first_contact(url: str) -> None:
    async with client(url, "t"):
        pass

"""The contract of the queue, for Redis, a Redis Cluster, and the queue in memory of simulations.

A queue joins as a parameter of `queues`; `Lost` names what can happen to the data behind it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

import pytest

from dexexec.bootstrap.connections import open_redis
from dexexec.bootstrap.servers import Servers as Found
from dexexec.broker.queue import Queue
from dexexec.errors import UnavailableError
from tests.conftest import Servers
from tests.support.fakes.queue import MemoryQueue, MemoryRedis
from tests.support.redis_nodes import a_cluster
from tests.support.waiting import until


@dataclass(frozen=True, slots=True)
class QueueSetup:
    """A queue, and what can happen to its data. `consumers` are those of the group."""

    queue: Queue
    flush: Callable[[], Awaitable[object]]
    lose_stream: Callable[[], Awaitable[object]]
    consumers: Callable[[], Awaitable[set[str]]]


Open = Callable[[], AbstractAsyncContextManager[QueueSetup]]


@pytest.fixture(scope="module")
def cluster_url() -> Iterator[str]:
    with a_cluster() as cluster:
        yield cluster.url()


@pytest.fixture(params=["memory", "redis", "cluster"])
def queue_setups(request: pytest.FixtureRequest) -> Open:
    """Opens a prepared queue."""
    if request.param == "memory":
        return memory_queue_setup
    servers: Servers = request.getfixturevalue("servers")
    url = request.getfixturevalue("cluster_url") if request.param == "cluster" else servers.redis_url
    return partial(redis_queue_setup, Found(servers.postgres, url, ()), request.getfixturevalue("redis_prefix"))


@asynccontextmanager
async def redis_queue_setup(found: Found, prefix: str) -> AsyncIterator[QueueSetup]:
    async with open_redis(found, prefix) as client, open_redis(found, prefix) as blocking:
        queue = Queue(client, blocking, prefix)
        await queue.prepare()

        async def consumers() -> set[str]:
            return {row["name"].decode() for row in await client.xinfo_consumers(queue.work, "workers")}

        yield QueueSetup(
            queue,
            lambda: client.delete(queue.work, queue.queued),
            lambda: client.delete(queue.work),
            consumers,
        )


@asynccontextmanager
async def memory_queue_setup() -> AsyncIterator[QueueSetup]:
    redis = MemoryRedis()
    queue = MemoryQueue(redis).port
    await queue.prepare()

    async def flush() -> None:
        redis.flush()

    async def lose_stream() -> None:
        redis.drop_stream()

    async def consumers() -> set[str]:
        return set(redis.consumers)

    yield QueueSetup(queue, flush, lose_stream, consumers)


async def lease_ids(queue: Queue, consumer: str = "a", count: int = 100) -> list[UUID]:
    entries = await queue.lease(consumer, count, 50)
    await queue.ack(entries)
    return [entry.order_id for entry in entries]


async def test_ids_come_out_in_the_order_they_went_in(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        ids = [uuid4() for _ in range(30)]
        assert await setup.queue.enqueue(ids) == 30
        assert await setup.queue.depth() == 30
        assert await lease_ids(setup.queue, count=20) == ids[:20]
        assert await lease_ids(setup.queue) == ids[20:]
        assert await setup.queue.depth() == 0


async def test_enqueuing_nothing_does_nothing_and_an_empty_stream_has_no_entries(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        assert await setup.queue.enqueue([]) == 0
        await setup.queue.ack([])
        await setup.queue.ping()
        await setup.queue.check_writes()
        assert await setup.queue.lease("a", 10, 20) == []


async def test_an_id_is_on_the_stream_once_until_it_is_acknowledged(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, one, two = setup.queue, uuid4(), uuid4()
        assert await queue.enqueue([one, two, one]) == 2
        assert await queue.enqueue([one]) == 0
        entries = await queue.lease("a", 10, 50)
        assert await queue.enqueue([one, two]) == 0, "pending ones are still on it"
        assert await queue.depth() == 2
        await queue.ack(entries[:1])
        assert await queue.enqueue([one, two]) == 1


async def test_an_entry_goes_to_one_consumer_only(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        ids = [uuid4() for _ in range(20)]
        await setup.queue.enqueue(ids)
        batches = [await lease_ids(setup.queue, consumer, 4) for consumer in "abcabc"]
        assert sorted(i for batch in batches for i in batch) == sorted(ids)


async def test_a_waiting_consumer_gets_new_entries(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        waiting = [asyncio.create_task(setup.queue.lease(name, 10, 5_000)) for name in "ab"]

        async def both_wait() -> bool:
            return await setup.consumers() >= {"a", "b"}

        await until(both_wait)
        ids = [uuid4() for _ in range(3)]
        await setup.queue.enqueue(ids)
        done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [entry.order_id for task in done for entry in task.result()] == ids
        last = uuid4()
        await setup.queue.enqueue([last])
        assert [entry.order_id for task in left for entry in await task] == [last]


async def test_a_lease_acknowledges_what_is_done(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, ids = setup.queue, [uuid4() for _ in range(3)]
        await queue.enqueue(ids)
        done = await queue.lease("a", 2, 50)
        assert [entry.order_id for entry in await queue.lease("a", 10, 50, done)] == ids[2:]
        assert await queue.depth() == 1
        assert await queue.enqueue(ids) == 2, "they are off the queue, and may be put there again"


async def test_entries_that_were_leased_long_ago_and_not_acknowledged_are_taken_over(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, order_id = setup.queue, uuid4()
        await queue.enqueue([order_id])
        await queue.lease("dead", 1, 50)
        assert await queue.reclaim("alive", 60_000) == []
        (entry,) = await queue.reclaim("alive", 0)
        assert entry.order_id == order_id
        await queue.ack([entry])
        assert await queue.reclaim("alive", 0) == []
        assert await queue.enqueue([order_id]) == 1


async def test_only_the_entries_of_a_dead_worker_are_taken_over_at_once(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, lost, held = setup.queue, uuid4(), uuid4()
        assert await queue.take_over_pending("successor", "nobody") == []
        await queue.enqueue([lost])
        await queue.lease("dead", 1, 50)
        await queue.enqueue([held])
        await queue.lease("alive", 1, 50)
        assert await queue.enqueue([lost]) == 0, "a pending id is still on the queue"
        entries = await queue.take_over_pending("successor", "dead")
        assert [entry.order_id for entry in entries] == [lost]
        assert await queue.take_over_pending("other", "dead") == [], "it belongs to the successor now"
        await queue.ack(entries)
        assert await queue.enqueue([lost]) == 1
        assert await lease_ids(queue) == [lost]


async def test_a_consumer_is_removed_unless_it_has_pending_entries(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue = setup.queue
        await queue.enqueue([uuid4()])
        await queue.lease("busy", 1, 50)
        await queue.remove_consumers("busy")
        assert await setup.consumers() == {"busy"}
        await queue.ack(await queue.take_over_pending("busy", "busy"))
        await queue.remove_consumers("busy")
        assert await setup.consumers() == set()


async def test_silent_consumers_are_removed_unless_they_have_pending_entries(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue = setup.queue
        waiting = uuid4()
        await queue.enqueue([waiting])
        await queue.lease("busy", 1, 50)
        for name in ("silent", "leaving"):
            await queue.lease(name, 1, 1)
        assert await queue.remove_consumers("leaving", silent_ms=3_600_000) == 1
        assert await setup.consumers() == {"busy", "silent"}
        assert await queue.remove_consumers(silent_ms=0) == 1
        assert await setup.consumers() == {"busy"}
        assert [one.order_id for one in await queue.take_over_pending("successor", "busy")] == [waiting]
        assert await queue.remove_consumers("busy", "never there", silent_ms=3_600_000) == 1


async def test_a_consumer_that_is_removed_while_it_waits_still_gets_new_entries(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, order_id = setup.queue, uuid4()
        waiting = asyncio.create_task(queue.lease("a", 1, 10_000))

        async def known() -> bool:
            return "a" in await setup.consumers()

        await until(known)
        assert await queue.remove_consumers(silent_ms=0) == 1
        await queue.enqueue([order_id])
        entries = await waiting
        assert [one.order_id for one in entries] == [order_id]
        await queue.ack(entries)


async def test_a_flush_leaves_a_queue_that_works_again(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, order_id = setup.queue, uuid4()
        await queue.enqueue([order_id])
        await setup.flush()
        assert await queue.take_over_pending("a", "b") == []
        await queue.remove_consumers("b")
        assert await queue.enqueue([order_id]) == 1, "before anybody has made the group again"
        assert await lease_ids(queue) == [order_id]


async def test_a_lease_after_a_flush_makes_the_group_again(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, order_id = setup.queue, uuid4()
        await queue.enqueue([order_id])
        await setup.flush()
        assert await queue.lease("a", 1, 50) == []
        assert await queue.enqueue([order_id]) == 1
        assert await lease_ids(queue) == [order_id]


async def test_ids_of_a_lost_stream_can_be_enqueued_after_it_was_prepared_again(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, order_id = setup.queue, uuid4()
        await queue.enqueue([order_id])
        await setup.lose_stream()
        await queue.prepare()
        assert await queue.enqueue([order_id]) == 1
        assert await lease_ids(queue) == [order_id]


async def test_reclaiming_from_a_lost_stream_gives_nothing_and_makes_the_group_again(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, order_id = setup.queue, uuid4()
        await setup.flush()
        assert await queue.reclaim("a", 0) == []
        await queue.enqueue([order_id])
        assert await lease_ids(queue) == [order_id]


async def test_ids_of_a_stream_that_was_lost_alone_can_be_enqueued_again(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, order_id = setup.queue, uuid4()
        await queue.enqueue([order_id, uuid4()])
        await setup.lose_stream()
        assert await queue.enqueue([order_id]) == 1
        await queue.prepare()
        assert await lease_ids(queue) == [order_id]


async def test_a_consumer_that_waits_during_a_flush_gets_an_outage_or_nothing(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        waiting = asyncio.create_task(setup.queue.lease("a", 1, 2_000))

        async def waits() -> bool:
            return "a" in await setup.consumers()

        await until(waits)
        await setup.flush()
        await asyncio.wait([waiting])
        error = waiting.exception()
        assert isinstance(error, UnavailableError) or (error is None and waiting.result() == [])


async def test_a_late_acknowledgement_has_no_effect(queue_setups: Open) -> None:
    async with queue_setups() as setup:
        queue, order_id = setup.queue, uuid4()
        await queue.enqueue([order_id])
        stale = await queue.lease("slow", 1, 50)
        await queue.ack(await queue.reclaim("quick", 0))
        await queue.enqueue([order_id])
        await queue.ack(stale)
        assert await lease_ids(queue) == [order_id], "the new entry is another one"

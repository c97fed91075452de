"""The queue on a real Valkey: an id is on it once, and no failure of Redis or of a worker makes it forget."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dexexec.broker.queue import Queue
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.errors import UnavailableError
from tests.conftest import Servers
from tests.support.parts import open_queue, open_redis
from tests.support.redis_nodes import a_server
from tests.support.waiting import until


async def lease_ids(queue: Queue, consumer: str = "a", count: int = 100) -> list[UUID]:
    entries = await queue.lease(consumer, count, 50)
    await queue.ack(entries)
    return [entry.order_id for entry in entries]


async def test_an_id_is_on_the_queue_once_however_often_it_is_put_there(servers: Servers, redis_prefix: str) -> None:
    async with open_queue(servers.redis_url, redis_prefix) as queue:
        order_id = uuid4()
        assert [await queue.enqueue([order_id]) for _ in range(3)] == [1, 0, 0]
        assert await lease_ids(queue) == [order_id]
        assert await queue.enqueue([order_id]) == 1, "once acknowledged, it may come again"


async def test_an_entry_whose_worker_died_before_its_claim_is_taken_over(servers: Servers, redis_prefix: str) -> None:
    async with open_queue(servers.redis_url, redis_prefix) as queue:
        order_id = uuid4()
        await queue.enqueue([order_id])
        await queue.lease("dead", 1, 50)
        assert await queue.reclaim("alive", 60_000) == []
        (entry,) = await queue.reclaim("alive", 0)
        assert entry.order_id == order_id


async def test_a_blocked_lease_survives_a_flush(servers: Servers, redis_prefix: str) -> None:
    async with open_queue(servers.redis_url, redis_prefix) as queue, open_redis(servers.redis_url) as client:
        waiting = asyncio.create_task(queue.lease("a", 1, 2_000))

        async def blocked() -> bool:
            return any(c["cmd"] == "xreadgroup" and "b" in c["flags"] for c in await client.client_list())

        await until(blocked)
        await client.delete(queue.work)
        await asyncio.wait([waiting])
        error = waiting.exception()
        assert error is None or "Redis" in str(error), "an outage by its name, never a raw error"
        order_id = uuid4()
        await queue.prepare()
        await queue.enqueue([order_id])
        assert await lease_ids(queue) == [order_id]


async def test_no_entries_are_taken_over_from_a_lost_stream(servers: Servers, redis_prefix: str) -> None:
    async with open_queue(servers.redis_url, redis_prefix) as queue, open_redis(servers.redis_url) as client:
        await client.delete(queue.work)
        assert await queue.take_over_pending("successor", "dead") == []


async def test_a_consumer_with_pending_entries_is_not_removed(servers: Servers, redis_prefix: str) -> None:
    async with open_queue(servers.redis_url, redis_prefix) as queue, open_redis(servers.redis_url) as client:
        await queue.enqueue([uuid4()])
        await queue.lease("busy", 1, 50)
        await queue.remove_consumers("busy")
        assert [c["name"] for c in await client.xinfo_consumers(queue.work, "workers")] == [b"busy"]
        await queue.ack(await queue.reclaim("busy", 0))
        await queue.remove_consumers("busy")
        assert await client.xinfo_consumers(queue.work, "workers") == []


async def test_no_window_grants_more_than_its_limit_over_all_processes(servers: Servers, redis_prefix: str) -> None:
    async with open_redis(servers.redis_url) as one, open_redis(servers.redis_url) as two:
        limiters = [RateLimiter(one, redis_prefix, "one"), RateLimiter(two, redis_prefix, "two")]
        grants = await asyncio.gather(*(limiters[n % 2].take("k", 25, 3) for n in range(20)))
        assert sum(grant.granted for grant in grants) == 25
        refused = await limiters[0].take("k", 25)
        assert refused.granted == 0
        assert 0 < refused.retry_after <= 60
        await limiters[0].give_back("k", [unit for grant in grants for unit in grant.units][3:5])
        assert (await limiters[1].take("k", 25, 5)).granted == 2


async def test_only_the_units_of_the_own_grant_are_given_back(servers: Servers, redis_prefix: str) -> None:
    async with open_redis(servers.redis_url) as client:
        mine, theirs = RateLimiter(client, redis_prefix, "mine"), RateLimiter(client, redis_prefix, "theirs")
        taken = await mine.take("k", 4, 2)
        used = await theirs.take("k", 4, 2)
        await mine.give_back("k", taken.units)
        await mine.give_back("k", taken.units)
        assert set(await client.zrange(f"{{{redis_prefix}}}:rate:k", 0, -1)) == set(used.units)


async def test_a_window_opens_again_when_its_oldest_grants_have_aged(servers: Servers, redis_prefix: str) -> None:
    async with open_redis(servers.redis_url) as client:
        limiter = RateLimiter(client, redis_prefix, "p", window_ms=100)
        assert (await limiter.take("k", 2, 5)).granted == 2

        async def granted() -> bool:
            return (await limiter.take("k", 2)).granted == 1

        await until(granted)


@pytest.mark.parametrize(
    "trouble", [("CONFIG", "SET", "maxmemory", "1"), ("REPLICAOF", "127.0.0.1", "9")], ids=["full", "a replica"]
)
async def test_a_server_that_takes_no_writes_is_an_outage(
    tmp_path: Path, redis_prefix: str, trouble: tuple[str, ...]
) -> None:
    """Also with a client without support for Sentinels or Clusters."""
    with a_server(tmp_path / "alone") as node:
        async with open_queue(f"redis://127.0.0.1:{node.port}", redis_prefix) as queue:
            node.ask(*trouble)
            with pytest.raises(UnavailableError):
                await queue.enqueue([uuid4()])


@pytest.mark.parametrize("trouble", ["no script", "a broken set"])
async def test_a_lease_delivers_although_what_is_done_cannot_be_acknowledged_at_once(
    servers: Servers, redis_prefix: str, trouble: str
) -> None:
    """Redis has forgotten the script with a restart, or another program has replaced the set of ids."""
    async with open_queue(servers.redis_url, redis_prefix) as queue, open_redis(servers.redis_url) as client:
        first, second = uuid4(), uuid4()
        await queue.enqueue([first, second])
        done = await queue.lease("a", 1, 50)
        if trouble == "no script":
            queue._ack.sha = "0" * 40
        else:
            await client.set(queue.queued, "no set")
        assert [entry.order_id for entry in await queue.lease("a", 10, 50, done)] == [second]
        assert await client.xlen(queue.work) == 1
        assert (await client.xpending(queue.work, "workers"))["pending"] == 1

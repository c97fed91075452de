"""A Redis that other programs use as well: overwritten keys, entries without an order, and a server that is busy with
another script. It only delays, and no worker ends (promise 6)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from dexexec.broker.queue import Queue
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.errors import UnavailableError
from dexexec.store import Address
from tests.conftest import Servers
from tests.integration.conftest import open_scripted_workers
from tests.support.parts import new_order, open_redis, running
from tests.support.redis_nodes import Node, a_server
from tests.support.scripted_workers import OpenScriptedWorkers
from tests.support.waiting import until

FOREVER = "while true do end"


@pytest.fixture
def lines() -> list[str]:
    """The queue's reports."""
    return []


@asynccontextmanager
async def reporting_queue(url: str, prefix: str, lines: list[str]) -> AsyncIterator[tuple[Queue, redis.asyncio.Redis]]:
    async with open_redis(url) as client, open_redis(url) as blocking:
        queue = Queue(client, blocking, prefix, lines.append)
        await queue.prepare()
        yield queue, client


async def passes(queue: Queue) -> bool:
    """Whether an id comes out that goes in."""
    order_id = uuid4()
    assert await queue.enqueue([order_id]) == 1
    entries = await queue.lease("a", 10, 100)
    await queue.ack(entries)
    return [entry.order_id for entry in entries] == [order_id]


@pytest.mark.parametrize(
    "first", ["enqueue", "depth", "lease", "reclaim", "take_over_pending", "remove_consumers", "ack", "prepare"]
)
async def test_promise_6_keys_of_a_wrong_type_are_recreated_by_every_operation(
    servers: Servers, redis_prefix: str, lines: list[str], first: str
) -> None:
    async with reporting_queue(servers.redis_url, redis_prefix, lines) as (queue, client):
        await queue.enqueue([uuid4()])
        [entry] = await queue.lease("a", 1, 100)
        calls = {
            "enqueue": lambda: queue.enqueue([uuid4()]),
            "depth": queue.depth,
            "lease": lambda: queue.lease("a", 1, 10),
            "reclaim": lambda: queue.reclaim("a", 0),
            "take_over_pending": lambda: queue.take_over_pending("a", "b"),
            "remove_consumers": lambda: queue.remove_consumers("b"),
            "ack": lambda: queue.ack([entry]),
            "prepare": queue.prepare,
        }
        await client.set(queue.work, "a cache entry")
        await client.set(queue.queued, "another")
        await calls[first]()
        await queue.ack(await queue.lease("a", 10, 10))
        assert await passes(queue)
        assert sorted(lines) == [f"{key} was unusable and has been recreated" for key in (queue.queued, queue.work)]


async def test_a_stream_that_takes_no_more_entries_is_recreated(
    servers: Servers, redis_prefix: str, lines: list[str]
) -> None:
    async with reporting_queue(servers.redis_url, redis_prefix, lines) as (queue, client):
        last = f"{2**64 - 1}-{2**64 - 1}"
        await client.xadd(queue.work, {"id": str(uuid4())}, id=last)
        await queue.ack(await queue.lease("a", 1, 100))
        assert await passes(queue)
        assert [line.split()[0] for line in lines] == [queue.work]


async def test_entries_without_an_order_are_removed_and_the_others_are_leased(
    servers: Servers, redis_prefix: str, lines: list[str]
) -> None:
    async with reporting_queue(servers.redis_url, redis_prefix, lines) as (queue, client):
        order_id = uuid4()
        for name, value in (("id", b"no id"), ("other", b"field"), ("id", b"\xff" * 36), ("id", b"x" * 1_000_000)):
            await client.xadd(queue.work, {name: value})
        await queue.enqueue([order_id])
        entries = await queue.lease("a", 100, 100)
        assert [entry.order_id for entry in entries] == [order_id]
        assert await queue.depth() == 1
        assert lines == [f"4 entries of {queue.work} held no order id and were removed"]
        await client.xadd(queue.work, {"id": "again"})
        assert await queue.lease("dead", 1, 100) == []
        assert len(lines) == 1, "told again only after a while"


async def test_a_window_of_a_wrong_type_is_recreated(servers: Servers, redis_prefix: str, lines: list[str]) -> None:
    async with open_redis(servers.redis_url) as client:
        limiter = RateLimiter(client, redis_prefix, "p", report=lines.append)
        key = f"{{{redis_prefix}}}:rate:k"
        await client.set(key, "spoiled")
        grant = await limiter.take("k", 2, 2)
        assert grant.granted == 2
        await client.set(key, "spoiled")
        await limiter.give_back("k", grant.units)
        assert lines == [f"{key} was unusable and has been recreated"] * 2


async def test_promise_6_a_worker_outlives_keys_that_other_programs_overwrite(
    scripted_workers: OpenScriptedWorkers, servers: Servers
) -> None:
    async with (
        scripted_workers() as b,
        open_redis(servers.redis_url) as client,
        running(b.worker().run(), b.sweeper().run()),
    ):
        await client.set(b.queue.work, "spoiled")
        await client.set(b.queue.queued, "spoiled")
        order_id = (await b.store.create(new_order())).order_id
        await b.ended(order_id)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with a_server(tmp_path / "alone") as found:
        yield found


async def test_promise_6_a_worker_outlives_a_script_that_keeps_redis_busy(
    node: Node, database_address: Address, redis_prefix: str
) -> None:
    node.ask("CONFIG", "SET", "busy-reply-threshold", "1")
    url = f"redis://127.0.0.1:{node.port}"
    async with open_redis(url) as somebody, open_scripted_workers(database_address, url, redis_prefix) as b:
        worker, sweeper = b.worker(), b.sweeper()
        async with running(worker.run(), sweeper.run()):
            await b.ended(await b.post())
            script = asyncio.ensure_future(somebody.execute_command("EVAL", FOREVER, 0))  # type: ignore[no-untyped-call]

            async def refused() -> str:
                try:
                    await b.queue.depth()
                except UnavailableError as error:
                    return str(error)
                return ""

            assert await until(refused) == "Redis refuses commands (BUSY)"
            order_id = (await b.store.create(new_order())).order_id
            async with open_redis(url) as other:
                await other.script_kill()
            with pytest.raises(ResponseError):
                await script
            await b.ended(order_id)

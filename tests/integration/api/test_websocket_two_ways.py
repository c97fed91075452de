"""Two ways to a socket, on a real Redis: directly from the commits of its own process, and over Redis from others.

The poll is an hour away, so what arrives has come one of the two ways, or by a read, and those are counted.
"""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from dexexec.domain.status import Status
from dexexec.embedded import lifecycle
from dexexec.feed.publisher import Outgoing, encode
from tests.support.parts import open_redis
from tests.support.streaming import LIFE, memory_record, open_api, open_stream_setup


async def test_sockets_of_the_process_that_commits_stay_live_while_redis_is_stopped(
    short_dir: Path, redis_prefix: str
) -> None:
    with ExitStack() as server:
        url = server.enter_context(lifecycle.valkey(short_dir / redis_prefix))
        async with memory_record() as record, open_stream_setup(record, url, redis_prefix, one_process=True) as setup:
            order_id = await record.create()
            client = await setup.api.connect()
            await client.subscribe(order_id)
            assert await client.seqs(order_id, 1) == [1]
            await asyncio.to_thread(server.close)
            for seq, status in enumerate(LIFE[1:], 2):
                await setup.step(order_id, status)
                assert await client.seqs(order_id, 1) == [seq]
            assert len(setup.api.feed) == 0  # the last one ended the subscription
            assert record.statements == 1


async def test_two_processes_take_turns_with_an_order_and_sockets_of_both_see_every_event_once(
    redis_url: str, redis_prefix: str
) -> None:
    """What a process hears of the other comes behind the echo of its own event before, on the same connection."""
    channel = f"{redis_prefix}:events"
    async with (
        memory_record() as record,
        open_redis(redis_url) as redis,
        open_api(record, redis, channel) as one,
        open_api(record, redis, channel) as other,
    ):
        order_id = await record.create()
        clients = [await api.connect() for api in (one, other)]
        for client in clients:
            await client.subscribe(order_id)
            assert await client.seqs(order_id, 1) == [1]
        reads = record.statements
        for seq, committing in zip(range(2, 12), cycle((one, other)), strict=False):
            committing.publisher.announce([await record.step(order_id, Status.ROUTING)])
            for client in clients:
                assert await client.seqs(order_id, 1) == [seq]
        for client in clients:
            await client.say({"orderId": str(order_id), "action": "unsubscribe"})
            assert await client.hear() == {"orderId": str(order_id), "unsubscribed": True, "afterSeq": 11}
        assert record.statements == reads


async def test_a_process_does_not_listen_to_its_own_messages(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]
        second = await record.step(order_id, Status.ROUTING)
        forged = Outgoing(replace(second, status=Status.FAILED))
        await setup.redis.publish(setup.channel, encode(setup.api.publisher.origin, [forged]))
        setup.publisher.announce([second])
        event = await client.hear()
        assert event is not None
        assert (event["seq"], event["status"]) == (2, "routing")

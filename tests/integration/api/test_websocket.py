"""The WebSocket, with a real server, a real Redis and real clients: every event once, in order, in spite of
failures."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from dexexec.domain.status import Status
from dexexec.embedded import lifecycle
from dexexec.feed.feed import MAX_READ
from tests.support.streaming import LIFE, Client, OpenRecord, memory_record, open_api, open_stream_setup
from tests.support.waiting import until

ALL = list(range(1, len(LIFE) + 1))


# Promise 8: a socket opened at any time, with any afterSeq, sees every later event once, in order.


@pytest.mark.parametrize("one_process", [False, True])
@pytest.mark.parametrize("before", ALL)
async def test_in_any_status_an_orders_whole_life_is_seen(
    open_record: OpenRecord, redis_url: str, redis_prefix: str, before: int, one_process: bool
) -> None:
    async with (
        open_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, one_process=one_process) as setup,
    ):
        order_id = await record.create()
        await setup.live(order_id, before)
        client = await setup.api.connect()
        await client.subscribe(order_id)
        await setup.live(order_id)
        assert await client.seqs(order_id, len(LIFE)) == ALL
        await until(lambda: len(setup.api.feed) == 0)  # the final event ended the subscription


@pytest.mark.parametrize("after", range(len(LIFE)))
async def test_after_seq_resumes(open_record: OpenRecord, redis_url: str, redis_prefix: str, after: int) -> None:
    async with open_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        await setup.live(order_id, 4)
        client = await setup.api.connect()
        await client.subscribe(order_id, after)
        await setup.live(order_id)
        assert await client.seqs(order_id, len(LIFE) - after) == ALL[after:]


async def test_a_message_has_the_fields_of_the_protocol(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        await client.hear()
        await setup.step(order_id, Status.CONFIRMED, txHash="abc", venue="mock-raydium")
        message = await client.hear()
        assert message is not None
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(message.pop("at")))
        assert message == {
            "orderId": str(order_id),
            "seq": 2,
            "status": "confirmed",
            "final": True,
            "finalized": True,
            "txHash": "abc",
            "venue": "mock-raydium",
        }


async def test_a_lost_message_is_found_when_the_next_one_arrives(
    open_record: OpenRecord, redis_url: str, redis_prefix: str
) -> None:
    async with open_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]
        await setup.step(order_id, Status.ROUTING, lost=True)
        await setup.step(order_id, Status.BUILDING)
        assert await client.seqs(order_id, 2) == [2, 3]


async def test_a_lost_message_that_nothing_follows_is_found_by_the_poll(
    open_record: OpenRecord, redis_url: str, redis_prefix: str
) -> None:
    async with (
        open_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, poll_seconds=0.05) as setup,
    ):
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]
        for status in LIFE[1:]:
            await setup.step(order_id, status, lost=True)
        assert await client.seqs(order_id, 4) == [2, 3, 4, 5]


@pytest.mark.parametrize("one_process", [False, True])
async def test_messages_that_arrive_twice_and_out_of_order_are_delivered_once(
    redis_url: str, redis_prefix: str, one_process: bool
) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, one_process=one_process) as setup,
    ):
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]
        second, third = [await record.step(order_id, status) for status in LIFE[1:3]]
        setup.publisher.announce([third, second, second, third, third])
        await setup.step(order_id, LIFE[3])
        assert await client.seqs(order_id, 3) == [2, 3, 4]


async def test_a_foreign_message_on_the_channel_has_no_effect(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]
        broken = f"{order_id} 2 {{".encode(), f'{order_id} 2 {{"seq":7}}'.encode()
        for message in (b"", b"\n\n", b"\xff", b"hello", *broken, b"\xff\n" + broken[0], b"f" * 32 + b"\n" + broken[1]):
            await setup.redis.publish(setup.channel, message)
        await setup.step(order_id, LIFE[1])
        assert await client.seqs(order_id, 1) == [2]


async def test_events_reach_the_sockets_of_every_api_process(
    open_record: OpenRecord, redis_url: str, redis_prefix: str
) -> None:
    async with (
        open_record() as record,
        open_stream_setup(record, redis_url, redis_prefix) as setup,
        open_api(record, setup.redis, setup.channel) as second,
    ):
        order_id = await record.create()
        clients = [await api.connect() for api in (setup.api, second)]
        for client in clients:
            await client.subscribe(order_id)
            assert await client.seqs(order_id, 1) == [1]
        await setup.live(order_id)
        for client in clients:
            assert await client.seqs(order_id, 4) == ALL[1:]


async def test_a_restart_of_every_process_is_bridged_by_the_last_seq(
    open_record: OpenRecord, redis_url: str, redis_prefix: str
) -> None:
    async with open_record() as record:
        async with open_stream_setup(record, redis_url, redis_prefix) as setup:
            order_id = await record.create()
            await setup.live(order_id, 2)
            client = await setup.api.connect()
            await client.subscribe(order_id)
            assert await client.seqs(order_id, 2) == [1, 2]
        assert await client.closed() == (1001, "going away: resume with afterSeq")
        await record.step(order_id, LIFE[2])
        async with open_stream_setup(record, redis_url, redis_prefix) as setup:
            client = await setup.api.connect()
            await client.subscribe(order_id, 2)
            await setup.live(order_id)
            assert await client.seqs(order_id, 3) == [3, 4, 5]


@contextmanager
def redis_of_our_own(folder: Path) -> Iterator[str]:
    with lifecycle.valkey(folder) as url:
        yield url


async def test_a_restart_of_redis_loses_no_event(short_dir: Path, redis_prefix: str) -> None:
    folder = short_dir / redis_prefix
    server = redis_of_our_own(folder)
    url = server.__enter__()
    async with memory_record() as record, open_stream_setup(record, url, redis_prefix) as setup:
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]
        await asyncio.to_thread(server.__exit__, None, None, None)
        await setup.step(order_id, LIFE[1])
        late = await setup.api.connect()
        await late.subscribe(order_id)
        assert await late.seqs(order_id, 2) == [1, 2]  # without Redis the record is still read
        server = redis_of_our_own(folder)
        await asyncio.to_thread(server.__enter__)
        try:
            assert await client.seqs(order_id, 1) == [2]  # found on reconnecting: the poll is an hour away
            await until(setup.api.feed.listening.is_set)
            await setup.step(order_id, LIFE[2])
            assert await client.seqs(order_id, 1) == [3]
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


async def test_subscribing_while_postgres_is_down_waits_and_then_goes_on(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_ids = [await record.create() for _ in range(3)]
        record.down = True
        client = await setup.api.connect()
        for order_id in order_ids:
            await client.subscribe(order_id)
        assert await client.error() == "unavailable"
        record.down = False
        heard = [await client.hear() for _ in order_ids]
        assert {event and event.get("orderId") for event in heard} == set(map(str, order_ids))


# Many.


async def test_one_socket_follows_a_thousand_orders(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_ids = [await record.create() for _ in range(1_000)]
        client = await setup.api.connect()
        for order_id in order_ids:
            await client.subscribe(order_id)

        async def all_lives() -> dict[UUID, list[int]]:
            seen: dict[UUID, list[int]] = {order_id: [] for order_id in order_ids}
            for _ in range(len(LIFE) * len(order_ids)):
                event = await client.hear()
                assert event is not None
                assert isinstance(event["seq"], int)
                seen[UUID(str(event["orderId"]))].append(event["seq"])
            return seen

        reading = asyncio.create_task(all_lives())
        for order_id in order_ids:
            await setup.live(order_id)
        assert set(map(tuple, (await reading).values())) == {tuple(ALL)}
        await until(lambda: len(setup.api.feed) == 0)


async def test_a_thousand_sockets_follow_one_order_and_postgres_is_read_for_few_of_them(
    redis_url: str, redis_prefix: str
) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        await setup.live(order_id, 3)
        clients: list[Client] = []
        for _ in range(20):
            clients += await asyncio.gather(*(setup.api.connect() for _ in range(50)))
        record.statements = record.rows_read = 0
        await asyncio.gather(*(client.subscribe(order_id) for client in clients))
        assert all([await client.seqs(order_id, 3) == [1, 2, 3] for client in clients])
        assert record.rows_read == 3 * record.statements
        assert record.statements < MAX_READ / 10
        await setup.live(order_id)
        assert all([await client.seqs(order_id, 2) == [4, 5] for client in clients])
        for client in clients:
            client.connection.close()
        await until(lambda: len(setup.api.registry) == 0, pause=0.01)

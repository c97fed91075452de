"""Client messages on the WebSocket: each mistake is answered, and only a flood ends the socket."""

import asyncio
import json
from uuid import uuid4

import pytest

from dexexec.store import Address
from tests.support.raw_websocket import RawClient
from tests.support.resting_rows import rest
from tests.support.streaming import LIFE, OpenRecord, memory_record, open_stream_setup, postgres_record
from tests.support.waiting import until
from tests.unit.api.test_websocket_messages import BAD

ALL = list(range(1, len(LIFE) + 1))


async def test_unsubscribing_is_acknowledged_and_final_for_that_order_only(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        left, kept = await record.create(), await record.create()
        client = await setup.api.connect()
        for order_id in (left, kept):
            await client.subscribe(order_id)
            assert await client.seqs(order_id, 1) == [1]
        await setup.step(left, LIFE[1])
        assert await client.seqs(left, 1) == [2]
        await client.say({"orderId": str(left), "action": "unsubscribe"})
        assert await client.hear() == {"orderId": str(left), "unsubscribed": True, "afterSeq": 2}
        await setup.step(left, LIFE[2])
        await setup.step(kept, LIFE[1])
        assert await client.seqs(kept, 1) == [2]
        await client.say({"orderId": str(left), "action": "unsubscribe"})
        assert await client.error() == "not-subscribed"
        await client.subscribe(left, 2)
        assert await client.seqs(left, 1) == [3]


@pytest.mark.parametrize(("message", "code", "says"), BAD)
async def test_a_bad_message_is_answered_and_the_socket_lives_on(
    redis_url: str, redis_prefix: str, message: str | bytes, code: str, says: str
) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        client = await setup.api.connect()
        await client.connection.write_message(message, binary=isinstance(message, bytes))
        answer = await client.hear()
        assert answer is not None
        error = answer["error"]
        assert isinstance(error, dict)
        assert (error["code"], says in error["message"]) == (code, True)
        order_id = await record.create()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]


async def test_an_unknown_order_is_an_error_and_the_socket_lives_on(
    open_record: OpenRecord, redis_url: str, redis_prefix: str
) -> None:
    async with open_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        client = await setup.api.connect()
        await client.subscribe(uuid4())
        assert await client.error() == "order-not-found"
        order_id = await record.create()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]


async def test_an_after_seq_that_never_was_is_an_error(
    open_record: OpenRecord, redis_url: str, redis_prefix: str
) -> None:
    async with open_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id, 2)
        assert await client.error() == "after-seq-ahead"
        await client.subscribe(order_id, 2**31 - 1)
        assert await client.error() == "after-seq-ahead"
        await client.subscribe(order_id, 0)
        assert await client.seqs(order_id, 1) == [1]


async def test_resuming_after_the_final_event_returns_an_end(
    open_record: OpenRecord, redis_url: str, redis_prefix: str
) -> None:
    async with open_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        await setup.live(order_id)
        client = await setup.api.connect()
        await client.subscribe(order_id, 5)
        assert await client.hear() == {"orderId": str(order_id), "unsubscribed": True, "afterSeq": 5}
        assert len(setup.api.feed) == 0


async def test_subscribing_twice_is_an_error_and_the_first_goes_on(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]
        await client.subscribe(order_id)
        assert await client.error() == "already-subscribed"
        await setup.step(order_id, LIFE[1])
        assert await client.seqs(order_id, 1) == [2]


async def test_a_socket_follows_so_many_orders_and_no_more(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix, socket_orders=2) as setup:
        first, second, third = [await record.create() for _ in range(3)]
        client = await setup.api.connect()
        for order_id in (first, second):
            await client.subscribe(order_id)
            assert await client.seqs(order_id, 1) == [1]
        await client.subscribe(third)
        assert await client.error() == "too-many-orders"
        await setup.live(first)  # its end makes room
        assert await client.seqs(first, 4) == ALL[1:]
        await client.subscribe(third)
        assert await client.seqs(third, 1) == [1]


async def test_the_url_may_name_the_first_order(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        await setup.live(order_id, 3)
        client = await setup.api.connect(f"?orderId={order_id}&afterSeq=1")
        assert await client.seqs(order_id, 2) == [2, 3]
        client = await setup.api.connect("?orderId=7")
        assert await client.error() == "invalid-order-id"
        await client.subscribe(order_id, 2)
        assert await client.seqs(order_id, 1) == [3]


async def test_a_message_that_is_far_too_large_ends_that_socket_only(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        client, other = await setup.api.connect(), await setup.api.connect()
        await client.connection.write_message("x" * 65_536)
        assert await client.error() == "message-too-large"
        await client.connection.write_message("x" * 65_537)
        assert (await client.closed())[0] == 1009
        await until(lambda: len(setup.api.registry) == 1)
        await other.subscribe(order_id)
        assert await other.seqs(order_id, 1) == [1]


async def test_a_flood_is_answered_and_closed(redis_url: str, redis_prefix: str) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, socket_messages_per_second=3) as setup,
    ):
        client = await setup.api.connect()
        await asyncio.gather(*(client.say({"orderId": str(uuid4()), "action": "unsubscribe"}) for _ in range(45)))
        codes = [await client.error()]
        while codes[-1] == "not-subscribed":
            codes.append(await client.error())
        assert codes[-1] == "flooding"
        assert await client.closed() == (1008, "flooding: at most 3 messages per second")


async def test_bad_messages_cost_more(redis_url: str, redis_prefix: str) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, socket_messages_per_second=1) as setup,
    ):
        client = await setup.api.connect()
        for _ in range(4):
            await client.connection.write_message("hello")
        codes = [await client.error() for _ in range(3)]
        assert codes == ["malformed-message", "malformed-message", "flooding"]
        assert (await client.closed())[0] == 1008


async def test_pings_are_messages_too(redis_url: str, redis_prefix: str) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, socket_messages_per_second=1) as setup,
        RawClient.connect(setup.api.port) as client,
    ):
        for _ in range(13):
            await client.send(RawClient.PING, b"")
        frames = [frame async for frame in client.frames()]
        assert (RawClient.PONG, b"") in frames
        assert json.loads(frames[-2][1])["error"]["code"] == "flooding"
        assert frames[-1][1][:2] == (1008).to_bytes(2, "big")


async def test_an_order_is_cancelled_over_the_socket_whether_it_is_followed_or_not(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with postgres_record(database_address) as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id, missing = await record.create(), uuid4()
        client = await setup.api.connect()
        await client.say({"cancel": str(order_id)})
        assert await client.hear() == {"orderId": str(order_id), "cancelled": True, "seq": 2}
        await client.say({"cancel": str(order_id)})
        assert await client.hear() == {"orderId": str(order_id), "cancelled": True, "seq": 2}, "repeating is harmless"
        await client.say({"cancel": str(missing)})
        assert await client.error() == "order-not-found"
        signed = await record.create()
        async with record._connect() as connection:
            await connection.execute("UPDATE orders SET attempts = 1, status = 'submitted' WHERE id = %s", (signed,))
        await client.say({"cancel": str(signed)})
        assert await client.error() == "too-late"
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 2) == [1, 2]


async def test_many_orders_are_cancelled_over_the_socket(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with postgres_record(database_address) as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        rest(database_address.conninfo(), 7, tag="grid")
        order_id = await record.create()
        client = await setup.api.connect()
        await client.say({"cancelAll": {"status": "waiting", "pair": "SOL/USDC", "tag": "grid"}})
        assert await client.hear() == {"cancelledAll": {"cancelled": 7, "tooLate": 0}}
        await client.say({"cancelAll": {"status": "open"}})
        assert await client.hear() == {"cancelledAll": {"cancelled": 1, "tooLate": 0}}
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 2) == [1, 2]
        await client.say({"cancelAll": {"pair": "SOL"}})
        assert await client.error() == "invalid-selection"

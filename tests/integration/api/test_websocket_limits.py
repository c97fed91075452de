"""Slow, silent and foreign peers, and the drain: what ends a socket, and that no other client is affected."""

import asyncio
import json
from uuid import UUID, uuid4

import pytest
from tornado.httpclient import HTTPClientError

from dexexec.domain.status import Status
from tests.support.raw_websocket import RawClient
from tests.support.streaming import memory_record, open_stream_setup
from tests.support.waiting import until

# Promise 12: a slow socket costs a bounded number of bytes and delays nobody.


async def test_a_reader_that_stops_is_closed_with_resume_and_delays_no_other(redis_url: str, redis_prefix: str) -> None:
    limit, events = 65_536, 600
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, socket_buffer_bytes=limit) as setup,
        RawClient.connect(setup.api.port) as slow,
    ):
        order_id = await record.create()
        await slow.send(RawClient.TEXT, json.dumps({"orderId": str(order_id)}).encode())
        await until(lambda: len(setup.api.feed) == 1)
        stuck = setup.api.sockets[0]
        quick = await setup.api.connect()
        await quick.subscribe(order_id)
        assert await quick.seqs(order_id, 1) == [1]
        largest = 0
        for seq in range(2, events + 1):
            await setup.step(order_id, Status.ROUTING, detail="x" * 2_000)
            assert await quick.seqs(order_id, 1) == [seq]  # while the other one stands still
            largest = max(largest, stuck._outbox.size)
        assert limit / 2 < largest <= limit
        assert stuck._outbox.size <= limit
        frames = [frame async for frame in slow.frames()]
        opcode, payload = frames.pop()
        assert (opcode, payload[:2], payload[2:]) == (
            RawClient.CLOSE,
            (4008).to_bytes(2, "big"),
            b"slow: resume with afterSeq",
        )
        seqs = [json.loads(payload)["seq"] for _, payload in frames]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) < events


async def test_a_peer_that_never_reads_again_is_cut(redis_url: str, redis_prefix: str) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, socket_buffer_bytes=16_384) as setup,
        RawClient.connect(setup.api.port) as slow,
    ):
        order_id = await record.create()
        await slow.send(RawClient.TEXT, json.dumps({"orderId": str(order_id)}).encode())
        await until(lambda: len(setup.api.feed) == 1)
        (stuck,) = setup.api.sockets
        while len(setup.api.feed):
            await setup.step(order_id, Status.ROUTING, detail="x" * 2_000)
            await asyncio.sleep(0)
        assert stuck._outbox.size <= 16_384
        await until(lambda: len(setup.api.registry) == 0, pause=0.05)
        assert stuck._stream.closed()


async def test_a_long_history_is_paced_for_a_slow_reader(redis_url: str, redis_prefix: str) -> None:
    limit, events = 65_536, 1_000
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, socket_buffer_bytes=limit) as setup,
        RawClient.connect(setup.api.port) as slow,
    ):
        order_id = await record.create()
        for _ in range(events - 1):
            await record.step(order_id, Status.ROUTING, detail="x" * 2_000)
        await slow.send(RawClient.TEXT, json.dumps({"orderId": str(order_id)}).encode())
        await until(lambda: bool(setup.api.sockets) and setup.api.sockets[0]._outbox.size > limit / 4)
        await setup.step(order_id, Status.CONFIRMED)
        seqs: list[int] = []
        while len(seqs) < events + 1:
            frame = await slow.frame()
            assert frame is not None
            seqs.append(json.loads(frame[1])["seq"])
            assert setup.api.sockets[0]._outbox.size <= limit / 2 + 3_000
        assert seqs == list(range(1, events + 2))
        assert len(setup.api.registry) == 1


# Liveness, origin, drain.


async def test_a_socket_that_answers_pings_stays(redis_url: str, redis_prefix: str) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, ping_seconds=0.1) as setup,
        RawClient.connect(setup.api.port) as client,
    ):
        for _ in range(5):
            frame = await client.frame()
            assert frame == (RawClient.PING, b"")
            await client.send(RawClient.PONG, b"")
        assert len(setup.api.registry) == 1


async def test_a_socket_that_gives_no_sign_of_life_is_closed_with_resume(redis_url: str, redis_prefix: str) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, ping_seconds=0.1) as setup,
        RawClient.connect(setup.api.port) as client,
    ):
        frames = [frame async for frame in client.frames()]
        assert frames == [
            (RawClient.PING, b""),
            (RawClient.CLOSE, (4008).to_bytes(2, "big") + b"silent: resume with afterSeq"),
        ]


@pytest.mark.parametrize(
    ("allowed", "origin", "welcome"),
    [
        ("", None, True),
        ("", "http://127.0.0.1:{port}", True),
        ("", "https://evil.example", False),
        ("", "null", False),
        ("https://app.example", "https://app.example", True),
        ("https://App.example/", "https://app.example", True),
        ("https://app.example", "http://app.example", False),
        ("https://app.example", "https://app.example.evil.example", False),
        ("https://app.example", "https://app.example:8443", False),
        ("*", "https://evil.example", True),
        ("*", "null", True),
    ],
)
async def test_pages_of_other_origins_must_be_allowed(
    redis_url: str, redis_prefix: str, allowed: str, origin: str | None, welcome: bool
) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, allowed_origins=allowed) as setup,
    ):
        headers = {} if origin is None else {"Origin": origin.format(port=setup.api.port)}
        if welcome:
            await setup.api.connect("", **headers)
        else:
            with pytest.raises(HTTPClientError) as caught:
                await setup.api.connect("", **headers)
            assert caught.value.code == 403


async def test_a_drain_closes_all_sockets_with_1001_and_cuts_those_that_do_not_answer(
    redis_url: str, redis_prefix: str
) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix) as setup,
        RawClient.connect(setup.api.port) as silent,
    ):
        clients = [await setup.api.connect() for _ in range(3)]
        order_id = await record.create()
        await clients[0].subscribe(order_id)
        assert await clients[0].seqs(order_id, 1) == [1]
        await asyncio.wait_for(setup.api.registry.close_all(grace=0.2), 20)
        for client in clients:
            assert await client.closed() == (1001, "going away: resume with afterSeq")
        frames = [frame async for frame in silent.frames()]
        assert frames == [(RawClient.CLOSE, (1001).to_bytes(2, "big") + b"going away: resume with afterSeq")]
        await until(lambda: len(setup.api.registry) == 0)
        assert len(setup.api.feed) == 0
        late = await setup.api.connect()
        assert (await late.closed())[0] == 1001


async def test_a_client_that_leaves_leaves_nothing_behind(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        order_id = await record.create()
        client = await setup.api.connect()
        await client.subscribe(order_id)
        assert await client.seqs(order_id, 1) == [1]
        client.connection.close()
        await until(lambda: len(setup.api.registry) == 0)
        assert len(setup.api.feed) == 0


async def test_an_internal_error_closes_the_socket_instead_of_leaving_it_waiting(
    redis_url: str, redis_prefix: str, io_loop: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        fault = KeyError("ours")

        async def broken(_wanted: object) -> dict[UUID, list[object]]:
            raise fault

        monkeypatch.setattr(record, "events_after", broken)
        client = await setup.api.connect()
        await client.subscribe(uuid4())
        assert (await client.closed())[0] == 1011
        assert reported == [fault]

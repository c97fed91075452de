"""How requests to a node are counted and delayed, for the part of the benchmark with a distant node."""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dexexec.bench.node.delaying_proxy import HOST, DelayingProxy
from dexexec.bench.node.request_log import NodeRequest, first_send, sequential_round_trips
from dexexec.cli.main import parser
from tests.support.tcp_server import tcp_server


def request(sent_at: float, answered_at: float | None, method: str = "getSlot", payload: str = "") -> NodeRequest:
    return NodeRequest(method=method, sent_at=sent_at, answered_at=answered_at, payload=payload)


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([], 0),
        ([(1.0, 2.0)], 1),
        ([(1.0, 2.0), (1.0, 2.0)], 1),
        ([(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)], 3),
        ([(1.0, 4.0), (1.0, 2.0), (2.5, 3.5)], 2),
        ([(0.5, 2.0)], 0),
        ([(4.0, 6.0)], 0),
        ([(4.0, None)], 0),
    ],
    ids=["none", "one", "at once", "in sequence", "beside a long one", "from before", "too late", "not answered"],
)
def test_only_requests_that_can_have_been_waited_for_in_sequence_count(
    requests: list[tuple[float, float | None]], expected: int
) -> None:
    assert sequential_round_trips([request(*one) for one in requests], 1.0, 5.0) == expected


def test_a_transaction_of_an_earlier_order_is_not_the_first_send() -> None:
    requests = [
        request(1.0, 1.5, "sendTransaction", "old"),
        request(3.0, None, "sendTransaction", "new"),
        request(2.5, None, "sendTransaction", "old"),
    ]
    found = first_send(requests, 2.0, {"old"})
    assert found is not None
    assert found.payload == "new"
    assert first_send(requests, 2.0, {"old", "new"}) is None


@asynccontextmanager
async def proxied() -> AsyncIterator[DelayingProxy]:
    """A proxy in front of a server that answers each request with its own body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with tcp_server(serve, HOST) as port:
        proxy = DelayingProxy(port)
        await proxy.open()
        try:
            yield proxy
        finally:
            await proxy.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: object) -> bytes:
    body = json.dumps(call).encode()
    # In two pieces, as a large request arrives.
    text = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    writer.write(text[:20])
    await writer.drain()
    writer.write(text[20:])
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.partition(b"Content-Length:")[2].split()[0]))


async def test_each_request_takes_a_round_trip_and_a_new_connection_another_one() -> None:
    async with proxied() as proxy:
        proxy.rtt = 0.05
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        calls = [{"method": "getSlot", "params": []}, {"method": "sendTransaction", "params": ["AQ=="]}]
        for call in calls:
            assert json.loads(await ask(reader, writer, call)) == call
        elapsed = time.monotonic() - begun
        writer.close()
        # Never faster, on any machine: only the lower bound is certain.
        assert elapsed >= 3 * proxy.rtt
        assert [one.method for one in proxy.requests] == ["connect", "getSlot", "sendTransaction"]
        assert proxy.requests[2].payload == "AQ=="
        for one in proxy.requests:
            assert one.answered_at is not None
            assert one.answered_at - one.sent_at >= proxy.rtt - 0.001
        assert sequential_round_trips(proxy.requests, begun, time.monotonic()) == 3


async def test_large_answers_arrive_complete_and_in_order() -> None:
    async with proxied() as proxy:
        proxy.rtt = 0.002
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        call = {"method": "getSlot", "params": list(range(200_000))}
        assert json.loads(await ask(reader, writer, call)) == call
        writer.close()


async def test_bytes_of_a_websocket_pass_without_being_read_as_requests() -> None:
    async with proxied() as proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\n\x81\x00{}")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), "the server here answers everything"
        assert await reader.readexactly(4) == b"\x81\x00{}"
        assert proxy.requests == []
        writer.close()


def test_distances_are_listed_by_comma_and_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args(["bench", "--rtt-ms", "100, 0,100"]).rtt_ms == (100, 0)
    for wrong in ("", "fast", "-1", "1.5", "5001", "1,,2"):
        with pytest.raises((SystemExit, argparse.ArgumentError)):
            parser().parse_args(["bench", "--rtt-ms", wrong])
        assert "whole numbers of 0 to 5000 ms" in " ".join(capsys.readouterr().err.split())

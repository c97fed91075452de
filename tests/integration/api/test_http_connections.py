"""How many connections the HTTP server keeps, which it gives up, and what becomes of requests without a client."""

import asyncio
import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from unittest.mock import Mock

import pytest

from dexexec.api import read_gate
from dexexec.api.body_limit import BodyLimit
from dexexec.api.client_stream import ClientStream, Phase
from dexexec.api.request_pacer import Pacer
from tests.support.raw_websocket import RawClient
from tests.support.running_api import GOOD, HEAD, Service, problem, running_service
from tests.support.waiting import until

POST = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
LIST = b"GET /api/orders?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def without_descriptors() -> Iterator[None]:
    """No more of them for this process while the block lasts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Held(Pacer):
    """Lets no request begin, until a test does."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[asyncio.Future[None]] = []

    def turn(self, client: str) -> asyncio.Future[None]:
        self.turns.append(asyncio.get_running_loop().create_future())
        return self.turns[-1]


def lines(service: Service, event: str) -> list[dict[str, object]]:
    return [line for line in service.log_lines() if line["event"] == event]


# How many there are


async def test_idle_connections_give_way_to_active_clients() -> None:
    async with running_service(max_connections=16, client_connections=16) as service, AsyncExitStack() as stack:
        for _ in range(40):
            await stack.enter_async_context(service.raw())
        for _ in range(3):
            assert (await service.post()).code == 202
        assert len(service.server.table) <= 16


async def test_a_connection_that_has_sent_a_request_gives_way_after_one_that_never_did() -> None:
    async with running_service(max_connections=16, client_connections=16) as service, AsyncExitStack() as stack:
        kept = await stack.enter_async_context(service.raw())
        silent = [await stack.enter_async_context(service.raw()) for _ in range(15)]
        await until(lambda: len(service.server.table) == 16)
        await kept.send(POST)
        assert (await kept.answer())[0] == 202
        await stack.enter_async_context(service.raw())
        assert await silent[0].closed() == b""
        await kept.send(POST)
        assert (await kept.answer())[0] == 202


async def test_a_connection_in_use_is_kept_and_the_one_too_many_is_refused() -> None:
    async with running_service(max_connections=16, client_connections=16) as service, AsyncExitStack() as stack:
        service.store.switch.hang()
        busy = [await stack.enter_async_context(service.raw()) for _ in range(16)]
        for raw in busy:
            await raw.send(POST)
        await until(lambda: service.store.asked == 16)
        late = await stack.enter_async_context(service.raw())
        status, headers, body = await late.answer()
        problem(headers, body, status, "too-many-connections")
        assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
        assert await late.closed() == b""
        service.store.switch.go_on.set()
        assert [(await raw.answer())[0] for raw in busy] == [202] * 16


async def test_a_client_with_its_share_of_connections_is_refused_more_although_others_may_connect() -> None:
    async with running_service(max_connections=16, client_connections=4) as service, AsyncExitStack() as stack:
        service.store.switch.hang()
        for _ in range(4):
            raw = await stack.enter_async_context(service.raw())
            await raw.send(POST)
        await until(lambda: service.store.asked == 4)
        late = await stack.enter_async_context(service.raw())
        assert (await late.answer())[0] == 503
        service.store.switch.go_on.set()


async def test_behind_a_proxy_its_address_is_no_client() -> None:
    async with running_service(max_connections=16, trust_proxy=True) as service, AsyncExitStack() as stack:
        service.store.switch.hang()
        for _ in range(16):
            raw = await stack.enter_async_context(service.raw())
            await raw.send(POST)
        await until(lambda: service.store.asked == 16)
        service.store.switch.go_on.set()


async def test_without_descriptors_nothing_is_accepted_for_a_while_and_one_line_reports_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_service() as service:
        accept_later = Mock(wraps=service.server.accept_later)
        monkeypatch.setattr(service.server, "accept_later", accept_later)
        assert (await service.post()).code == 202
        with socket.create_connection(("127.0.0.1", service.port)) as client:  # the kernel has it; nobody accepted it
            with without_descriptors():
                await until(lambda: lines(service, "connections not accepted for now"))
                for _ in range(1_000):  # turns of the event loop, in which it must not be tried again
                    await asyncio.sleep(0)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, POST)
            assert (await loop.sock_recv(client, 12)) == b"HTTP/1.1 202"
        assert len(lines(service, "connections not accepted for now")) == 1
        assert accept_later.call_count < 50


# What is given up


async def test_a_header_that_trickles_in_ends_the_connection() -> None:
    async with running_service() as service, service.raw() as raw:
        service.server.table.limits = replace(service.server.table.limits, header_seconds=0.1)
        reading = asyncio.create_task(raw.closed())
        await raw.send(b"GET / HTTP/1.1\r\nX: ")
        while not reading.done():
            raw.writer.write(b"x")
            await asyncio.sleep(0.01)
        assert service.log_lines() == []


async def test_an_answer_without_a_reader_ends_the_connection_and_few_requests_were_served() -> None:
    async with running_service() as service:
        assert (await service.post()).code == 202
        service.store.created *= 100
        service.client.close()
        await until(lambda: len(service.server.table) == 0)
        service.server.table.limits = replace(service.server.table.limits, answer_seconds=0.1)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", service.port))
            before = service.store.listed
            await loop.sock_sendall(client, LIST * 400)
            await until(lambda: service.store.listed > before)
            await until(lambda: len(service.server.table) == 0, pause=0.01)
            assert service.store.listed - before < 200


async def test_requests_of_a_client_that_has_gone_are_not_begun() -> None:
    async with running_service() as service:
        service.store.switch.hang()
        async with service.raw() as raw:
            await raw.send(LIST * 100)
            await service.store.switch.asked.wait()
            raw.writer.transport.abort()
            await raw.writer.wait_closed()
        service.store.switch.go_on.set()
        await until(lambda: len(service.server.table) == 0)
        assert service.store.listed == 1
        assert (await service.post()).code == 202


async def test_few_bytes_are_read_ahead_of_a_request_in_progress() -> None:
    async with running_service() as service, service.raw() as raw:
        service.store.switch.hang()
        raw.writer.write(LIST * 10_000)
        await service.store.switch.asked.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        (stream,) = service.server.table
        assert isinstance(stream, ClientStream)
        assert stream.phase is Phase.ANSWER
        assert stream._read_buffer_size <= 16_384
        service.store.switch.go_on.set()
        raw.writer.transport.abort()


async def test_a_websocket_is_no_answer_that_is_late() -> None:
    async with running_service() as service, RawClient.connect(service.port):
        (stream,) = service.server.table
        await until(lambda: stream.phase is Phase.DETACHED)
        assert not service.server.table.is_late(stream, stream.since + 1e6)


# Who goes first


async def test_a_posted_order_waits_for_no_other_request() -> None:
    async with running_service() as service:
        limit = service.server.request_callback
        assert isinstance(limit, BodyLimit)
        limit.pacer = held = Held()
        async with service.raw() as raw:
            await raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = asyncio.create_task(raw.answer())
            await until(lambda: any(stream.phase is Phase.BODY for stream in service.server.table))
            assert (await service.post()).code == 202
            assert not answer.done()
            for turn in held.turns:
                turn.set_result(None)
            assert (await answer)[0] == 200


async def test_lists_wait_for_each_other_and_neither_an_order_nor_its_details_wait_for_them() -> None:
    async with running_service() as service, service.raw() as first, service.raw() as second:
        order_id = json.loads((await service.post()).body)["orderId"]
        service.store.list_switch.hang()
        await first.send(LIST)
        await service.store.list_switch.asked.wait()
        await second.send(LIST)
        assert (await service.post()).code == 202
        assert (await service.ask("GET", f"/api/orders/{order_id}")).code == 200
        assert service.store.listed == 1
        service.store.list_switch.go_on.set()
        assert [(await raw.answer())[0] for raw in (first, second)] == [200, 200]


async def test_a_client_with_many_lists_in_flight_gets_a_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_gate, "WAIT_SECONDS", 60.0)
    async with running_service() as service, AsyncExitStack() as stack:
        service.store.list_switch.hang()
        raws = [await stack.enter_async_context(service.raw()) for _ in range(read_gate.LISTS_PER_CLIENT)]
        for raw in raws:
            await raw.send(LIST)
        await until(lambda: service.api.lists.in_flight("127.0.0.1") == read_gate.LISTS_PER_CLIENT)
        late = await stack.enter_async_context(service.raw())
        await late.send(LIST)
        status, headers, body = await late.answer()
        problem(headers, body, status, "too-many-reads")
        assert (status, headers["Retry-After"]) == (429, "1")
        service.store.list_switch.go_on.set()
        for raw in raws:
            assert (await raw.answer())[0] == 200
        await late.send(LIST)
        assert (await late.answer())[0] == 200

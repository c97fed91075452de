"""The events of all orders against a service whose sockets end in every way: each event comes once and in order."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.server import ServerConnection, serve

from dexexec.client import AsyncClient, Client, PositionUnknownError
from dexexec.client.problems import UnauthorizedError

ORDERS = ("01a2295d-82f2-7600-91fb-577a337d39e5", "01a2295d-82f2-7600-91fb-577a337d39e6")
COUNT = 12
BATCH = 3
ALL = [(ORDERS[number % 2], number // 2 + 1) for number in range(COUNT)]
QUIET = logging.getLogger("tests.quiet")
End = Callable[[ServerConnection], Awaitable[None]]


def message(number: int) -> str:
    order_id, seq = ALL[number]
    at = "2026-01-31T12:00:00.123Z"
    return json.dumps({"orderId": order_id, "seq": seq, "status": "routing", "at": at, "final": False})


async def closes(socket: ServerConnection) -> None:
    await socket.close(1001, "going away")


async def cuts(socket: ServerConnection) -> None:
    socket.transport.abort()


async def says_what_is_no_message(socket: ServerConnection) -> None:
    await socket.send("[]")
    await socket.wait_closed()


@dataclass
class AllOrders:
    """A service with one stream of all events. Each socket sends so many events and then ends; the last one goes on."""

    ends: list[tuple[int, End]]
    url: str = ""
    after: list[object] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    """Messages that answer instead of the stream."""

    async def serve(self, socket: ServerConnection) -> None:
        wanted = json.loads(await socket.recv())
        assert wanted.pop("events") == "all"
        self.after.append(wanted.pop("after", None))
        assert not wanted
        if self.first:
            await socket.send(self.first.pop(0))
            await socket.wait_closed()
            return
        begin = int(str(self.after[-1] or "0"))
        await socket.send(json.dumps({"position": str(begin)}))
        most, end = self.ends.pop(0) if self.ends else (COUNT, None)
        for number in range(begin, COUNT):
            if end is not None and number - begin == most:
                await end(socket)
                return
            await socket.send(message(number))
            if (number + 1) % BATCH == 0:
                await socket.send(json.dumps({"position": str(number + 1)}))
        await socket.wait_closed()


@asynccontextmanager
async def all_orders(*ends: tuple[int, End], first: list[str] | None = None) -> AsyncIterator[AllOrders]:
    service = AllOrders(list(ends), first=first or [])
    async with serve(service.serve, "127.0.0.1", 0, logger=QUIET, close_timeout=1) as server:
        service.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield service


@pytest.mark.parametrize("end", [closes, cuts, says_what_is_no_message])
async def test_each_event_comes_once_however_the_sockets_end(end: End) -> None:
    async with all_orders((4, end), (1, end), (0, end), (5, end)) as service, AsyncClient(service.url) as client:
        reasons = list[str]()
        async with client.all_events(on_reconnect=reasons.append) as stream:
            found = [await anext(stream) for _ in range(COUNT)]
            assert stream.position == "9", "the last position comes behind the last event"
        assert [(one.order_id, one.seq) for one in found] == ALL
        assert service.after == [None, "3", "3", "3", "6"]
        assert len(reasons) == 4


def test_a_program_without_an_event_loop_iterates_too() -> None:
    async def run() -> None:
        async with all_orders((4, cuts)) as service:
            await asyncio.to_thread(iterate, service.url)

    def iterate(url: str) -> None:
        with Client(url) as client, client.all_events("6") as events:
            assert events.position == "6"
            found = [next(events) for _ in range(6)]
            assert [(one.order_id, one.seq) for one in found] == ALL[6:]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "error"), [("position-unknown", PositionUnknownError), ("unauthorized", UnauthorizedError)]
)
async def test_what_ends_the_stream_is_raised(code: str, error: type[Exception]) -> None:
    answer = json.dumps({"error": {"code": code, "message": "read the orders anew"}})
    async with all_orders(first=[answer]) as service, AsyncClient(service.url) as client:
        stream = client.all_events("5")
        with pytest.raises(error):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_stream_begins_with_its_block_and_ends_with_the_client() -> None:
    async with all_orders((0, cuts)) as service, AsyncClient(service.url) as client:
        async with client.all_events() as stream:
            assert stream.position == "0"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

"""The event stream against a service whose sockets end in every way: each event comes once and in order."""

import asyncio
import http
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from dexexec.client import AsyncClient, Client, Event, NoAnswerError, Notice, StreamError
from dexexec.client.problems import UnauthorizedError
from tests.support.ports import free_port
from tests.support.waiting import until

A = "01a2295d-82f2-7600-91fb-577a337d39e5"
B = "01a2295d-82f2-7600-91fb-577a337d39e6"
LENGTH = 6
QUIET = logging.getLogger("tests.quiet")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


def event(seq: int, order_id: str) -> str:
    at = "2026-01-31T12:00:00.123Z"
    return json.dumps({"orderId": order_id, "seq": seq, "status": "routing", "at": at, "final": seq == LENGTH})


End = Callable[[ServerConnection], Awaitable[None]]


def closes(code: int) -> End:
    async def end(socket: ServerConnection) -> None:
        await socket.close(code, "resume with afterSeq")

    return end


async def cuts(socket: ServerConnection) -> None:
    socket.transport.abort()


async def sends_garbage(socket: ServerConnection) -> None:
    socket.transport.write(b"\x00\xff\x00\xff" * 10)
    await socket.wait_closed()


def sends(message: str | bytes) -> End:
    async def end(socket: ServerConnection) -> None:
        await socket.send(message)
        await socket.wait_closed()

    return end


@dataclass
class Stream:
    """A service whose first sockets send `each` events of every order and then end by the `ends`, one after another.
    The last socket goes on to the final event."""

    ends: list[End]
    each: int = 2
    url: str = ""
    subscriptions: list[dict[str, object]] = field(default_factory=list)
    sockets: int = 0
    before: list[str] = field(default_factory=list)
    """Messages that each socket sends first."""

    async def serve(self, socket: ServerConnection) -> None:
        self.sockets += 1
        end = self.ends.pop(0) if self.ends else None
        for message in self.before:
            await socket.send(message)
        async for text in socket:
            subscription = json.loads(text)
            self.subscriptions.append(subscription)
            after = int(subscription.get("afterSeq", 0))
            for seq in range(after + 1, LENGTH + 1):
                await socket.send(event(seq, subscription["orderId"]))
                if end is not None and seq == after + self.each:
                    await end(socket)
                    return


@asynccontextmanager
async def streaming(*ends: End, port: int = 0, refuse: list[Response] | None = None) -> AsyncIterator[Stream]:
    stream = Stream(list(ends))

    def handshake(_: ServerConnection, __: Request) -> Response | None:
        return refuse.pop(0) if refuse else None

    server: Server
    async with serve(
        stream.serve, "127.0.0.1", port, process_request=handshake, logger=QUIET, close_timeout=1
    ) as server:
        stream.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield stream


def refusal(status: http.HTTPStatus, body: bytes = b"") -> Response:
    from websockets.datastructures import Headers  # noqa: PLC0415

    return Response(status, status.phrase, Headers({"Content-Length": str(len(body))}), body)


@pytest.mark.parametrize(
    "end",
    [
        *(pytest.param(closes(code), id=str(code)) for code in (1000, 1001, 1002, 1007, 1008, 1009, 1011, 4008, 4999)),
        pytest.param(cuts, id="1006"),
        pytest.param(sends_garbage, id="garbage"),
        pytest.param(sends("[]"), id="no object"),
        pytest.param(sends(b"\x00"), id="binary"),
        pytest.param(sends(event(LENGTH, A)), id="gap"),
        pytest.param(sends("x" * 5_000_000), id="too large"),
    ],
)
async def test_a_socket_that_ends_in_any_way_is_replaced_and_resumed(end: End) -> None:
    reasons: list[str] = []
    async with streaming(end, end) as service, AsyncClient(service.url) as client:
        seqs = [one.seq async for one in client.events(A, on_reconnect=reasons.append)]
    assert seqs == list(range(1, LENGTH + 1))
    assert [one.get("afterSeq", 0) for one in service.subscriptions] == [0, 2, 4]
    assert len(reasons) == 2


async def test_what_comes_twice_is_handed_out_once() -> None:
    async with streaming(closes(4008)) as service, AsyncClient(service.url) as client:
        service.before = [event(1, A), event(2, A)]
        async with client.events(A) as events:
            seqs = [one.seq async for one in events]
        assert seqs == list(range(1, LENGTH + 1))
        assert events.faults_seen


async def test_many_orders_are_followed_on_one_socket_and_all_of_them_resumed() -> None:
    ids = [f"{n:08x}{A[8:]}" for n in range(700)]
    async with streaming() as service, AsyncClient(service.url) as client:
        seen: dict[str, list[int]] = {one: [] for one in ids}
        async with client.events(ids) as events:
            async for one in events:
                seen[one.order_id].append(one.seq)
            assert dict(events.positions) == dict.fromkeys(ids, LENGTH)
    assert all(seqs == list(range(1, LENGTH + 1)) for seqs in seen.values())
    assert (service.sockets, len(service.subscriptions)) == (1, 700)


async def test_a_handshake_that_is_refused_for_now_is_repeated() -> None:
    busy = [refusal(http.HTTPStatus.SERVICE_UNAVAILABLE), refusal(http.HTTPStatus.BAD_GATEWAY)]
    async with streaming(refuse=busy) as service, AsyncClient(service.url) as client:
        assert [one.seq async for one in client.events(A, after_seq=4)] == [5, 6]


async def test_a_handshake_that_is_refused_for_good_is_an_error() -> None:
    body = b'{"type": "/problems/unauthorized", "title": "An API key is required"}'
    refuse = [refusal(http.HTTPStatus.UNAUTHORIZED, body)]
    async with streaming(refuse=refuse) as service, AsyncClient(service.url) as client:
        with pytest.raises(UnauthorizedError, match="An API key is required"):
            await client.wait(A)


async def test_a_service_that_comes_back_on_its_port_is_found_again() -> None:
    port = free_port()
    async with AsyncClient(f"http://127.0.0.1:{port}") as client, client.events({A: 0, B: 3}) as events:
        async with streaming(sends('{"x": 1}'), port=port):
            seen = [await anext(events) for _ in range(2)]
        async with streaming(port=port) as service:
            seen += [one async for one in events]
    assert [one.seq for one in seen if one.order_id == A] == list(range(1, LENGTH + 1))
    assert [one.seq for one in seen if one.order_id == B] == [4, 5, 6]
    assert service.sockets == 1


async def test_a_service_that_stays_away_is_an_error_in_time() -> None:
    async with AsyncClient(f"http://127.0.0.1:{free_port()}", outage_timeout=0.3) as client:
        with pytest.raises(NoAnswerError, match=r"no event stream for 0.3 s: http://.* cannot be connected to"):
            await client.wait(A)


async def test_waiting_has_a_time_limit() -> None:
    async with streaming(sends('{"x": 1}')) as service, AsyncClient(service.url) as client:
        with pytest.raises(NoAnswerError, match=r"has not ended within 0.3 s, (and is routing|without an event)"):
            await client.wait(A, timeout=0.3)


async def test_a_stream_that_is_closed_by_another_task_ends() -> None:
    async with streaming(sends('{"x": 1}')) as service, AsyncClient(service.url) as client:
        events = client.events(A)
        assert [(await anext(events)).seq for _ in range(2)] == [1, 2]
        step = asyncio.ensure_future(anext(events, None))
        await asyncio.sleep(0)
        await events.aclose()
        assert await step is None
        assert await anext(events, None) is None


async def test_a_stream_stays_open_for_orders_that_come_later() -> None:
    async with streaming() as service, AsyncClient(service.url) as client:
        async with client.events(A, stay_open=True) as events:
            assert [(await anext(events)).seq for _ in range(LENGTH)] == list(range(1, LENGTH + 1))
            step = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            events.follow(B, 4)
            assert (await step).order_id == B
        assert service.sockets == 1


async def test_notices_are_reported_and_do_not_disturb() -> None:
    notices: list[Notice] = []
    async with streaming() as service, AsyncClient(service.url) as client:
        service.before = ['{"notice": {"code": "halted", "message": "signing is halted"}}']
        seqs = [one.seq async for one in client.events(A, on_notice=notices.append)]
    assert seqs == list(range(1, LENGTH + 1))
    assert [notice.code for notice in notices] == ["halted"]


async def test_a_service_that_always_leaves_an_event_out_is_an_error() -> None:
    async def leaves_out(socket: ServerConnection) -> None:
        await sends(event(LENGTH, A))(socket)

    async with streaming(*[leaves_out] * 9) as service, AsyncClient(service.url) as client:
        service.each = 0
        service.before = [event(3, A)]
        with pytest.raises(StreamError, match=r"event 1 of .* is missing, 5 times in a row"):
            await client.wait(A)


async def test_closing_the_client_closes_its_streams() -> None:
    async with streaming(sends('{"x": 1}')) as service:
        client = AsyncClient(service.url)
        events = client.events(A)
        await anext(events)
        await client.aclose()
        assert await anext(events, None) is None


@pytest.mark.parametrize("patience", [0.0, 0.001, 0.05])
async def test_a_step_that_is_cancelled_leaves_nothing_behind(patience: float) -> None:
    """Cancelled while it connects, while it waits, and while it closes."""

    async def follow(client: AsyncClient) -> list[Event]:
        async with asyncio.timeout(patience), client.events(A) as events:
            return [one async for one in events]

    async with streaming(*[sends('{"x": 1}')] * 5) as service, AsyncClient(service.url) as client:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await follow(client)
    await until(lambda: len(asyncio.all_tasks()) == 1)


def test_a_function_that_the_blocking_client_calls_cannot_block_its_thread() -> None:
    with Client() as client:

        async def called_by_the_client() -> str:
            try:
                client.venues()
            except RuntimeError as error:
                return str(error)
            return ""

        assert client.run(called_by_the_client()).endswith("use another thread")


def test_a_blocking_step_is_interrupted_by_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a REPL: the request is cancelled, and the client goes on."""
    from concurrent.futures import Future  # noqa: PLC0415

    with Client(f"http://127.0.0.1:{free_port()}", outage_timeout=None) as client:
        real = Future.result
        waited: list[Future[object]] = []

        def interrupted(future: Future[object], timeout: float | None = None) -> object:
            if not waited:
                waited.append(future)
                raise KeyboardInterrupt
            return real(future, timeout)

        monkeypatch.setattr(Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.wait(A)
        assert waited[0].cancelled()
        with pytest.raises(NoAnswerError):
            client.venues(timeout=0.1)

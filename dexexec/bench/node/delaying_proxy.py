"""A TCP proxy in front of a node that delays everything by a round trip time, and logs the HTTP requests.

It passes bytes on, so WebSockets work through it. Opening a connection takes a round trip too, as on a real network.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from dexexec.bench.node.request_log import CONNECT, SEND, NodeRequest

HOST = "127.0.0.1"
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"

T = TypeVar("T")


class LoopThread:
    """An event loop on a thread of its own, for a program that blocks elsewhere."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start `work` on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Stop the loop and wait for its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class DelayingProxy:
    """Listens on a free port and passes connections on to `upstream`, a port of this machine.

    `rtt` is the round trip time in seconds; a change applies to what is passed on afterwards. `requests` has all HTTP
    requests since the last `forget`.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.rtt = 0.0
        self.requests: list[NodeRequest] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address of the node as the service sees it."""
        return f"http://{HOST}:{self.port}"

    async def open(self) -> None:
        """Start to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _FromService(self), HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop to listen."""
        if self._server is not None:
            self._server.close()

    def forget(self) -> None:
        """Forget the requests so far."""
        self.requests = []


class DelayedWriter:
    """Writes data to a connection in order, each piece when it is due."""

    def __init__(self, written: Callable[[float], None] = lambda _: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._written = written
        self._ended = False

    def attach(self, transport: asyncio.Transport) -> None:
        """Set the connection, once it is open."""
        self._transport = transport
        self._write_due()

    def write(self, data: bytes, due: float) -> None:
        """Write `data` at `due` (the loop's time), and never before earlier data."""
        self._waiting.append((due, data))
        self._write_due()

    def end(self) -> None:
        """Close the connection after all data."""
        self._ended = True
        self._write_due()

    def _write_due(self) -> None:
        if self._transport is None:
            return
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            self._transport.write(self._waiting.popleft()[1])
            self._written(now)
        if self._waiting:
            # One timer for the next piece only: two that are due at the same time could swap places.
            if self._timer is None:
                self._timer = self._loop.call_at(self._waiting[0][0], self._timer_fired)
        elif self._ended:
            self._transport.close()

    def _timer_fired(self) -> None:
        self._timer = None
        self._write_due()


class _FromService(asyncio.Protocol):
    """A connection of the service, with its connection to the node."""

    def __init__(self, proxy: DelayingProxy) -> None:
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._opened_at = 0.0
        self._to_node = DelayedWriter()
        self._to_service = DelayedWriter(self._answered)
        self._parser = _RequestParser()
        self._latest: NodeRequest | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._to_service.attach(cast("asyncio.Transport", transport))
        # One reading of the clock for both, because a busy machine may take long between two lines.
        began_at = self._loop.time()
        self._opened_at = began_at + self._proxy.rtt
        opening = NodeRequest(method=CONNECT, sent_at=began_at, answered_at=self._opened_at)
        if self._proxy.rtt:
            self._proxy.requests.append(opening)
        self._connecting = asyncio.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        # What is sent on a new connection leaves only when the connection is open.
        leaves_at = max(self._loop.time(), self._opened_at)
        for method, payload in self._parser.feed(data):
            self._latest = NodeRequest(method=method, sent_at=leaves_at, payload=payload)
            self._proxy.requests.append(self._latest)
        self._to_node.write(data, leaves_at + self._proxy.rtt / 2)

    def connection_lost(self, exc: Exception | None) -> None:
        self._to_node.end()

    async def _connect(self) -> None:
        try:
            transport, _ = await self._loop.create_connection(lambda: _FromNode(self), HOST, self._proxy.upstream)
        except OSError:
            self._to_service.end()
        else:
            self._to_node.attach(transport)

    def from_node(self, data: bytes) -> None:
        """Pass on what the node sent."""
        self._to_service.write(data, self._loop.time() + self._proxy.rtt / 2)

    def node_ended(self) -> None:
        """Close the connection, since the node has closed its side."""
        self._to_service.end()

    def _answered(self, now: float) -> None:
        # Requests on one connection are answered one after the other, so the last bytes belong to the latest one.
        if self._latest is not None:
            self._latest.answered_at = now


class _FromNode(asyncio.Protocol):
    """The connection to the node."""

    def __init__(self, other: _FromService) -> None:
        self._other = other

    def data_received(self, data: bytes) -> None:
        self._other.from_node(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._other.node_ended()


class _RequestParser:
    """Finds JSON-RPC requests in the bytes of an HTTP/1.1 connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._upgraded = False

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Read more bytes. Returns the methods of the requests that are complete now, with the payload of a send."""
        found: list[tuple[str, str]] = []
        # After an upgrade the connection carries WebSocket frames.
        if self._upgraded:
            return found
        self._buffer += data
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            head = self._buffer[:end].lower()
            if b"\r\nupgrade: websocket" in head:
                self._upgraded = True
                self._buffer = b""
                break
            at = head.find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            total = end + len(_HEAD_END) + length
            if len(self._buffer) < total:
                break
            body = self._buffer[end + len(_HEAD_END) : total]
            self._buffer = self._buffer[total:]
            if body:
                found.append(_described(body))
        return found


def _described(body: bytes) -> tuple[str, str]:
    call = json.loads(body)
    if isinstance(call, list):
        return "+".join(str(one.get("method")) for one in call), ""
    method = str(call.get("method"))
    return method, str(call["params"][0]) if method == SEND else ""

"""One keep-alive HTTP connection of the load client. Requests are encoded in advance, and the parser is minimal.

It reads only what the measured servers send: HTTP/1.1 with Content-Length. Anything else ends the connection and is
counted as a fault, so it never becomes a wrong figure.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

EXECUTE = "/api/orders/execute"
ID_LENGTH = 36
_ID = b'"orderId":"'


@dataclass(frozen=True, slots=True)
class Target:
    """Where the measured server listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Target":
        """From an http URL."""
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80)


ORDER = b'{"side":"buy","amount":"0.01"}'
"""An order that every server of the same API accepts."""


def order_request(target: Target, path: str = EXECUTE, body: bytes = ORDER) -> bytes:
    """The POST of an order."""
    head = f"POST {path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def order_id(body: bytes) -> str:
    """The order id in the answer to a POST, or "" if the answer has none."""
    # Not json.loads: the client must stay much faster than the server that it measures.
    at = body.find(_ID)
    if at < 0:
        return ""
    return body[at + len(_ID) : at + len(_ID) + ID_LENGTH].decode("ascii", "replace")


class ConnectionUser(Protocol):
    """Receives the answers of a connection, and its end."""

    def answered(self, connection: "HttpConnection", status: int, body: bytes) -> None:
        """The request in flight was answered."""

    def lost(self, connection: "HttpConnection", why: str) -> None:
        """The connection has ended; a request in flight will not be answered."""


class HttpConnection(asyncio.Protocol):
    """A connection with at most one request in flight.

    Its user sets `number` (of the order) and `timed_from` (when the latency of the request begins).
    """

    __slots__ = ("_buffer", "_transport", "_user", "busy", "number", "timed_from")

    def __init__(self, user: ConnectionUser) -> None:
        self._user = user
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.busy = False
        self.timed_from = 0.0
        self.number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # A cast and no isinstance: uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes) -> None:
        """Send a complete request."""
        if self._transport is None:
            return
        self.busy = True
        self._transport.write(request)

    def close(self) -> None:
        """Close the connection without notifying its user."""
        transport = self._transport
        # Cleared first: `connection_lost` takes a missing transport as our own close.
        self._transport = None
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = buffer
            return
        head = buffer[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if not head.startswith(b"http/1.1 ") or at < 0 or not self.busy:
            self._end("an answer that is not HTTP/1.1 with Content-Length")
            return
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        total = end + 4 + length
        if len(buffer) < total:
            self._buffer = buffer
            return
        self._buffer = buffer[total:]
        self.busy = False
        self._user.answered(self, int(head[9:12]), buffer[end + 4 : total])

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if self._transport is not None:
            self._transport = None
            self._user.lost(self, type(exc).__name__ if exc else "closed by the server")

    def _end(self, why: str) -> None:
        self.close()
        self._user.lost(self, why)


async def connect(target: Target, user: ConnectionUser) -> HttpConnection:
    """Open a connection. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: HttpConnection(user), target.host, target.port)
    return connection

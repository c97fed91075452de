"""One keep-alive HTTP connection of the load client: requests encoded before, and the least parser for answers.

Only what the measured servers use: HTTP/1.1 with Content-Length. Anything else ends the connection, as a fault that is
counted, never as a wrong figure.
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


def order_request(target: Target, path: str = EXECUTE) -> bytes:
    """The POST of an order, as both this service and others of the same API take it."""
    body = b'{"side":"buy","amount":"0.01"}'
    head = f"POST {path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def order_id(body: bytes) -> str:
    """The id in the answer to a POST, "" when there is none."""
    at = body.find(_ID)
    if at < 0:
        return ""
    return body[at + len(_ID) : at + len(_ID) + ID_LENGTH].decode("ascii", "replace")


class Answered(Protocol):
    """Whoever uses a connection."""

    def answered(self, connection: "HttpConnection", status: int, body: bytes) -> None:
        """The answer to the request under way."""

    def lost(self, connection: "HttpConnection", why: str) -> None:
        """The connection has ended; a request that was under way has no answer."""


class HttpConnection(asyncio.Protocol):
    """At most one request under way. `sent_at` and `order` are the user's."""

    __slots__ = ("_buffer", "_transport", "_user", "busy", "order", "sent_at")

    def __init__(self, user: Answered) -> None:
        self._user = user
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.busy = False
        self.sent_at = 0.0
        self.order = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not of that class

    def send(self, request: bytes) -> None:
        """Write a whole request."""
        if self._transport is None:
            return
        self.busy = True
        self._transport.write(request)

    def close(self) -> None:
        """End the connection without a word to its user."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
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
        """Called by the loop."""
        if self._transport is not None:
            self._transport = None
            self._user.lost(self, type(exc).__name__ if exc else "closed by the server")

    def _end(self, why: str) -> None:
        self.close()
        self._user.lost(self, why)


async def connect(target: Target, user: Answered) -> HttpConnection:
    """Open one. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: HttpConnection(user), target.host, target.port)
    return connection

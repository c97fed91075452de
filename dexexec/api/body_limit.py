"""No body over the limit is read into memory, and whoever sends one is told so; nor may a client take for ever.

Tornado's own limit answers an over-long body with a bare "400 Bad Request". This stands before the application and
answers 413 with a problem document instead: at once when Content-Length says so, else when a chunked body passes the
limit. The rest of the body is read and thrown away for a while, because closing a connection that still has unread
data makes the kernel throw away the answer as well (RFC 9112, section 9.6).

Tornado's own time limits wrap each read of each request, which costs more than reading it; here a timer is set and
cancelled.
"""

import asyncio
import weakref
from collections.abc import Awaitable
from dataclasses import dataclass

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)

from dexexec.api import problem
from dexexec.api.handler import common_headers, encode, request_id, tell_refusal
from dexexec.errors import BodyTooLargeError
from dexexec.observe import Observer

LINGER_BYTES = 1 << 20
"""How much of a refused body is thrown away before the connection is closed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a body, and seconds that a client may take for it, and before that for the headers or between two
    requests. Then its connection is closed."""

    body_bytes: int
    body_seconds: float
    idle_seconds: float


class BodyLimit(HTTPServerConnectionDelegate):
    """Passes requests to `application`, unless they are over the limits."""

    def __init__(self, application: HTTPServerConnectionDelegate, limits: Limits, observer: Observer) -> None:
        self._application, self._limits, self._observer = application, limits, observer

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Called by Tornado for each request."""
        inner = self._application.start_request(server_conn, request_conn)
        if not isinstance(request_conn, HTTP1Connection):
            return inner
        return _Limited(inner, request_conn, self._limits, self._observer)


class _Limited(HTTPMessageDelegate):
    """One request. `_received` counts body bytes, `_refused` is set once the 413 is written."""

    def __init__(
        self, inner: HTTPMessageDelegate, connection: HTTP1Connection, limits: Limits, observer: Observer
    ) -> None:
        self._inner, self._connection, self._limits, self._observer = inner, connection, limits, observer
        self._limit = limits.body_bytes
        self._timer = self._close_after(limits.idle_seconds)
        self._received = 0
        self._refused = False
        self._request: HTTPServerRequest | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - this is a server
        self._timer.cancel()
        self._timer = self._close_after(self._limits.body_seconds)
        length = headers.get("Content-Length", "")
        announced = int(length) if length.isascii() and length.isdecimal() and len(length) <= 20 else 0
        if announced > self._limit or "Transfer-Encoding" in headers:
            # Tornado's own limit, which would answer 400, makes room for ours.
            self._connection.set_max_body_size(max(announced, 1 << 62))
            self._request = HTTPServerRequest(connection=self._connection, start_line=start_line, headers=headers)
        if announced <= self._limit:
            return self._inner.headers_received(start_line, headers)
        self._refuse(close=announced > LINGER_BYTES)
        if "Expect" in headers:
            self._connection.finish()  # the client waits for this answer and has sent nothing
        return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._received += len(chunk)
        if not self._refused:
            if self._received <= self._limit:
                return self._inner.data_received(chunk)
            self._inner.on_connection_close()
            self._refuse(close=True)
        if self._received > LINGER_BYTES:
            self._connection.finish()
        return None

    def finish(self) -> None:
        self._timer.cancel()
        if self._refused:
            self._connection.finish()
        else:
            self._inner.finish()

    def on_connection_close(self) -> None:
        self._timer.cancel()
        if not self._refused:
            self._inner.on_connection_close()

    def _close_after(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, _close, weakref.ref(self._connection))

    def _refuse(self, close: bool) -> None:
        assert self._request is not None  # noqa: S101 - made with the headers of every body that can get here
        self._refused = True
        error = BodyTooLargeError(f"the body is over {self._limit} bytes")
        identity = request_id(self._request.headers)
        body = encode(problem.document(error, identity))
        headers = HTTPHeaders({**common_headers(identity), **problem.headers(error), "Content-Length": str(len(body))})
        if close:
            headers["Connection"] = "close"
        start_line = ResponseStartLine("HTTP/1.1", error.http_status, "Content Too Large")
        self._connection.write_headers(start_line, headers, b"" if self._request.method == "HEAD" else body)
        tell_refusal(self._observer, self._request, error.http_status, error, identity)


def _close(connection: weakref.ref[HTTP1Connection]) -> None:
    """Nobody is told when a connection ends between two requests: then the timer is all that knows it, and not enough
    to keep it."""
    found = connection()
    if found is not None:
        found.close()

"""Limits each request between the connection and its handler: its body, its turn, and a client that has gone.

A body over the limit gets a 413 with a problem document, where Tornado answers a bare "400 Bad Request": at once if
Content-Length is too large, else when a chunked body passes the limit.
"""

from collections.abc import Awaitable
from http import HTTPStatus

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)

from dexexec.api import problems
from dexexec.api.client_address import forwarded_client
from dexexec.api.client_stream import ClientStream, Phase
from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.handler import common_headers, encode, log_refusal, request_id
from dexexec.api.request_head import checked
from dexexec.api.request_pacer import Pacer
from dexexec.config.client_connections import ConnectionSettings
from dexexec.errors import BodyTooLargeError, RequestError
from dexexec.observe.observer import Observer

LINGER_BYTES = 1 << 20
"""Bytes of a refused body that are discarded before the connection is closed."""


class BodyLimit(HTTPServerConnectionDelegate):
    """Passes requests to `application`: those of `first_path` at once, others in turns of `pacer`."""

    def __init__(
        self,
        application: HTTPServerConnectionDelegate,
        *,
        body_bytes: int,
        first_path: str,
        pacer: Pacer,
        network: ConnectionSettings,
        sites: SiteCheck,
        observer: Observer,
    ) -> None:
        self.application = application
        self.sites = sites
        self.observer = observer
        self.pacer = pacer
        self._network = network
        self.body_bytes = body_bytes
        self._first_path = first_path

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Called by Tornado for each request."""
        inner = self.application.start_request(server_conn, request_conn)
        assert isinstance(request_conn, HTTP1Connection)  # noqa: S101 - what Tornado's server has
        stream = request_conn.stream
        assert isinstance(stream, ClientStream)  # noqa: S101 - what our server makes
        stream.enter(Phase.REQUEST)
        return _Limited(self, inner, request_conn, stream)

    def goes_first(self, start_line: RequestStartLine) -> bool:
        """Whether a request starts without a turn: posting an order."""
        return start_line.method == "POST" and start_line.path.rstrip("/") == self._first_path

    def client(self, stream: ClientStream, headers: HTTPHeaders) -> str:
        """Whose turn a request takes. A proxy sends those of many clients, which must not wait for each other."""
        forwarded = forwarded_client(headers, self._network) if stream.proxied else None
        return forwarded or stream.client


class _Limited(HTTPMessageDelegate):
    """One request. `_received` counts body bytes, `_refused` is set once it is answered here."""

    def __init__(
        self, limit: BodyLimit, inner: HTTPMessageDelegate, connection: HTTP1Connection, stream: ClientStream
    ) -> None:
        self._inner = inner
        self._connection = connection
        self._stream = stream
        self._observer = limit.observer
        self._sites = limit.sites
        self._pacer = limit.pacer
        self._goes_first = limit.goes_first
        self._client = limit.client
        self._limit = limit.body_bytes
        self._received = 0
        self._refused = False
        self._begun = False
        self._request: HTTPServerRequest | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - this is a server
        self._stream.enter(Phase.BODY)
        turn = None if self._goes_first(start_line) else self._pacer.turn(self._client(self._stream, headers))
        return self._begin(start_line, headers) if turn is None else self._begin_after(turn, start_line, headers)

    async def _begin_after(self, turn: Awaitable[None], start_line: RequestStartLine, headers: HTTPHeaders) -> None:
        await turn
        self._stream.enter(Phase.BODY)  # again, since the client is not responsible for the time of the wait
        begun = self._begin(start_line, headers)
        if begun is not None:
            await begun

    def _begin(self, start_line: RequestStartLine, headers: HTTPHeaders) -> Awaitable[None] | None:
        # A client may send many requests ahead and disconnect. The answers would not be read, so no work is started.
        if self._stream.peer_is_gone():
            self._stream.close()
            raise HTTPInputError("the client has gone")  # ends the connection, with all requests sent ahead
        self._begun = True
        error: RequestError | None = None
        try:
            start_line = checked(start_line, headers)
        except RequestError as caught:
            error = caught
        # At most 20 digits, since int() of a very long text is slow.
        length = headers.get("Content-Length", "")
        announced = int(length) if length.isascii() and length.isdecimal() and len(length) <= 20 else 0
        if error or announced > self._limit or "Transfer-Encoding" in headers:
            # Raise Tornado's own limit, which would answer 400, above the one that is checked here.
            self._connection.set_max_body_size(max(announced, 1 << 62))
            self._request = HTTPServerRequest(connection=self._connection, start_line=start_line, headers=headers)
        if error is None and announced <= self._limit:
            return self._inner.headers_received(start_line, headers)
        self._refuse(error or self._too_large(), close=announced > LINGER_BYTES)
        if "Expect" in headers:
            self._connection.finish()  # the client waits for this answer and has sent no body
        return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._received += len(chunk)
        if not self._refused:
            if self._received <= self._limit:
                return self._inner.data_received(chunk)
            # The handler has received a part of the body already and must not wait for the rest.
            self._inner.on_connection_close()
            self._refuse(self._too_large(), close=True)
        # The rest of a refused body is read and discarded for a while: closing a connection with unread data makes the
        # kernel discard the answer as well (RFC 9112, section 9.6).
        if self._received > LINGER_BYTES:
            self._connection.finish()
        return None

    def finish(self) -> None:
        self._stream.enter(Phase.ANSWER)
        if self._refused:
            self._connection.finish()
        else:
            self._inner.finish()

    def on_connection_close(self) -> None:
        if self._begun and not self._refused:
            self._inner.on_connection_close()

    def _too_large(self) -> RequestError:
        return BodyTooLargeError(f"the body is over {self._limit} bytes")

    def _refuse(self, error: RequestError, close: bool) -> None:
        assert self._request is not None  # noqa: S101 - made with the headers of every request that can get here
        self._refused = True
        identity = request_id(self._request.headers)
        body = encode(problems.document(error, identity))
        allowed = self._sites.cors_headers(self._request.headers)
        headers = HTTPHeaders({**common_headers(identity), **problems.headers(error), **allowed})
        headers["Content-Length"] = str(len(body))
        if close:
            headers["Connection"] = "close"
        start_line = ResponseStartLine("HTTP/1.1", error.http_status, HTTPStatus(error.http_status).phrase)
        self._connection.write_headers(start_line, headers, b"" if self._request.method == "HEAD" else body)
        log_refusal(self._observer, self._request, error.http_status, error, identity)

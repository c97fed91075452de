"""Posting an order without a handler made for each request: the shortest way through Tornado for the busiest route.

Stands between the body's limit and the application. A POST to the route whose body holds an order is taken here and
answered on the connection itself. Whatever else comes, a body that is refused included, goes to the application as it
came, so every refusal of a request has one author; only what the intake refuses afterwards is answered here.
"""

import asyncio
from collections.abc import Awaitable
from http.client import responses

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
from dexexec.api.handler import Api, common_headers, encode, request_id, tell_refusal, tell_success
from dexexec.api.orders import read_order
from dexexec.domain.order import NewOrder
from dexexec.errors import QueueFullError, RequestError
from dexexec.store import Created


class Posting(HTTPServerConnectionDelegate):
    """Takes orders posted to `path`; `application` takes the rest."""

    def __init__(self, application: HTTPServerConnectionDelegate, path: str, api: Api) -> None:
        self._application, self._path, self._api = application, path, api
        self._every = api.settings.log_level == "debug"
        self._running: set[asyncio.Task[None]] = set()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Called by Tornado for each request."""
        return _Post(self, server_conn, request_conn)

    def otherwise(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """The application's delegate for a request that is none of ours."""
        return self._application.start_request(server_conn, request_conn)

    def concerns(self, start_line: RequestStartLine) -> bool:
        """Whether the request may be an order."""
        return start_line.method == "POST" and start_line.path == self._path

    def take(self, request: HTTPServerRequest) -> bool:
        """Accept and answer the order in `request`, in the background. False where there is none; when any order
        would be refused, that is not looked at."""
        try:
            self._api.intake.knock()
            order = read_order(self._api, request)
        except QueueFullError as error:
            self._refuse(request, request_id(request.headers), error)
            return True
        except RequestError:
            return False
        task = asyncio.create_task(self._accept(request, order))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _accept(self, request: HTTPServerRequest, order: NewOrder) -> None:
        identity = request_id(request.headers)
        try:
            created = await self._api.intake.accept(order)
        except Exception as error:  # noqa: BLE001 - whatever happened, the client is told, and the log
            if not isinstance(error, RequestError):
                self._api.observer.request_crashed(identity, error)
            self._refuse(request, identity, problem.from_exception(error, 500))
        else:
            _answer(request, identity, 202, _headers(created), encode({"orderId": str(created.order_id)}))
            if self._every:
                tell_success(self._api.observer, request, 202)

    def _refuse(self, request: HTTPServerRequest, identity: str, refusal: RequestError) -> None:
        body = encode(problem.document(refusal, identity))
        _answer(request, identity, refusal.http_status, problem.headers(refusal), body)
        tell_refusal(self._api.observer, request, refusal.http_status, refusal, identity)


class _Post(HTTPMessageDelegate):
    """One request: kept here while it may be an order, else passed on piece by piece."""

    def __init__(self, posting: Posting, server_conn: object, request_conn: HTTPConnection) -> None:
        self._posting, self._server_conn, self._connection = posting, server_conn, request_conn
        self._inner: HTTPMessageDelegate | None = None
        self._start: tuple[RequestStartLine, HTTPHeaders] | None = None
        self._body = b""

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - this is a server
        if self._posting.concerns(start_line):
            self._start = start_line, headers
            return None
        self._inner = self._posting.otherwise(self._server_conn, self._connection)
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._inner is not None:
            return self._inner.data_received(chunk)
        self._body += chunk
        return None

    def finish(self) -> None:
        if self._start is not None:
            start_line, headers = self._start
            request = HTTPServerRequest(
                connection=self._connection, start_line=start_line, headers=headers, body=self._body
            )
            if self._posting.take(request):
                return
            self._inner = self._posting.otherwise(self._server_conn, self._connection)
            self._inner.headers_received(start_line, headers)
            self._inner.data_received(self._body)
        if self._inner is not None:
            self._inner.finish()

    def on_connection_close(self) -> None:
        if self._inner is not None:
            self._inner.on_connection_close()


def _headers(created: Created) -> dict[str, str]:
    found = {"Content-Type": "application/json", "Location": f"/api/orders/{created.order_id}"}
    if created.replayed:
        found["Idempotent-Replayed"] = "true"
    return found


def _answer(request: HTTPServerRequest, identity: str, status: int, headers: dict[str, str], body: bytes) -> None:
    """Write the whole answer. A client that is gone does not get it, and that is all."""
    told = HTTPHeaders({**common_headers(identity), **headers, "Content-Length": str(len(body))})
    connection = request.connection
    assert connection is not None  # noqa: S101 - a request that was received has one
    connection.write_headers(ResponseStartLine("HTTP/1.1", status, responses[status]), told, body)
    connection.finish()

"""What all HTTP handlers share: headers, the request's id, refusals as problem documents, and a log line for those.

A handler raises, and this answers. A request that succeeds costs no log line, unless the level is debug.
"""

import re
import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network, ip_address
from types import TracebackType
from typing import ClassVar, Protocol
from uuid import UUID

import orjson
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import HTTPError, RequestHandler

from dexexec.api import problems
from dexexec.api.client_stream import ClientStream
from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.read_gate import (
    LISTS_AT_ONCE,
    LISTS_PER_CLIENT,
    ORDERS_AT_ONCE,
    ORDERS_PER_CLIENT,
    ClientGoneError,
    ReadGate,
)
from dexexec.api.readiness import Readiness
from dexexec.api.request_pacer import Pacer
from dexexec.clock import Clock
from dexexec.config.settings import Settings
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.errors import QueueFullError, RequestError
from dexexec.intake.order_body import BodyReader
from dexexec.observe.observer import Observer
from dexexec.store import Created, Cursor

CLIENT_GONE = 499
"""What the log tells, at debug, of a request whose client closed the connection before it was answered."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_SANE_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
"""Also a valid relative URI reference, which `instance` of a problem document has to be."""


class OrderIntake(Protocol):
    """What is needed of `dexexec.intake.intake.Intake`."""

    def check_capacity(self) -> None:
        """Raises `QueueFullError` when any order would be refused now."""

    async def accept(self, order: NewOrder, read_at: float) -> Created:
        """Store the order, whose request had been read at `read_at` (monotonic seconds), and send it on its way."""


class OrderHistory(Protocol):
    """What is needed of `dexexec.store.Store`."""

    async def order(self, order_id: UUID) -> dict[str, object] | None:
        """One order with everything that happened to it."""

    async def orders(self, limit: int, before: Cursor | None, status: Status | None) -> list[dict[str, object]]:
        """Summaries, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What the handlers work with."""

    settings: Settings
    reader: BodyReader
    intake: OrderIntake
    history: OrderHistory
    readiness: Readiness
    clock: Clock
    observer: Observer
    sites: SiteCheck
    lists: ReadGate = field(default_factory=lambda: ReadGate(LISTS_AT_ONCE, LISTS_PER_CLIENT))
    details: ReadGate = field(default_factory=lambda: ReadGate(ORDERS_AT_ONCE, ORDERS_PER_CLIENT))
    """Reads of one order."""
    refusals: Pacer = field(default_factory=lambda: Pacer(1))
    """Turns for orders that are refused for what is in them: posting goes before all else, and must not be a way to
    keep the event loop busy with nonsense."""


class ApiHandler(RequestHandler):
    """Base of every handler that is not the WebSocket's."""

    ordinary: ClassVar[frozenset[int]] = frozenset({CLIENT_GONE})
    """Statuses over 400 that are an answer like any other, and no refusal to tell of."""
    api: Api
    request_id = ""
    refusal: RequestError | None = None

    def initialize(self, api: Api) -> None:
        """Called by Tornado for each request."""
        self.api = api

    def set_default_headers(self) -> None:
        """Called by Tornado before a request is handled, and again before an error is answered."""
        if not self.request_id:
            self.request_id = request_id(self.request.headers)
        for name, value in common_headers(self.request_id).items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Called by Tornado before the method's own: refuse what a page of another site sends."""
        self.api.sites.check(self.request)

    def compute_etag(self) -> None:
        """None: nothing here may be stored, so there is nothing to validate."""

    def options(self, *_args: str) -> None:
        """Which methods there are. No CORS headers: other origins' pages may not post orders."""
        self.set_header("Allow", ", ".join(allowed_methods(type(self))))
        self.set_status(204)

    def reading(self, gate: ReadGate) -> AbstractAsyncContextManager[None]:
        """The turn of a read among others. Raises what `ReadGate.read` raises."""
        assert isinstance(self.request.connection, HTTP1Connection)  # noqa: S101 - what our server has
        stream = self.request.connection.stream
        assert isinstance(stream, ClientStream)  # noqa: S101
        return gate.read(client_address(self.request, self.api.settings.trust_proxy), stream)

    def client_gone(self) -> None:
        """End a request that nobody waits for."""
        self.set_status(CLIENT_GONE, "Client Closed Request")
        self.finish()

    def answer(self, payload: object, status: int = 200) -> None:
        """Finish with `payload` as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(encode(payload))

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """Answer with a problem document; called by Tornado for whatever a handler raised."""
        caught = kwargs.get("exc_info")
        if isinstance(caught, tuple) and isinstance(caught[1], ClientGoneError):
            self.client_gone()
            return
        self.refusal = problems.from_exception(caught[1] if isinstance(caught, tuple) else None, status_code)
        self.set_status(self.refusal.http_status)
        for name, value in problems.headers(self.refusal).items():
            self.set_header(name, value)
        if self.refusal.http_status == 405:
            self.set_header("Allow", ", ".join(allowed_methods(type(self))))
        self.finish(encode(problems.document(self.refusal, self.request_id)))

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Only what nobody foresaw gets a traceback; refusals get a line in `log_request`."""
        if not isinstance(value, RequestError | HTTPError | ClientGoneError):
            self.api.observer.request_crashed(self.request_id, value)


class ResourceNotFoundHandler(ApiHandler):
    """Any path that is not ours."""

    def prepare(self) -> None:
        """Refuse, whatever the method."""
        super().prepare()
        raise HTTPError(404)


class ProblemHandler(ApiHandler):
    """`GET /problems/<code>`: what a problem's `type` means."""

    def get(self, code: str) -> None:
        """The cause in words."""
        found = problems.explanation(code)
        if found is None:
            raise HTTPError(404)
        self.answer(found)

    head = get


def encode(payload: object) -> bytes:
    """Compact JSON."""
    return orjson.dumps(payload)


def request_id(headers: HTTPHeaders) -> str:
    """The client's X-Request-Id where it is short and plain, else a new one."""
    given = headers.get("X-Request-Id")
    return given if given is not None and _SANE_ID.fullmatch(given) else secrets.token_hex(8)


def common_headers(request_id: str) -> Mapping[str, str]:
    """What every answer carries."""
    return {"Server": "dexexec", "Cache-Control": "no-store", "X-Request-Id": request_id}


def allowed_methods(handler: type[RequestHandler]) -> list[str]:
    """The methods that a handler class implements."""
    return [m for m in METHODS if getattr(handler, m.lower()) is not getattr(RequestHandler, m.lower())]


def client_address(request: HTTPServerRequest, trust_proxy: bool) -> str:
    """Who the client is, for limits and idempotency keys: an IPv4 address, or the /64 network of an IPv6 one, since
    that is what one host gets.

    Behind a proxy that is the last entry of X-Forwarded-For, which is the proxy's own; those before it are whatever the
    client sent.
    """
    address = str(request.remote_ip)
    if trust_proxy:
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        try:
            ip_address(forwarded)
        except ValueError:
            pass
        else:
            address = forwarded
    return client_key(address)


def client_key(address: str) -> str:
    """What an IP address counts as: itself, or the /64 network of an IPv6 one."""
    if ":" not in address:
        return address
    v6 = IPv6Address(address.partition("%")[0])
    return str(v6.ipv4_mapped or IPv6Network((v6, 64), strict=False))


def log_request(observer: Observer, every: bool, handler: RequestHandler) -> None:
    """What Tornado calls at the end of each request, the WebSocket's included. Successes are told only if `every`."""
    request, status = handler.request, handler.get_status()
    ordinary = isinstance(handler, ApiHandler) and status in handler.ordinary
    if status >= 400 and not ordinary:
        refusal, request_id = None, ""
        if isinstance(handler, ApiHandler):
            refusal, request_id = handler.refusal, handler.request_id
        log_refusal(observer, request, status, refusal, request_id)
    elif every:
        log_success(observer, request, status)


def log_success(observer: Observer, request: HTTPServerRequest, status: int) -> None:
    """What was asked and done."""
    observer.request_served(str(request.method), _loggable(request.path), status, _ms(request))


def log_refusal(
    observer: Observer, request: HTTPServerRequest, status: int, refusal: RequestError | None, request_id: str
) -> None:
    """Who was refused what, and why. That the queue is full is told for many at once (`dexexec.intake.intake`)."""
    if isinstance(refusal, QueueFullError):
        return
    observer.request_refused(
        status,
        refusal.code if refusal else "",
        [problem.field for problem in refusal.fields] if refusal else [],
        method=_loggable(str(request.method)),
        path=_loggable(request.path),
        client=request.remote_ip,
        request_id=request_id,
        ms=_ms(request),
    )


def _ms(request: HTTPServerRequest) -> float:
    return round(request.request_time() * 1000, 1)


def _loggable(text: str) -> str:
    """Without what could break a line, and not longer than a line."""
    return ascii(text[:200])[1:-1]

"""The base of all HTTP handlers: headers, request ids, problem documents for refusals, and their log lines.

A handler raises an error, and the base answers with it. A successful request is only logged at debug.
"""

import re
import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import ClassVar, Protocol, final
from uuid import UUID

import orjson
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import HTTPError, RequestHandler

from dexexec.api import cors, problems
from dexexec.api.authentication import Authentication, RefusedKeyError
from dexexec.api.caller import NOBODY, Caller
from dexexec.api.client_address import client_address
from dexexec.api.client_stream import ClientStream
from dexexec.api.compression import LEAST_BYTES, compressed, gzip_wanted
from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.event_streams import EventStreams
from dexexec.api.key_limits import KeyLimits
from dexexec.api.order_changes import ClientSigner, OrderAmending
from dexexec.api.problems import HostNotAllowedError, OriginNotAllowedError
from dexexec.api.read_gate import (
    CANCELS_AT_ONCE,
    CANCELS_PER_CLIENT,
    LISTS_AT_ONCE,
    LISTS_PER_CLIENT,
    MASS_CANCELS_AT_ONCE,
    MASS_CANCELS_PER_CLIENT,
    ORDERS_AT_ONCE,
    ORDERS_PER_CLIENT,
    QUOTES_AT_ONCE,
    QUOTES_PER_CLIENT,
    ClientGoneError,
    ReadGate,
)
from dexexec.api.readiness import Readiness
from dexexec.api.request_pacer import Pacer
from dexexec.api.scrape import Scrape
from dexexec.api.service_state import Overviews
from dexexec.api.warm_json import WarmSource
from dexexec.api.webhook_port import WebhookTable
from dexexec.clock import Clock
from dexexec.config.settings import Settings
from dexexec.domain.api_key import Scope
from dexexec.domain.cancellation import Cancelled, CancelledAll, Selection, TooLate
from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.domain.order import NewOrder
from dexexec.domain.order_filter import OrderFilter, OrderTotals
from dexexec.domain.order_stats import OrderStats
from dexexec.domain.policy import Policy
from dexexec.domain.quote import SwapRequest
from dexexec.errors import QueueFullError, RequestError
from dexexec.intake.order_body import BodyReader
from dexexec.observe.observer import Observer
from dexexec.operator_errors import PolicyError
from dexexec.store import CostQuery, CostReport, Created, Cursor
from dexexec.venues.router import Routing, VenueReport

CLIENT_GONE = 499
"""The status in the debug log of a request whose client closed the connection before it was answered."""
JSON = "application/json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_SANE_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
"""Also a valid relative URI reference, as required for `instance` of a problem document."""


class OrderIntake(Protocol):
    """The part of `dexexec.intake.intake.Intake` that handlers use."""

    def check_capacity(self) -> None:
        """Raises `QueueFullError` if any order would be refused now."""

    def check(self, order: NewOrder, policy: Policy) -> None:
        """Raises what `accept` would raise now, as far as that can be told without storing the order."""

    async def accept(self, order: NewOrder, read_at: float, policy: Policy) -> Created:
        """Store and dispatch the order, if its owner's `policy` allows it. `read_at` is when its request had been read
        (monotonic seconds)."""


class OrderHistory(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def order(self, order_id: UUID, owner: int | None = None) -> dict[str, object] | None:
        """One order of `owner` (None: of all) with its events, quotes and attempts."""

    async def orders(self, limit: int, before: Cursor | None, wanted: OrderFilter) -> list[dict[str, object]]:
        """Summaries, newest first."""

    async def order_totals(self, wanted: OrderFilter) -> OrderTotals:
        """How many orders of a list have each status."""

    async def owners_named(self, name: str) -> list[int]:
        """The numbers of all keys that have or had this name."""

    async def costs(self, query: CostQuery) -> CostReport:
        """What attempts cost in a time."""

    async def order_stats(self, minutes: int, bucket_seconds: int, owner: int | None = None) -> OrderStats:
        """What became of the orders of the last minutes."""

    async def endpoint_figures(self) -> list[EndpointFigures]:
        """How well the newest attempts landed, for each endpoint."""


class OrderCancelling(Protocol):
    """The part of `dexexec.store.Store` that cancels orders."""

    async def cancel(self, order_id: UUID, owner: int | None = None) -> Cancelled | TooLate | None:
        """Cancel an order, if nothing was signed for it; None if `owner` (None: any) has no such order."""

    async def cancel_all(self, selection: Selection) -> CancelledAll:
        """Cancel all orders of a selection. Raises `PartlyCancelledError`."""


class QuoteSource(Protocol):
    """The venues of this process, for quotes without an order."""

    @property
    def warm(self) -> WarmSource:
        """What is in memory for them."""

    async def route(self, request: SwapRequest, deadline: float) -> Routing:
        """Quotes of all venues by `deadline` (monotonic seconds). Raises `VenuesUnavailableError`."""

    async def report(self) -> list[VenueReport]:
        """The state of every venue. Raises `VenuesUnavailableError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The parts that handlers use."""

    settings: Settings
    reader: BodyReader
    intake: OrderIntake
    history: OrderHistory
    cancelling: OrderCancelling
    amending: OrderAmending
    signing: ClientSigner
    readiness: Readiness
    clock: Clock
    observer: Observer
    sites: SiteCheck
    venues: QuoteSource
    overviews: Overviews
    webhooks: WebhookTable
    streams: EventStreams
    scrape: Scrape | None = None
    """The metrics; None where they are turned off."""
    access: Authentication = field(default_factory=Authentication)
    limits: KeyLimits | None = None
    lists: ReadGate = field(default_factory=lambda: ReadGate(LISTS_AT_ONCE, LISTS_PER_CLIENT))
    details: ReadGate = field(default_factory=lambda: ReadGate(ORDERS_AT_ONCE, ORDERS_PER_CLIENT))
    """Reads of one order."""
    cancels: ReadGate = field(default_factory=lambda: ReadGate(CANCELS_AT_ONCE, CANCELS_PER_CLIENT))
    mass_cancels: ReadGate = field(default_factory=lambda: ReadGate(MASS_CANCELS_AT_ONCE, MASS_CANCELS_PER_CLIENT))
    quoting: ReadGate = field(default_factory=lambda: ReadGate(QUOTES_AT_ONCE, QUOTES_PER_CLIENT))
    refusals: Pacer = field(default_factory=lambda: Pacer(1))
    """Turns for invalid orders: posting goes before all other requests, and must not be a way to keep the event loop
    busy with invalid bodies."""


class ApiHandler(RequestHandler):
    """Base of every handler except the WebSocket's."""

    ordinary: ClassVar[frozenset[int]] = frozenset({CLIENT_GONE})
    """Statuses over 400 that are ordinary answers, and not logged as refusals."""
    api: Api
    scope: ClassVar[Scope] = Scope.READ
    """What a key needs to read here. To change something it needs `trade` at least."""
    caller: Caller = NOBODY
    request_id = ""
    refusal: RequestError | None = None
    cors_headers: Mapping[str, str] = MappingProxyType({})

    def initialize(self, api: Api) -> None:
        """Called by Tornado for each request."""
        self.api = api
        self.cors_headers = api.sites.cors_headers(self.request.headers)
        self._set_headers(self.cors_headers)

    def set_default_headers(self) -> None:
        """Called by Tornado before a request is handled, and again before an error is answered."""
        if not self.request_id:
            self.request_id = request_id(self.request.headers)
        self._set_headers({**common_headers(self.request_id), **self.cors_headers})

    def _set_headers(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)

    @final  # so that no route can be without these checks: handlers override `check`
    async def prepare(self) -> None:
        """Called by Tornado before the handler's method: refuse requests of other sites' pages, answer the preflight of
        an allowed one, and admit a caller whose key allows the method."""
        if self.api.readiness.stopping:
            # So that a proxy which keeps connections has none left when the port closes: one that is closed in the very
            # moment in which it is used again costs a request.
            self.set_header("Connection", "close")
        self.api.sites.check(self.request)
        headers = self.request.headers
        # A preflight has no key: the browser sends the key with the request that follows.
        if cors.is_preflight(self.request.method, headers) and self.api.sites.allowed_origin(headers) is not None:
            # The same for every path, existing or not.
            self._set_headers(cors.preflight_headers(headers, METHODS))
            self.set_status(204)
            self.finish()
            return
        await self.admit()
        if self.api.limits is not None:
            await self.api.limits.count_request(self.caller)
        self.check()

    async def admit(self) -> None:
        """Find out who the caller is. Raises `UnauthorizedError`, `ScopeMissingError`, `UnavailableError`."""
        # By the method, not by the route: a route that is added later cannot forget that it changes something.
        self.caller = await self.api.access.caller(self.request)
        changes = self.request.method not in {"GET", "HEAD", "OPTIONS"}
        self.caller.require(Scope.TRADE if changes and self.scope is Scope.READ else self.scope)

    def check(self) -> None:
        """Further checks of this route, before its method. Raises `RequestError` and `HTTPError`."""

    def compute_etag(self) -> str | None:
        """None: a client validates no answer but that of a single order (`dexexec.api.orders`)."""
        return None

    def options(self, *_args: str) -> None:
        """The allowed methods."""
        self.set_header("Allow", ", ".join(allowed_methods(type(self))))
        self.set_status(204)

    def reading(self, gate: ReadGate) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of a read. Raises what `ReadGate.read` raises."""
        assert isinstance(self.request.connection, HTTP1Connection)  # noqa: S101 - what our server has
        stream = self.request.connection.stream
        assert isinstance(stream, ClientStream)  # noqa: S101
        return gate.read(client_address(self.request, self.api.settings), stream)

    def client_gone(self) -> None:
        """End a request whose client has gone."""
        self.set_status(CLIENT_GONE, "Client Closed Request")
        self.finish()

    def answer(self, payload: object, status: int = 200) -> None:
        """Finish with `payload` as JSON."""
        self.set_status(status)
        self.answer_bytes(encode(payload), JSON)

    def answer_bytes(self, body: bytes, content_type: str) -> None:
        """Finish with a body, compressed if it is large and the client accepts that."""
        self.set_header("Content-Type", content_type)
        if len(body) >= LEAST_BYTES:
            self.add_header("Vary", "Accept-Encoding")
            if gzip_wanted(self.request.headers):
                self.set_header("Content-Encoding", "gzip")
                body = compressed(body)
        self.finish(body)

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """Answer with a problem document; called by Tornado for every exception of a handler."""
        caught = kwargs.get("exc_info")
        if isinstance(caught, tuple) and isinstance(caught[1], ClientGoneError):
            self.client_gone()
            return
        self.refusal = problems.from_exception(caught[1] if isinstance(caught, tuple) else None, status_code)
        self.set_status(self.refusal.http_status)
        self._set_headers(problems.headers(self.refusal))
        if self.refusal.http_status == 405:
            self.set_header("Allow", ", ".join(allowed_methods(type(self))))
        self.finish(encode(problems.document(self.refusal, self.request_id)))

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log a traceback for unexpected exceptions only; refusals get a line in `log_request`."""
        if not isinstance(value, RequestError | HTTPError | ClientGoneError):
            self.api.observer.request_crashed(self.request_id, value)


class ResourceNotFoundHandler(ApiHandler):
    """Any other path."""

    def check(self) -> None:
        """Refuse every method."""
        raise HTTPError(404)


class ProblemHandler(ApiHandler):
    """`GET /problems/<code>`: the explanation of a problem's `type`."""

    def get(self, code: str) -> None:
        """The explanation."""
        explanation = problems.explanation(code)
        if explanation is None:
            raise HTTPError(404)
        self.answer(explanation)

    head = get


def encode(payload: object) -> bytes:
    """Compact JSON."""
    return orjson.dumps(payload)


def request_id(headers: HTTPHeaders) -> str:
    """The client's X-Request-Id if it is short and plain, else a new one."""
    given = headers.get("X-Request-Id")
    return given if given is not None and _SANE_ID.fullmatch(given) else secrets.token_hex(8)


def common_headers(request_id: str) -> Mapping[str, str]:
    """The headers of every answer."""
    return {"Server": "dexexec", "Cache-Control": "no-store", "X-Request-Id": request_id}


def allowed_methods(handler: type[RequestHandler]) -> list[str]:
    """The HTTP methods that a handler class implements."""
    return [m for m in METHODS if getattr(handler, m.lower()) is not getattr(RequestHandler, m.lower())]


def log_request(observer: Observer, every: bool, handler: RequestHandler) -> None:
    """Called by Tornado at the end of each request, including the WebSocket's. Successes are logged only if `every`."""
    request = handler.request
    status = handler.get_status()
    ordinary = isinstance(handler, ApiHandler) and status in handler.ordinary
    if status >= 400 and not ordinary:
        refusal = None
        request_id = ""
        if isinstance(handler, ApiHandler):
            refusal = handler.refusal
            request_id = handler.request_id
        log_refusal(observer, request, status, refusal, request_id)
    elif every:
        given = handler.request_id if isinstance(handler, ApiHandler) else ""
        observer.request_served(str(request.method), _loggable(request.path), status, given, _ms(request))


def log_refusal(
    observer: Observer, request: HTTPServerRequest, status: int, refusal: RequestError | None, request_id: str
) -> None:
    """The fields of a refusal's log line. Refusals by a full queue are logged for many at once
    (`dexexec.intake.intake`)."""
    if isinstance(refusal, QueueFullError):
        return
    about = {}
    if isinstance(refusal, HostNotAllowedError | OriginNotAllowedError):
        # What the operator may have to list in a setting. A browser that sends no Origin sends the other one.
        for name in ("Host", "Origin", "Sec-Fetch-Site"):
            if (value := request.headers.get(name)) is not None:
                about[name.lower().replace("-", "_")] = _loggable(value)
    if isinstance(refusal, PolicyError):
        for breach in refusal.breaches:
            observer.metrics.policy_refused(breach.policy)
    if isinstance(refusal, RefusedKeyError):
        about |= {"why": refusal.why, "key": refusal.name}
    observer.request_refused(
        status,
        refusal.code if refusal else "",
        [problem.field for problem in refusal.fields] if refusal else [],
        method=_loggable(str(request.method)),
        path=_loggable(request.path),
        client=request.remote_ip,
        request_id=request_id,
        ms=_ms(request),
        **about,
    )


def _ms(request: HTTPServerRequest) -> float:
    return round(request.request_time() * 1000, 1)


def _loggable(text: str) -> str:
    """The text without line breaks, cut to one line."""
    return ascii(text[:200])[1:-1]

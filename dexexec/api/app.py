"""The routes, and the HTTP server with all its limits.

`POST /api/orders/execute` shares its path with the WebSocket (`GET` with `Upgrade: websocket`). The composition root
passes the handler of the WebSocket, since it has the feed.
"""

from dataclasses import dataclass
from functools import partial

from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule
from tornado.web import Application, RequestHandler

from dexexec.api import front_page, request_head
from dexexec.api.body_limit import BodyLimit
from dexexec.api.certificate import Certificate
from dexexec.api.connection_table import ConnectionLimits, ConnectionTable
from dexexec.api.contract.documents import AsyncApiHandler, DocsHandler, OpenApiHandler
from dexexec.api.costs import CostsHandler
from dexexec.api.early_refusal import EarlyRefusal
from dexexec.api.event_stream_handlers import AllEventsHandler, OrderEventsHandler
from dexexec.api.handler import Api, ApiHandler, ProblemHandler, ResourceNotFoundHandler, allowed_methods, log_request
from dexexec.api.health import AliveHandler, ReadyHandler
from dexexec.api.operations import MetricsHandler
from dexexec.api.order_check import CheckHandler
from dexexec.api.orders import ExecuteHandler, ExplainHandler, OrderHandler, OrdersHandler, SignedHandler
from dexexec.api.overview import OverviewHandler
from dexexec.api.page_files import PageFileHandler
from dexexec.api.quotes import QuoteHandler, VenuesHandler
from dexexec.api.request_pacer import Pacer
from dexexec.api.server import LimitedServer
from dexexec.api.stats import StatsHandler
from dexexec.api.webhooks import (
    DeliveriesHandler,
    ReplayHandler,
    ResendHandler,
    RotateHandler,
    TestMessageHandler,
    WebhookHandler,
    WebhooksHandler,
)
from dexexec.config import descriptor_limit

EXECUTE = front_page.EXECUTE

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
IDLE_SECONDS = 60.0
HEADER_SECONDS = 15.0
ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Route:
    """A path, with its parameters in braces, and its handler."""

    path: str
    handler: type[ApiHandler]

    @property
    def methods(self) -> list[str]:
        """The HTTP methods of this path."""
        return allowed_methods(self.handler)

    @property
    def pattern(self) -> str:
        """The path as a regular expression, with or without a slash at its end."""
        path = "/".join("([^/]+)" if part.startswith("{") else part for part in self.path.split("/"))
        return path if path == "/" else f"{path}/?"


ROUTES = (
    Route("/", front_page.FrontPageHandler),
    Route(EXECUTE, ExecuteHandler),
    Route("/api/orders/check", CheckHandler),
    Route("/api/orders/{id}", OrderHandler),
    Route("/api/orders/{id}/explain", ExplainHandler),
    Route("/api/orders/{id}/events", OrderEventsHandler),
    Route("/api/orders/{id}/signed", SignedHandler),
    Route("/api/orders", OrdersHandler),
    Route("/api/events", AllEventsHandler),
    Route("/api/costs", CostsHandler),
    Route("/api/overview", OverviewHandler),
    Route("/api/quote", QuoteHandler),
    Route("/api/stats", StatsHandler),
    Route("/api/venues", VenuesHandler),
    Route("/api/webhooks", WebhooksHandler),
    Route("/api/webhooks/{id}", WebhookHandler),
    Route("/api/webhooks/{id}/deliveries", DeliveriesHandler),
    Route("/api/webhooks/{id}/resend", ResendHandler),
    Route("/api/webhooks/{id}/replay", ReplayHandler),
    Route("/api/webhooks/{id}/test", TestMessageHandler),
    Route("/api/webhooks/{id}/rotate", RotateHandler),
    Route("/healthz", AliveHandler),
    Route("/readyz", ReadyHandler),
    Route("/metrics", MetricsHandler),
    Route("/problems/{code}", ProblemHandler),
    Route("/openapi.json", OpenApiHandler),
    Route("/asyncapi.json", AsyncApiHandler),
    Route("/docs", DocsHandler),
)
"""All HTTP routes; the first match answers. The WebSocket on `EXECUTE` comes before them."""


class WebSocketUpgrade(PathMatches):
    """Matches a path only for the handshake of a WebSocket, valid or not."""

    def match(self, request: HTTPServerRequest) -> dict[str, object] | None:
        """None unless the request is a GET that requests a WebSocket."""
        headers = request.headers
        wanted = "websocket" in headers.get("Upgrade", "").lower() or "Sec-WebSocket-Key" in headers
        return super().match(request) if wanted and request.method == "GET" else None


def make_app(api: Api, socket: type[RequestHandler]) -> Application:
    """The application. `socket` is the WebSocket's handler."""
    rules = [Rule(WebSocketUpgrade(f"{EXECUTE}/?"), socket, {"api": api})]
    rules += [Rule(PathMatches("/assets/(.*)"), PageFileHandler, {"api": api})]
    rules += [Rule(PathMatches(route.pattern), route.handler, {"api": api}) for route in ROUTES]
    return Application(
        rules,
        default_handler_class=ResourceNotFoundHandler,
        default_handler_args={"api": api},
        log_function=partial(log_request, api.observer, api.settings.log_level == "debug"),
    )


def make_server(
    app: Application,
    api: Api,
    body_seconds: float = BODY_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
    *,
    certificate: Certificate | None = None,
) -> LimitedServer:
    """A server for `app`, not yet listening. Time limits of a client: `idle_seconds` between two requests,
    `HEADER_SECONDS` for the headers, `body_seconds` for a body, and `answer_seconds` to read the answer; then its
    connection is closed.

    Tornado's defaults are about 100 MB of body, no time limit for the body or the answer, and an hour of silence.
    """
    settings = api.settings
    most = min(settings.max_connections, descriptor_limit.for_clients())
    table = ConnectionTable(
        ConnectionLimits(
            connections=most,
            per_client=settings.client_connections or most * 3 // 4,
            idle_seconds=idle_seconds,
            header_seconds=min(HEADER_SECONDS, idle_seconds),
            body_seconds=body_seconds,
            answer_seconds=answer_seconds + settings.request_timeout_ms / 1000,  # the answer itself may wait this long
        )
    )
    limit = BodyLimit(
        app,
        body_bytes=MAX_BODY_BYTES,
        first_path=EXECUTE,
        pacer=Pacer(),
        network=settings,
        sites=api.sites,
        observer=api.observer,
    )
    server = LimitedServer(
        limit,
        table=table,
        certificate=certificate,
        network=settings,
        observer=api.observer,
        early=EarlyRefusal(api.intake.check_capacity, lambda: api.readiness.stopping),
        max_body_size=MAX_BODY_BYTES,
        max_header_size=request_head.READ_BYTES,
    )
    server.conn_params.header_timeout = None  # cannot be omitted above; `ConnectionTable` checks it at less cost
    return server

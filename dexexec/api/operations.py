"""The operations port: `/metrics`, `/healthz` and `/readyz` without a key, for monitoring and load balancers.

It has its own listener, so that a busy or refusing main port does not hide how the process is.
"""

from dataclasses import dataclass
from typing import ClassVar

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler

from dexexec.api import problems
from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.handler import ApiHandler, common_headers, encode, request_id
from dexexec.api.health import ALIVE, ready_answer
from dexexec.api.readiness import Readiness
from dexexec.api.scrape import Scrape
from dexexec.clock import Clock
from dexexec.domain.api_key import Scope

IDLE_SECONDS = 120.0
"""How long a connection may be idle: longer than the usual interval of Prometheus."""
MAX_HEADER_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Operations:
    """What the port shows. `scrape` is None where metrics are turned off."""

    readiness: Readiness
    scrape: Scrape | None
    clock: Clock
    sites: SiteCheck


class OperationsHandler(RequestHandler):
    """Base of the handlers of this port."""

    operations: Operations
    request_id = ""

    def initialize(self, operations: Operations) -> None:
        """Called by Tornado for each request."""
        self.operations = operations

    def set_default_headers(self) -> None:
        """Called by Tornado before a request is handled, and again before an error is answered."""
        self.request_id = self.request_id or request_id(self.request.headers)
        for name, value in common_headers(self.request_id).items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Called by Tornado before the handler's method: refuse requests of other sites' pages."""
        self.operations.sites.check(self.request)

    def answer(self, payload: object, status: int = 200) -> None:
        """Finish with `payload` as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(encode(payload))

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """Answer with a problem document; called by Tornado for every exception of a handler."""
        caught = kwargs.get("exc_info")
        refusal = problems.from_exception(caught[1] if isinstance(caught, tuple) else None, status_code)
        self.set_status(refusal.http_status)
        for name, value in problems.headers(refusal).items():
            self.set_header(name, value)
        self.finish(encode(problems.document(refusal, self.request_id)))


class AlivePage(OperationsHandler):
    """`GET /healthz`, as on the main port."""

    def get(self) -> None:
        """Always 200."""
        self.answer(ALIVE)

    head = get


class ReadyPage(OperationsHandler):
    """`GET /readyz`, as on the main port."""

    async def get(self) -> None:
        """200 unless no order should be sent here."""
        document, status = ready_answer(await self.operations.readiness.answer(), self.operations.clock)
        self.answer(document, status)

    head = get


class MetricsPage(OperationsHandler):
    """`GET /metrics`."""

    async def get(self) -> None:
        """The metrics of all processes of this service."""
        if self.operations.scrape is None:
            raise HTTPError(404)
        body, content_type = await self.operations.scrape.text(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(body)

    head = get


class NotFoundPage(OperationsHandler):
    """Any other path."""

    def prepare(self) -> None:
        """Refuse every method."""
        super().prepare()
        raise HTTPError(404)


class MetricsHandler(ApiHandler):
    """`GET /metrics` on the main port, where metrics have no port of their own."""

    scope: ClassVar[Scope] = Scope.ADMIN  # they sum up the orders of all keys

    async def get(self) -> None:
        """The metrics of all processes of this service."""
        if self.api.scrape is None or self.api.settings.metrics_port is not None:
            raise HTTPError(404)
        body, content_type = await self.api.scrape.text(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(body)

    head = get


def make_operations_server(operations: Operations) -> HTTPServer:
    """The server of the port, not yet listening."""
    rest = {"operations": operations}
    app = Application(
        [("/healthz", AlivePage, rest), ("/readyz", ReadyPage, rest), ("/metrics", MetricsPage, rest)],
        default_handler_class=NotFoundPage,
        default_handler_args=rest,
        log_function=lambda _: None,  # probes and scrapes come every few seconds
    )
    return HTTPServer(
        app,
        idle_connection_timeout=IDLE_SECONDS,
        body_timeout=5.0,
        max_body_size=1024,
        max_header_size=MAX_HEADER_BYTES,
    )

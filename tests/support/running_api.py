"""A running API on a loopback port, and two ways to talk to it: as HTTP clients do, and byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from structlog.testing import CapturingLogger
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.netutil import bind_sockets
from tornado.websocket import WebSocketHandler

from dexexec.access.key_ring import KeyRing
from dexexec.api.app import EXECUTE, make_app, make_server
from dexexec.api.authentication import Authentication
from dexexec.api.certificate import Certificate
from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.handler import Api
from dexexec.api.key_limits import KeyLimits
from dexexec.api.readiness import Readiness
from dexexec.api.server import LimitedServer
from dexexec.api.service_state import Overviews, ServiceState
from dexexec.api.warm_json import WarmSource
from dexexec.bootstrap.api_half import is_signature_of
from dexexec.bootstrap.quoting import WorkerQuoting, make_router, quotes_router
from dexexec.bootstrap.warm_view import WarmView
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.halt import NO_HALTS
from dexexec.feed.halt_watch import HaltWatch
from dexexec.intake.amending import Amending
from dexexec.intake.client_signing import ClientSigning
from dexexec.intake.intake import Intake
from dexexec.intake.order_body import BodyReader
from dexexec.observe.observer import Observer
from dexexec.venue import AnyVenue
from dexexec.venues.router import Router
from tests.support.answer_checks import check_answer
from tests.support.fakes.keys import MemoryKeys
from tests.support.fakes.service_state import MemoryState
from tests.support.memory_ports import MemoryLimiter, MemoryQueue, MemoryStore
from tests.support.parts import running
from tests.support.webhook_tables import memory_webhooks

ORDER = {"side": "buy", "amount": "0.01"}
JSON = "application/json"
GOOD = json.dumps(ORDER).encode()
HEAD = f"POST {EXECUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\n".encode()
"""The beginning of a post, to be followed by its framing."""


def problem(headers: HTTPHeaders, body: bytes, status: int, code: str) -> dict[str, Any]:
    """The problem document in an answer, after checking what all of them have in common."""
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = json.loads(body)
    assert (found["type"], found["status"]) == (f"/problems/{code}", status)
    assert found["title"]
    assert found["detail"]
    assert found["instance"] == headers["X-Request-Id"]
    return found


def document(answer: HTTPResponse, status: int, code: str) -> dict[str, Any]:
    """`problem` of an answer that was read whole, which is of this status."""
    assert answer.code == status
    return problem(answer.headers, answer.body, status, code)


class Echo(WebSocketHandler):
    """Replaces the order stream."""

    def initialize(self, api: Api) -> None:
        """Take the argument of the route."""

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


@dataclass
class Raw:
    """A connection on which a test writes and reads bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, HTTPHeaders, bytes]:
        """The next answer: status, headers, body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, _, rest = head.partition("\r\n")
        headers = HTTPHeaders.parse(rest)
        return int(start.split()[1]), headers, await self.reader.readexactly(int(headers.get("Content-Length", "0")))

    async def closed(self) -> bytes:
        """All messages until the server closes."""
        return await self.reader.read()


@dataclass
class Service:
    """What tests see of a running API. `log` holds every line it wrote."""

    port: int
    store: MemoryStore
    queue: MemoryQueue
    limiter: MemoryLimiter
    intake: Intake
    server: LimitedServer
    api: Api
    log: CapturingLogger
    orders_router: Router
    client: AsyncHTTPClient = field(default_factory=lambda: AsyncHTTPClient(force_instance=True))

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HTTPResponse:
        """One request; returns any answer that the OpenAPI document has."""
        request = HTTPRequest(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            body=body,
            headers=HTTPHeaders(headers or {}),
            allow_nonstandard_methods=True,
            follow_redirects=False,
            decompress_response=False,
            request_timeout=20,
        )
        answer = await self.client.fetch(request, raise_error=False)
        check_answer(method, path, answer.code, answer.headers, answer.body or b"")
        return answer

    async def post(self, order: object = None, **headers: str) -> HTTPResponse:
        """Post an order as JSON. Header names have `_` for `-`."""
        sent = {"Content-Type": JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", EXECUTE, json.dumps(order or ORDER).encode(), sent)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[Raw]:
        """A bare connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Raw(reader, writer)
        finally:
            writer.close()

    def log_lines(self) -> list[dict[str, Any]]:
        """What was logged at info and above, each with its level."""
        return [
            {"level": c.method_name, "event": c.args[0], **c.kwargs} for c in self.log.calls if c.method_name != "debug"
        ]


@asynccontextmanager
async def running_service(
    *,
    body_seconds: float = 10.0,
    idle_seconds: float = 60.0,
    answer_seconds: float = 30.0,
    venues: Sequence[AnyVenue] = (),
    halts: HaltWatch | None = None,
    certificate: tuple[Path, Path] | None = None,
    keys: MemoryKeys | None = None,
    limits: KeyLimits | None = None,
    keys_required: bool = True,
    warm: WarmSource | None = None,
    state: ServiceState | None = None,
    **settings: Any,
) -> AsyncIterator[Service]:
    """An API with its neighbours in memory. `certificate`: the files of one, to serve TLS. Each request needs one of
    `keys`, if there are any and they are required."""
    configured = Settings(_env_file=None, **settings)
    clock, queue, limiter, log = SystemClock(), MemoryQueue(), MemoryLimiter(), CapturingLogger()
    store, observer = MemoryStore(clock), Observer(log)
    intake = Intake(store, queue, limiter, settings=configured, clock=clock, observer=observer, halts=halts or NO_HALTS)
    readiness = Readiness(store, queue, clock, halts or NO_HALTS)
    router = make_router(venues, configured, clock, observer)
    ring = KeyRing(keys or MemoryKeys(clock), clock, observer)
    await ring.read()
    no_streams: Any = None  # tests of streams have a service of their own
    api = Api(
        settings=configured,
        reader=BodyReader(configured),
        intake=intake,
        history=store,
        cancelling=store,
        amending=Amending(store, BodyReader(configured)),
        signing=ClientSigning(store, queue, is_signature_of),
        readiness=readiness,
        clock=clock,
        observer=observer,
        sites=SiteCheck(configured),
        access=Authentication(ring, required=keys is not None and keys_required),
        limits=limits,
        webhooks=memory_webhooks(clock),
        overviews=Overviews(state or MemoryState(), clock),
        streams=no_streams,
        venues=WorkerQuoting(
            router, quotes_router(router, configured, clock, observer), warm or WarmView(observer=observer)
        ),
    )
    tls = Certificate(*certificate, observer) if certificate else None
    server = make_server(make_app(api, Echo), api, body_seconds, idle_seconds, answer_seconds, certificate=tls)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    service = Service(sockets[0].getsockname()[1], store, queue, limiter, intake, server, api, log, router)
    try:
        async with running(ring.run()) if keys is not None else nullcontext():
            yield service
    finally:
        service.client.close()
        server.stop()
        await server.close_all_connections()
        await intake.close()

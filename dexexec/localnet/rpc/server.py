"""Serves HTTP and WebSocket on loopback, and applies the faults that tests set for whole answers.

With faults allowed, `/nodes/NAME` is another node of the same cluster, with its own faults.
"""

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from dexexec.domain import base58
from dexexec.localnet.faults import AnswerFault, FaultyAnswer
from dexexec.localnet.ledger import Ledger
from dexexec.localnet.rpc import dispatch
from dexexec.localnet.rpc.errors import (
    METHOD_NOT_FOUND,
    NODE_UNHEALTHY,
    PREFLIGHT_FAILURE,
    SIGNATURE_VERIFICATION_FAILURE,
    InvalidParamsError,
    RpcError,
)
from dexexec.localnet.rpc.fault_methods import PREFIX
from dexexec.localnet.rpc.request import Node
from dexexec.localnet.rpc.subscriptions import Subscriptions

MAX_BODY_BYTES = 512 * 1024
BODY_SECONDS = 10.0
IDLE_SECONDS = 120.0
MAX_NODES = 16
MAX_QUEUED_MESSAGES = 20_000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
TOO_SLOW = 1013
REFUSALS = {
    FaultyAnswer.UNHEALTHY: RpcError(NODE_UNHEALTHY, "Node is unhealthy", {"numSlotsBehind": None}),
    FaultyAnswer.WOULD_FAIL: RpcError(
        PREFLIGHT_FAILURE,
        "Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1",
        {"err": {"InstructionError": [0, {"Custom": 1}]}, "logs": []},
    ),
    FaultyAnswer.BAD_SIGNATURE: RpcError(
        SIGNATURE_VERIFICATION_FAILURE, "Transaction signature verification failure", {"err": "SignatureFailure"}
    ),
    FaultyAnswer.UNKNOWN_METHOD: RpcError(METHOD_NOT_FOUND, "Method not found"),
    FaultyAnswer.BAD_PARAMS: InvalidParamsError("a field cannot be read"),
}
"""Fixed answers in a node's wording, for every request."""
SOME_SIGNATURE = base58.encode(bytes(range(64)))


class Cluster:
    """The nodes that clients can reach, by path, and the open sockets."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        allow_faults: bool,
        rpc_address: str | None = None,
        pubsub_address: str | None = None,
    ) -> None:
        self._make_node = partial(Node, ledger, rpc_address, pubsub_address)
        self._allow_faults = allow_faults
        self._nodes: dict[str | None, Node] = {None: self._make_node()}
        self.methods = dispatch.METHODS | (dispatch.FAULT_METHODS if allow_faults else {})
        self.sockets: set[SocketHandler] = set()
        self.stopping = asyncio.Event()

    def node(self, name: str | None) -> Node | None:
        """The node of that name; None is the first node. With faults allowed, a new name creates a node."""
        if name not in self._nodes and self._allow_faults and len(self._nodes) < MAX_NODES:
            self._nodes[name] = self._make_node()
        return self._nodes.get(name)

    def close(self) -> None:
        """Ends requests that hang, and closes the sockets."""
        self.stopping.set()
        for socket in list(self.sockets):
            socket.close(GOING_AWAY, "the localnet stops")


class RpcHandler(RequestHandler):
    """One JSON-RPC request, or a batch of them."""

    def initialize(self, cluster: Cluster) -> None:
        """Runs once per request."""
        self.cluster = cluster
        self._gone = asyncio.Event()

    def set_default_headers(self) -> None:
        """Allows calls from web pages, as solana-test-validator does."""
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Methods", "POST")
        self.set_header("Access-Control-Allow-Headers", "*")

    def on_connection_close(self) -> None:
        """Ends a request that hangs when its client disconnects."""
        self._gone.set()

    def options(self, _name: str | None) -> None:
        """Answers the preflight request of a web page."""
        self.set_status(204)

    async def post(self, name: str | None) -> None:
        """Answers a request, or a batch."""
        node = self.cluster.node(name)
        if node is None:
            self._refuse(404, "there is only one node here, at /")
            return
        # Required by nodes as well: browsers send other types without a preflight request.
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            self._refuse(415, "Supplied content type is not allowed. Content-Type: application/json is required")
            return
        try:
            document = dispatch.parse(self.request.body)
        except RpcError as error:
            self._reply(dispatch.error_body(None, error))
            return
        methods = dispatch.methods_of(document)
        # The methods that set faults always work: otherwise a test could not end a fault.
        is_control = methods and all(method.startswith(PREFIX) for method in methods)
        fault = None if is_control else node.faults.answer(methods)
        if fault is None:
            self._reply(dispatch.answer(document, node, self.cluster.methods))
            return
        if fault.execute:
            dispatch.answer(document, node, self.cluster.methods)
        await self._reply_with_fault(fault, document)

    async def _reply_with_fault(self, fault: AnswerFault, document: Any) -> None:
        match fault.answer:
            case FaultyAnswer.TOO_MANY_REQUESTS:
                self.set_header("Retry-After", "1")
                self._refuse(429, "Too many requests")
            case FaultyAnswer.UNAVAILABLE:
                self._refuse(503, "Service unavailable")
            case (
                FaultyAnswer.UNHEALTHY
                | FaultyAnswer.WOULD_FAIL
                | FaultyAnswer.BAD_SIGNATURE
                | FaultyAnswer.UNKNOWN_METHOD
                | FaultyAnswer.BAD_PARAMS as refusal
            ):
                self._reply(dispatch.refuse(document, REFUSALS[refusal]))
            case FaultyAnswer.ANOTHER_SIGNATURE:
                self._reply({"jsonrpc": "2.0", "id": document.get("id"), "result": SOME_SIGNATURE})
            case FaultyAnswer.GARBAGE:
                self.finish('{"jsonrpc": "2.0", "result": <html>')
            case FaultyAnswer.HANG:
                waits = [asyncio.ensure_future(event.wait()) for event in (self._gone, self.cluster.stopping)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
                self._hang_up()
            case FaultyAnswer.HANG_UP:
                self._hang_up()

    def _hang_up(self) -> None:
        if self._gone.is_set():
            # There is no connection to detach; Tornado must not write an answer.
            self._finished = True
        else:
            self.detach().close()

    def _reply(self, body: Any) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(b"" if body is None else json.dumps(body, separators=(",", ":")).encode())

    def _refuse(self, status: int, text: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(text + "\n")


class HealthHandler(RequestHandler):
    """`GET /health`, for load balancers."""

    def get(self) -> None:
        """A running server is healthy."""
        self.finish("ok")


class SocketHandler(WebSocketHandler):
    """A WebSocket with subscriptions. It writes in a task of its own, so that a slow client delays no other."""

    def initialize(self, cluster: Cluster) -> None:
        """Runs once per socket."""
        self.cluster = cluster
        self._queue: asyncio.Queue[str] = asyncio.Queue(MAX_QUEUED_MESSAGES)
        self._subscriptions: Subscriptions | None = None
        self._writer: asyncio.Task[None] | None = None

    def check_origin(self, origin: str) -> bool:
        """Allows web pages, as over HTTP."""
        return True

    def open(self, *args: str | None, **_: str | None) -> None:
        """Starts the socket's subscriptions."""
        node = self.cluster.node(args[0])
        if node is None:
            self.close(POLICY_VIOLATION, "there is only one node here, at /")
            return
        self._node = node
        self._subscriptions = Subscriptions(node, self._send)
        self._writer = asyncio.create_task(self._write())
        self.cluster.sockets.add(self)

    def on_message(self, message: str | bytes) -> None:
        """Answers a JSON-RPC request."""
        if self._subscriptions is None:
            return
        try:
            document = dispatch.parse(message.encode() if isinstance(message, str) else message)
        except RpcError as error:
            self._send(dispatch.error_body(None, error))
            return
        answer = dispatch.answer(document, self._node, self._subscriptions.methods)
        if answer is not None:
            self._send(answer)
        # After the answer: the client must have the subscription number before its notification.
        self._subscriptions.catch_up()

    def on_close(self) -> None:
        """Ends the socket's subscriptions."""
        self.cluster.sockets.discard(self)
        if self._subscriptions is not None:
            self._subscriptions.close()
        if self._writer is not None:
            self._writer.cancel()

    def _send(self, body: Any) -> None:
        try:
            self._queue.put_nowait(json.dumps(body, separators=(",", ":")))
        except asyncio.QueueFull:
            # The messages for a client that does not read would fill the memory.
            self.close(TOO_SLOW, "too slow")

    async def _write(self) -> None:
        with suppress(WebSocketClosedError):
            while True:
                await self.write_message(await self._queue.get())


class _Upgrade(PathMatches):
    """Matches only WebSocket handshakes."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return None
        return super().match(request)


def _log_nothing(_: RequestHandler) -> None:
    """Requests are not logged: clients get their errors in the answer, and Tornado logs errors of the server."""


def make_server(cluster: Cluster) -> HTTPServer:
    """The server, before it listens."""
    arguments = {"cluster": cluster}
    path = r"/(?:nodes/([A-Za-z0-9_-]{1,40}))?"
    application = Application(
        [
            # The handshake first, because both handlers share the path.
            Rule(_Upgrade(path), SocketHandler, arguments),
            Rule(PathMatches(r"/health"), HealthHandler),
            Rule(PathMatches(path), RpcHandler, arguments),
        ],
        log_function=_log_nothing,
        websocket_max_message_size=MAX_BODY_BYTES,
        websocket_ping_interval=20,
    )
    return HTTPServer(
        application, max_body_size=MAX_BODY_BYTES, body_timeout=BODY_SECONDS, idle_connection_timeout=IDLE_SECONDS
    )

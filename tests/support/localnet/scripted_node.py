"""A Solana node with scripted answers: it records its requests and forwards the rest to a real localnet."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, WebSocketHandler, websocket_connect

from tests.support.localnet.in_process import post


@dataclass(frozen=True)
class JsonRpcError:
    """In place of a result: an error with this code."""

    code: int
    message: str = "no"


@dataclass(kw_only=True)
class ScriptedNode:
    """The node's script and its records.

    `answers` by method: a whole body (bytes), or a function from the parameters to the result. Other methods go to the
    node `upstream`, or to `upstreams` in turn. `http_statuses` by method replace 200. Requests at the commitment
    `refused_commitment` are refused, as by software without that name. A request waits for the `gate` that was there
    when it came. The node has WebSockets only while `on_message`
    is set, which gets their messages.
    """

    url: str
    upstream: str
    answers: Mapping[str, bytes | Callable[[Any], Any]]
    upstreams: list[str] = field(default_factory=list)
    http_statuses: dict[str, int] = field(default_factory=dict)
    refused_commitment: str = ""
    gate: asyncio.Event | None = None
    on_message: Callable[["ScriptedWebSocket", Any], None] | None = None
    requests: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    sockets: list["ScriptedWebSocket"] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)
    forwarding: list[asyncio.Task[None]] = field(default_factory=list)
    upstream_sockets: list[WebSocketClientConnection] = field(default_factory=list)

    def count(self, method: str) -> int:
        """How many requests of a method it got."""
        return sum(name == method for name, _ in self.requests)

    def next_upstream(self) -> str:
        """The node that the present request goes to."""
        return self.upstreams[len(self.requests) % len(self.upstreams)] if self.upstreams else self.upstream


def refuse_commitment(_: Any) -> JsonRpcError:
    """For `ScriptedNode.answers`: the commitment does not exist."""
    return JsonRpcError(-32602, "Invalid params: unknown variant `confirmed`, expected `processed` or `finalized`")


class _RpcHandler(RequestHandler):
    def initialize(self, node: ScriptedNode) -> None:
        self.node = node

    async def post(self) -> None:
        node = self.node
        call = json.loads(self.request.body)
        node.requests.append((call["method"], call["params"]))
        node.headers.append(dict(self.request.headers))
        node.paths.append(self.request.uri or "")
        if (gate := node.gate) is not None:
            await gate.wait()
        self.set_status(node.http_statuses.get(call["method"], 200))
        answer = node.answers.get(call["method"])
        options = [param for param in call["params"] if isinstance(param, dict)]
        if node.refused_commitment and any(one.get("commitment") == node.refused_commitment for one in options):
            answer = refuse_commitment
        if answer is None:
            self.finish((await post(node.next_upstream(), self.request.body)).body)
        elif isinstance(answer, bytes):
            self.finish(answer)
        else:
            result = answer(call["params"])
            error = (
                {"error": {"code": result.code, "message": result.message}}
                if isinstance(result, JsonRpcError)
                else None
            )
            self.finish(json.dumps({"jsonrpc": "2.0", "id": call["id"], **(error or {"result": result})}))


class ScriptedWebSocket(WebSocketHandler):
    """A client's WebSocket."""

    def initialize(self, node: ScriptedNode) -> None:
        self.node = node

    def open(self, *_: str | None, **__: str | None) -> None:
        self.node.paths.append(self.request.uri or "")
        self.node.headers.append(dict(self.request.headers))
        self.node.sockets.append(self)

    def on_message(self, message: str | bytes) -> None:
        document = json.loads(message)
        self.node.messages.append(document)
        assert self.node.on_message is not None
        self.node.on_message(self, document)

    def confirm(self, call: Any, subscription: int) -> None:
        """Answers a subscription request."""
        self.write_message({"jsonrpc": "2.0", "id": call["id"], "result": subscription})

    def notify(self, subscription: int) -> None:
        """Notifies that the signature of a subscription is confirmed."""
        result = {"context": {"slot": 10**9}, "value": {"err": None}}
        params = {"result": result, "subscription": subscription}
        self.write_message({"jsonrpc": "2.0", "method": "signatureNotification", "params": params})


class _WebSocketHandshake(Matcher):
    """Matches WebSocket handshakes while the node accepts them."""

    def __init__(self, node: ScriptedNode) -> None:
        self.node = node

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        return {} if self.node.on_message and request.headers.get("Upgrade") == "websocket" else None


def forward_websocket(upstream: str) -> Callable[[ScriptedWebSocket, Any], None]:
    """For `ScriptedNode.on_message`: forwards each WebSocket to the node `upstream`, and its messages back."""
    connections: dict[ScriptedWebSocket, asyncio.Task[WebSocketClientConnection]] = {}

    async def connect(socket: ScriptedWebSocket) -> WebSocketClientConnection:
        def forward_back(message: str | bytes | None) -> None:
            if message is not None and socket.ws_connection is not None:
                socket.write_message(message)

        connection = await websocket_connect(upstream.replace("http", "ws", 1), on_message_callback=forward_back)
        socket.node.upstream_sockets.append(connection)
        return connection

    async def forward(socket: ScriptedWebSocket, document: Any) -> None:
        # A message may still be on its way when a test ends the connection.
        with suppress(WebSocketClosedError):
            await (await connections[socket]).write_message(json.dumps(document))

    def on_message(socket: ScriptedWebSocket, document: Any) -> None:
        if socket not in connections:
            connections[socket] = asyncio.create_task(connect(socket))
        socket.node.forwarding.append(asyncio.create_task(forward(socket, document)))

    return on_message


@asynccontextmanager
async def scripted_node(upstream: str = "", **answers: bytes | Callable[[Any], Any]) -> AsyncIterator[ScriptedNode]:
    """A scripted node on a free port."""
    listening, port = bind_unused_port()
    node = ScriptedNode(url=f"http://127.0.0.1:{port}", upstream=upstream, answers=answers)
    arguments = {"node": node}
    rules: list[Any] = [
        Rule(_WebSocketHandshake(node), ScriptedWebSocket, arguments),
        (r"/.*", _RpcHandler, arguments),
    ]
    server = HTTPServer(Application(rules, log_function=lambda _: None))
    server.add_socket(listening)
    try:
        yield node
    finally:
        await asyncio.gather(*node.forwarding)
        for connection in node.upstream_sockets:
            connection.close()
        server.stop()
        await server.close_all_connections()

"""What tests of `RpcChain` share: chains that run, transactions to send, and nodes that answer what a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, websocket_connect

from dexexec.clock import SystemClock
from dexexec.domain.swap import Blockhash, SignedSwap
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.rpc.node_pool import NodePoolOptions
from tests.support.localnet.in_process import pay, post, rpc, sign
from tests.support.parts import running

C = TypeVar("C", bound=RpcChain)
LONG_TIMEOUTS, SHORT_TIMEOUTS = NodePoolOptions(timeout=10.0, grace=0.5), NodePoolOptions(timeout=2.0, grace=0.1)


@dataclass
class RecordingListener:
    """A watcher that records what it gets."""

    lines: list[tuple[str, ...]] = field(default_factory=list)

    def node_failed(self, node: str, why: str) -> None:
        self.lines.append(("failed", node, why))

    def node_rate_limited(self, node: str, why: str) -> None:
        self.lines.append(("rests", node, why))

    def node_lagging(self, node: str, blocks: int) -> None:
        self.lines.append(("lags", node, str(blocks)))

    def node_recovered(self, node: str) -> None:
        self.lines.append(("back", node))

    def node_websocket_failed(self, node: str, why: str) -> None:
        self.lines.append(("socket failed", node, why))

    def node_websocket_recovered(self, node: str) -> None:
        self.lines.append(("socket back", node))

    @property
    def kinds(self) -> list[str]:
        """What happened, without to whom."""
        return [kind for kind, *_ in self.lines]


def rpc_chain(
    *urls: str, listener: RecordingListener | None = None, timeouts: NodePoolOptions = LONG_TIMEOUTS
) -> RpcChain:
    """A chain over nodes."""
    return RpcChain(urls, SystemClock(), listener or RecordingListener(), timeouts)


def timeouts_for(answer: str) -> NodePoolOptions:
    """Short where a node is to be waited for in vain, else long: tests may run on a machine that is busy."""
    return SHORT_TIMEOUTS if answer in {"hang", "429"} else LONG_TIMEOUTS


@asynccontextmanager
async def open_chain(chain: C) -> AsyncIterator[C]:
    """A chain that works inside the block."""
    try:
        async with running(chain.run()):
            yield chain
    finally:
        await chain.aclose()


def sign_swap(steps: Sequence[Instruction], *signers: Keypair, blockhash: Blockhash) -> SignedSwap:
    """A transaction as settlement has it; the first signer pays."""
    transaction = sign(steps, *signers, blockhash=Hash.from_string(blockhash.hash))
    return SignedSwap(
        signature=str(transaction.signatures[0]),
        payload=bytes(transaction),
        last_valid_height=blockhash.last_valid_height,
    )


async def signed_transfer(chain: RpcChain, wallet: Keypair, to: Pubkey, lamports: int) -> SignedSwap:
    """A transfer with the chain's newest blockhash, not sent."""
    return sign_swap([pay(wallet, to, lamports)], wallet, blockhash=await chain.blockhash())


async def set_faults(url: str, **given: Any) -> None:
    """Set a node's faults."""
    await rpc(url, "localnet_setFaults", given)


def wrong_answers(answer: str, *methods: str, requests: int = 1000, execute: bool = False) -> list[dict[str, Any]]:
    """The fault `answers` with one entry."""
    return [{"answer": answer, "methods": list(methods), "requests": requests, "execute": execute}]


@dataclass(frozen=True)
class JsonRpcError:
    """In place of a result: an error with this code."""

    code: int


@dataclass
class ScriptedNode:
    """A scripted node: it records its requests, and has scripted answers.

    `answers` by method: a whole body (bytes), or a function from the parameters to the result. All other requests go
    to the node at `behind`, or to each of `in_turn`. `statuses` by method: an HTTP status instead of 200.
    There are only WebSockets once `hears` is set, which gets the messages of each of them.
    """

    url: str
    behind: str
    answers: Mapping[str, bytes | Callable[[Any], Any]]
    asked: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    hears: Callable[["_Socket", Any], None] | None = None
    sockets: list["_Socket"] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)
    passing: list[asyncio.Task[None]] = field(default_factory=list)
    behinds: list[WebSocketClientConnection] = field(default_factory=list)
    in_turn: list[str] = field(default_factory=list)

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.asked)

    def next_behind(self) -> str:
        """Where the next request is passed on to."""
        return self.in_turn[len(self.asked) % len(self.in_turn)] if self.in_turn else self.behind


class _Scripted(RequestHandler):
    def initialize(self, script: ScriptedNode) -> None:
        self.script = script

    async def post(self) -> None:
        script, call = self.script, json.loads(self.request.body)
        script.asked.append((call["method"], call["params"]))
        script.headers.append(dict(self.request.headers))
        script.paths.append(self.request.uri or "")
        self.set_status(script.statuses.get(call["method"], 200))
        answer = script.answers.get(call["method"])
        if answer is None:
            self.finish((await post(script.next_behind(), self.request.body)).body)
        elif isinstance(answer, bytes):
            self.finish(answer)
        else:
            result = answer(call["params"])
            refused = {"error": {"code": result.code, "message": "no"}} if isinstance(result, JsonRpcError) else None
            self.finish(json.dumps({"jsonrpc": "2.0", "id": call["id"], **(refused or {"result": result})}))


class _Socket(WebSocketHandler):
    def initialize(self, script: ScriptedNode) -> None:
        self.script = script

    def open(self, *_: str | None, **__: str | None) -> None:
        self.script.paths.append(self.request.uri or "")
        self.script.headers.append(dict(self.request.headers))
        self.script.sockets.append(self)

    def on_message(self, message: str | bytes) -> None:
        said = json.loads(message)
        self.script.heard.append(said)
        assert self.script.hears is not None
        self.script.hears(self, said)

    def answer(self, call: Any, number: int) -> None:
        """It is subscription `number`."""
        self.write_message({"jsonrpc": "2.0", "id": call["id"], "result": number})

    def notify(self, number: int) -> None:
        """A notification that the signature of subscription `number` is confirmed."""
        result = {"context": {"slot": 10**9}, "value": {"err": None}}
        params = {"result": result, "subscription": number}
        self.write_message({"jsonrpc": "2.0", "method": "signatureNotification", "params": params})


class _Upgrade(Matcher):
    """The handshake of a WebSocket, where there are some."""

    def __init__(self, script: ScriptedNode) -> None:
        self.script = script

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        return {} if self.script.hears and request.headers.get("Upgrade") == "websocket" else None


def forward_websocket(behind: str) -> Callable[[_Socket, Any], None]:
    """For `ScriptedNode.hears`: passes each WebSocket on to the node at `behind`, and its messages back."""
    far: dict[_Socket, asyncio.Task[WebSocketClientConnection]] = {}

    async def connect(near: _Socket) -> WebSocketClientConnection:
        def back(message: str | bytes | None) -> None:
            if message is not None and near.ws_connection is not None:
                near.write_message(message)

        end = await websocket_connect(behind.replace("http", "ws", 1), on_message_callback=back)
        near.script.behinds.append(end)
        return end

    async def forward(near: _Socket, said: Any) -> None:
        await (await far[near]).write_message(json.dumps(said))

    def hears(near: _Socket, said: Any) -> None:
        far.setdefault(near, asyncio.create_task(connect(near)))
        near.script.passing.append(asyncio.create_task(forward(near, said)))

    return hears


@asynccontextmanager
async def scripted_node(behind: str = "", **answers: bytes | Callable[[Any], Any]) -> AsyncIterator[ScriptedNode]:
    """A node with a test's answers, on a free port."""
    listening, port = bind_unused_port()
    script = ScriptedNode(f"http://127.0.0.1:{port}", behind, answers)
    rules: list[Any] = [Rule(_Upgrade(script), _Socket, {"script": script}), (r"/.*", _Scripted, {"script": script})]
    server = HTTPServer(Application(rules, log_function=lambda _: None))
    server.add_socket(listening)
    try:
        yield script
    finally:
        await asyncio.gather(*script.passing)
        for end in script.behinds:
            end.close()
        server.stop()
        await server.close_all_connections()

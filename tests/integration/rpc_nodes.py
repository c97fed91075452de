"""What tests of `RpcChain` share: chains that run, transactions to send, and nodes that answer what a test wants."""

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
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from dexexec.clock import SystemClock
from dexexec.domain.swap import Blockhash, SignedSwap
from dexexec.settlement.rpc import RpcChain
from dexexec.settlement.rpc.nodes import Patience
from tests.integration.localnet import pay, post, rpc, sign
from tests.parts import running

C = TypeVar("C", bound=RpcChain)
PATIENT, QUICK = Patience(timeout=10.0, grace=0.5), Patience(timeout=0.5, grace=0.1)


@dataclass
class Told:
    """A watcher that keeps what it is told."""

    lines: list[tuple[str, ...]] = field(default_factory=list)

    def node_failed(self, node: str, why: str) -> None:
        self.lines.append(("failed", node, why))

    def node_lags(self, node: str, blocks: int) -> None:
        self.lines.append(("lags", node, str(blocks)))

    def node_back(self, node: str) -> None:
        self.lines.append(("back", node))

    @property
    def kinds(self) -> list[str]:
        """What happened, without to whom."""
        return [kind for kind, *_ in self.lines]


def chain_of(*urls: str, told: Told | None = None, patience: Patience = PATIENT) -> RpcChain:
    """A chain over nodes."""
    return RpcChain(urls, SystemClock(), told or Told(), patience)


def patience(answer: str) -> Patience:
    """Short where a node is to be waited for in vain, else long: tests may run on a machine that is busy."""
    return QUICK if answer == "hang" else PATIENT


@asynccontextmanager
async def opened(chain: C) -> AsyncIterator[C]:
    """A chain that works inside the block."""
    try:
        async with running(chain.run()):
            yield chain
    finally:
        await chain.aclose()


def seal(steps: Sequence[Instruction], *signers: Keypair, blockhash: Blockhash) -> SignedSwap:
    """A transaction as settlement has it; the first signer pays."""
    transaction = sign(steps, *signers, blockhash=Hash.from_string(blockhash.hash))
    return SignedSwap(str(transaction.signatures[0]), bytes(transaction), blockhash.last_valid_height)


async def transfer(chain: RpcChain, wallet: Keypair, to: Pubkey, lamports: int) -> SignedSwap:
    """A transfer with the chain's newest blockhash, not sent."""
    return seal([pay(wallet, to, lamports)], wallet, blockhash=await chain.blockhash())


async def faults(url: str, **given: Any) -> None:
    """Set a node's faults."""
    await rpc(url, "localnet_setFaults", given)


def wrong(answer: str, *methods: str, requests: int = 1000, execute: bool = False) -> list[dict[str, Any]]:
    """The fault `answers` with one entry."""
    return [{"answer": answer, "methods": list(methods), "requests": requests, "execute": execute}]


@dataclass
class Script:
    """A node that a test writes: what it was asked, and how it answers.

    `answers` by method: a whole body (bytes), or a function from the parameters to the result. All else is passed on
    to the node at `behind`.
    """

    url: str
    behind: str
    answers: Mapping[str, bytes | Callable[[Any], Any]]
    asked: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.asked)


class _Scripted(RequestHandler):
    def initialize(self, script: Script) -> None:
        self.script = script

    async def post(self) -> None:
        script, call = self.script, json.loads(self.request.body)
        script.asked.append((call["method"], call["params"]))
        script.headers.append(dict(self.request.headers))
        script.paths.append(self.request.uri or "")
        answer = script.answers.get(call["method"])
        if answer is None:
            self.finish((await post(script.behind, self.request.body)).body)
        elif isinstance(answer, bytes):
            self.finish(answer)
        else:
            self.finish(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": answer(call["params"])}))


@asynccontextmanager
async def scripted(behind: str = "", **answers: bytes | Callable[[Any], Any]) -> AsyncIterator[Script]:
    """A node that answers as a test says, on a free port."""
    listening, port = bind_unused_port()
    script = Script(f"http://127.0.0.1:{port}", behind, answers)
    server = HTTPServer(Application([(r"/.*", _Scripted, {"script": script})], log_function=lambda _: None))
    server.add_socket(listening)
    try:
        yield script
    finally:
        server.stop()
        await server.close_all_connections()

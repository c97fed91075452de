"""An unreliable HTTP proxy in front of a localnet, as some providers have: it may allow few requests a second, answer a
send that it passed on with anything, and have several nodes behind one address."""

import itertools
import json
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tests.support.localnet.in_process import JSON

WINDOW = 1.0
"""Seconds over which requests are counted."""
TOO_MANY_REQUESTS = b'{"jsonrpc":"2.0","error":{"code":429,"message":"too many requests"},"id":null}'


class ReplacedAnswer(StrEnum):
    """What the client gets in place of the node's answer."""

    ERROR = "HTTP 500"
    EMPTY = "an empty body"
    GARBAGE = "garbage"
    CLOSED = "a closed connection"


@dataclass(kw_only=True)
class UnreliableProxy:
    """`nodes` are used in turn. `replacements`: answers to a `sendTransaction` that has been passed on, also in turn.
    `refused` counts the answers with 429."""

    url: str
    nodes: Sequence[str]
    client: AsyncHTTPClient
    replacements: Sequence[ReplacedAnswer] = ()
    replaced: Counter[ReplacedAnswer] = field(default_factory=Counter)
    refused: int = 0
    _per_second: int | None = None
    _times: deque[float] = field(default_factory=deque)
    _turns: Callable[[], int] = field(default_factory=lambda: itertools.count().__next__)

    def limit(self, requests: int) -> None:
        """Allows `requests` per second from now on."""
        # The next request is always refused, so that a slow machine sees the limit too.
        self._per_second = requests

    def allows(self) -> bool:
        """Whether one more request is within the limit; it counts then."""
        now = time.monotonic()
        while self._times and self._times[0] <= now - WINDOW:
            self._times.popleft()
        if self._per_second is not None and (not self.refused or len(self._times) >= self._per_second):
            self.refused += 1
            return False
        self._times.append(now)
        return True

    async def forward(self, body: bytes) -> bytes:
        """The answer of the node whose turn it is."""
        node = self.nodes[self._turns() % len(self.nodes)]
        return (await self.client.fetch(node, method="POST", body=body, headers=JSON, request_timeout=30)).body

    def replacement_for(self, method: str) -> ReplacedAnswer | None:
        """What replaces the node's answer, if anything does."""
        if method != "sendTransaction" or not self.replacements:
            return None
        answer = self.replacements[self.replaced.total() % len(self.replacements)]
        self.replaced[answer] += 1
        return answer


class _ProxyHandler(RequestHandler):
    def initialize(self, proxy: UnreliableProxy) -> None:
        self.proxy = proxy

    async def post(self) -> None:
        proxy, body = self.proxy, self.request.body
        if not proxy.allows():
            self.set_status(429)
            self.finish(TOO_MANY_REQUESTS)
            return
        method = json.loads(body)["method"]
        answer = await proxy.forward(body)
        match proxy.replacement_for(method):
            case None:
                self.finish(answer)
            case ReplacedAnswer.ERROR:
                self.set_status(500)
                self.finish(b"Internal Server Error")
            case ReplacedAnswer.EMPTY:
                self.finish()
            case ReplacedAnswer.GARBAGE:
                self.finish(b'\x00\xff{"jsonrpc": "2.0", "resu')
            case ReplacedAnswer.CLOSED:
                self.detach().close()


@asynccontextmanager
async def unreliable_proxy(*nodes: str) -> AsyncIterator[UnreliableProxy]:
    """A proxy that only passes requests on, until a test changes it."""
    listening, port = bind_unused_port()
    client = AsyncHTTPClient(force_instance=True, max_clients=100)
    proxy = UnreliableProxy(url=f"http://127.0.0.1:{port}", nodes=nodes, client=client)
    server = HTTPServer(Application([(r"/.*", _ProxyHandler, {"proxy": proxy})], log_function=lambda _: None))
    server.add_socket(listening)
    try:
        yield proxy
    finally:
        server.stop()
        await server.close_all_connections()
        client.close()

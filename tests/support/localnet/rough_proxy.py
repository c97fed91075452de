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
BUSY = b'{"jsonrpc":"2.0","error":{"code":429,"message":"too many requests"},"id":null}'


class SpoiledAnswer(StrEnum):
    """What is answered in place of the node's answer."""

    ERROR = "HTTP 500"
    EMPTY = "an empty body"
    GARBAGE = "garbage"
    CLOSED = "a closed connection"


@dataclass
class RoughProxy:
    """`nodes` are used in turn. `spoils`: answers to a `sendTransaction` that has been passed on, also in turn.
    `refused` counts the answers with 429."""

    url: str
    nodes: Sequence[str]
    client: AsyncHTTPClient
    spoils: Sequence[SpoiledAnswer] = ()
    spoilt: Counter[SpoiledAnswer] = field(default_factory=Counter)
    refused: int = 0
    _a_second: int | None = None
    _times: deque[float] = field(default_factory=deque)
    _turns: Callable[[], int] = field(default_factory=lambda: itertools.count().__next__)

    def limit(self, requests: int) -> None:
        """Allow so many a second from now on. The next one is always refused, also on a slow machine."""
        self._a_second = requests

    def allows(self) -> bool:
        """Whether one more request is within the limit; it counts then."""
        now = time.monotonic()
        while self._times and self._times[0] <= now - WINDOW:
            self._times.popleft()
        if self._a_second is not None and (not self.refused or len(self._times) >= self._a_second):
            self.refused += 1
            return False
        self._times.append(now)
        return True

    async def ask(self, body: bytes) -> bytes:
        """The answer of the node whose turn it is."""
        node = self.nodes[self._turns() % len(self.nodes)]
        return (await self.client.fetch(node, method="POST", body=body, headers=JSON, request_timeout=30)).body

    def spoil(self, method: str) -> SpoiledAnswer | None:
        """What is answered in place of the node's answer, if anything is."""
        if method != "sendTransaction" or not self.spoils:
            return None
        answer = self.spoils[self.spoilt.total() % len(self.spoils)]
        self.spoilt[answer] += 1
        return answer


class _Asked(RequestHandler):
    def initialize(self, front: RoughProxy) -> None:
        self.front = front

    async def post(self) -> None:
        front, body = self.front, self.request.body
        if not front.allows():
            self.set_status(429)
            self.finish(BUSY)
            return
        method = json.loads(body)["method"]
        answer = await front.ask(body)
        match front.spoil(method):
            case None:
                self.finish(answer)
            case SpoiledAnswer.ERROR:
                self.set_status(500)
                self.finish(b"Internal Server Error")
            case SpoiledAnswer.EMPTY:
                self.finish()
            case SpoiledAnswer.GARBAGE:
                self.finish(b'\x00\xff{"jsonrpc": "2.0", "resu')
            case SpoiledAnswer.CLOSED:
                self.detach().close()


@asynccontextmanager
async def rough_proxy(*nodes: str) -> AsyncIterator[RoughProxy]:
    """A proxy that only passes requests on, until a test changes it."""
    listening, port = bind_unused_port()
    client = AsyncHTTPClient(force_instance=True, max_clients=100)
    front = RoughProxy(f"http://127.0.0.1:{port}", nodes, client)
    server = HTTPServer(Application([(r"/.*", _Asked, {"front": front})], log_function=lambda _: None))
    server.add_socket(listening)
    try:
        yield front
    finally:
        server.stop()
        await server.close_all_connections()
        client.close()

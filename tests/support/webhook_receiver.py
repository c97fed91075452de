"""A receiver of webhooks on loopback, whose answers a test chooses, down to the bytes."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from dexexec.domain.webhook import ClaimedDelivery, body_of_test
from dexexec.webhooks.signing import new_secret
from tests.support.tcp_server import tcp_server
from tests.support.webhook_tables import LONG_AGO

SECRET = new_secret(b"s" * 32)
CLOSE = "connection: close\r\n"
OK = f"HTTP/1.1 204 No Content\r\n{CLOSE}\r\n".encode()
STAYS_OPEN = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Received:
    """One request."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """The event in it."""
        return json.loads(self.body)["data"]


Behaviour = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def answering(*answers: bytes) -> Behaviour:
    """One after the other; the last one again and again."""
    left = list(answers)

    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    return answer


def status(code: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {code} Some\r\n{CLOSE}content-length: {len(body)}\r\n{lines}\r\n".encode() + body


async def never(_: Received, writer: asyncio.StreamWriter) -> None:
    """No answer, and the connection stays open until the client closes it."""
    await writer.wait_closed()


@dataclass(slots=True)
class Receiver:
    """A server. `behaviour` may be replaced at any time. Connections last for one request, unless it `keeps` them."""

    behaviour: Behaviour = field(default_factory=lambda: answering(OK))
    received: list[Received] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    keeps: bool = False
    at_once: int = 0
    most_at_once: int = 0
    connections: int = 0

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """Its URL."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    @property
    def seen(self) -> list[tuple[str, int]]:
        """The order and `seq` of each event that arrived."""
        return [(each.event["orderId"], each.event["seq"]) for each in self.received]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        self.connections += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._answer(reader, writer)
                while self.keeps:
                    await self._answer(reader, writer)
        finally:
            self.at_once -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(self._pairs(head[1:-2]))
        body = await reader.readexactly(int(headers["content-length"]))
        request = Received(target=head[0].split(" ")[1], headers=headers, body=body)
        self.received.append(request)
        await self.behaviour(request, writer)

    @staticmethod
    def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
        for line in lines:
            name, _, value = line.partition(": ")
            yield name.lower(), value


@asynccontextmanager
async def receiver(
    behaviour: Behaviour | None = None, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A running one. What it still does at the end is cancelled."""
    made = Receiver(scheme="https" if tls else "http")
    if behaviour is not None:
        made.behaviour = behaviour
    async with tcp_server(made.serve, host, tls) as made.port:
        yield made


def claimed(url: str, *, secrets: tuple[str, ...] = (SECRET,)) -> ClaimedDelivery:
    """A delivery to this URL."""
    return ClaimedDelivery(
        id=1,
        webhook=uuid4(),
        name="hook",
        owner=None,
        url=url,
        secrets=secrets,
        order_id=uuid4(),
        seq=1,
        type="webhook.test",
        payload=body_of_test("hook", LONG_AGO),
        tries=1,
        failures=0,
        lease="lease",
    )

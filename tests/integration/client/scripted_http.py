"""A server that treats one request after another as a test wants, and keeps what it received."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.tcp_server import tcp_server

ORDER_ID = "01a2295d-82f2-7600-91fb-577a337d39e5"


@dataclass(frozen=True, slots=True)
class Received:
    """A request. The names of its headers are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


Treat = Callable[[asyncio.StreamWriter, Received], Awaitable[None]]


def answers(status: int, body: object = None, **headers: str) -> Treat:
    """Answers with JSON, or with bytes as they are."""

    async def treat(writer: asyncio.StreamWriter, _: Received) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await writer.drain()

    return treat


def accepts(*, replayed: bool = False) -> Treat:
    """The answer to an order."""
    headers = {"Idempotent_Replayed": "true"} if replayed else {}
    return answers(202, {"orderId": ORDER_ID}, **headers)


async def cuts(writer: asyncio.StreamWriter, _: Received) -> None:
    """Closes the connection instead of an answer."""
    writer.close()


async def cuts_in_the_middle(writer: asyncio.StreamWriter, _: Received) -> None:
    """Closes the connection within an answer."""
    writer.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"orderId": "')
    await writer.drain()
    writer.close()


async def hangs(_: asyncio.StreamWriter, __: Received) -> None:
    """Never answers."""
    await asyncio.Event().wait()


@dataclass
class ScriptedServer:
    """What it received; the last entry of the script is used for all further requests."""

    script: Sequence[Treat]
    url: str = ""
    received: list[Received] = field(default_factory=list)
    gone: int = 0
    """Connections that the client has closed while it waited for an answer."""

    @property
    def keys(self) -> list[str | None]:
        """The Idempotency-Key of each request."""
        return [one.headers.get("idempotency-key") for one in self.received]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = (line.partition(":") for line in head[1:] if line)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Received(head[0], headers, body)
                treat = self.script[min(len(self.received), len(self.script) - 1)]
                self.received.append(request)
                treating = asyncio.ensure_future(treat(writer, request))
                ending = asyncio.ensure_future(reader.read(1))
                await asyncio.wait([treating, ending], return_when=asyncio.FIRST_COMPLETED)
                if not treating.done():
                    self.gone += 1
                for task in (treating, ending):
                    task.cancel()
                await asyncio.wait([treating, ending])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*script: Treat) -> AsyncIterator[ScriptedServer]:
    """A server with this script."""
    server = ScriptedServer(script)
    async with tcp_server(server.serve) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server

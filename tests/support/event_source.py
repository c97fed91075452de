"""A client of server-sent events, over a bare connection: as a browser reads them, and remembers where it was."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tornado.httputil import HTTPHeaders

from tests.support.answer_checks import check_message


@dataclass
class Block:
    """A block of a stream."""

    event: str = ""
    id: str = ""
    data: str = ""
    retry: str = ""

    @property
    def message(self) -> dict[str, Any]:
        """Its data, which is a message of the WebSocket."""
        found = json.loads(self.data)
        assert isinstance(found, dict)
        check_message(found)
        return found


@dataclass
class EventSource:
    """A client. Like a browser it remembers the last id, and ends when the connection does."""

    status: int
    headers: HTTPHeaders
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    last_id: str = ""
    comments: int = 0
    retries: list[str] = field(default_factory=list)

    async def block(self) -> Block | None:
        """The next block; None at the end."""
        found = Block()
        while True:
            async with asyncio.timeout(20):
                line = (await self.reader.readline()).decode()
            if not line:
                return None
            if line == "\n":
                return found
            name, _, value = line.rstrip("\n").partition(":")
            if not name:
                self.comments += 1
                continue
            setattr(found, name, value.removeprefix(" "))
            self.last_id = found.id or self.last_id
            if name == "retry":
                self.retries.append(found.retry)

    async def next(self) -> Block | None:
        """The next block with data; None at the end."""
        while (found := await self.block()) is not None and not found.data:
            pass
        return found

    async def events(self, count: int) -> list[tuple[str, int]]:
        """The next events."""
        found = list[tuple[str, int]]()
        while len(found) < count:
            one = await self.next()
            assert one is not None
            assert not one.event, one
            found.append((str(one.message["orderId"]), int(one.message["seq"])))
        return found

    async def end(self) -> None:
        """Nothing more comes."""
        assert await self.next() is None


async def answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, headers: dict[str, str]
) -> EventSource:
    """Send a request, and read the head of its answer."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode()
    start, _, rest = head.partition("\r\n")
    return EventSource(int(start.split()[1]), HTTPHeaders.parse(rest), reader, writer)


@asynccontextmanager
async def event_source(port: int, path: str, method: str = "GET", **headers: str) -> AsyncIterator[EventSource]:
    """A client of a path of a service on this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        yield await answered(reader, writer, method, path, headers)
    finally:
        writer.close()

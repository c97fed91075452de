"""A WebSocket of a localnet for tests: calls, and the notifications between them."""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.support.localnet.in_process import InProcessLocalnet


@dataclass
class Socket:
    """An open WebSocket. Notifications that come before an answer are kept for `read`."""

    connection: WebSocketClientConnection
    _kept: deque[Any] = field(default_factory=deque)

    async def read(self) -> Any:
        """The next message."""
        return self._kept.popleft() if self._kept else await self._receive()

    async def call(self, method: str, *params: Any) -> Any:
        """The answer to a call."""
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        await self.connection.write_message(json.dumps(document))
        while "id" not in (message := await self._receive()):
            self._kept.append(message)
        return message

    async def notifications(self) -> list[Any]:
        """All notifications so far: the server has sent them before it answers a call."""
        await self.call("none")
        kept = list(self._kept)
        self._kept.clear()
        return kept

    async def _receive(self) -> Any:
        message = await self.connection.read_message()
        assert message is not None
        return json.loads(message)


@asynccontextmanager
async def socket_of(net: InProcessLocalnet, path: str = "") -> AsyncIterator[Socket]:
    """A WebSocket of the first node, or of the one at `path`."""
    connection = await websocket_connect(net.url.replace("http", "ws") + path)
    try:
        yield Socket(connection)
    finally:
        connection.close()

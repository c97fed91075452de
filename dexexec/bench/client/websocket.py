"""One WebSocket of the load client: the handshake, text frames, pings and the end, and no more of RFC 6455."""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

from dexexec.bench.client.http import EXECUTE, Target

TEXT, CLOSE, PING = 1, 8, 9
_MASKED = 0x80


def handshake(target: Target, order: str = "") -> bytes:
    """The upgrade request, for one order or for none yet."""
    path = f"{EXECUTE}?orderId={order}" if order else EXECUTE
    return (
        f"GET {path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame. The mask is zero, which is a mask like any other and leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, _MASKED | size, 0, 0, 0, 0)) + payload
    return struct.pack("!BBHI", 0x80 | opcode, _MASKED | 126, size, 0) + payload


class WebSocket(asyncio.Protocol):
    """`text` is called with each message, `over` once with why the socket ended, unless `close` was called."""

    __slots__ = ("_buffer", "_over", "_text", "_transport", "_upgraded", "opened")

    def __init__(self, text: Callable[["WebSocket", bytes], None], over: Callable[["WebSocket", str], None]) -> None:
        self._text, self._over = text, over
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._upgraded = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not of that class

    def upgrade(self, request: bytes) -> None:
        """Send the handshake; `opened` says when it is through."""
        if self._transport is not None:
            self._transport.write(request)

    def send(self, text: bytes) -> None:
        """Send a text message."""
        if self._transport is not None:
            self._transport.write(frame(TEXT, text))

    def close(self) -> None:
        """Cut the connection; nothing is told any more."""
        transport, self._transport = self._transport, None
        self.opened.cancel()
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._buffer = buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not buffer.startswith(b"HTTP/1.1 101"):
                self._end(f"refused: {buffer[:12].decode('latin-1')}")
                return
            self._upgraded = True
            self._buffer = buffer = buffer[end + 4 :]
            if not self.opened.done():
                self.opened.set_result(None)
        self._frames(buffer)

    def _frames(self, buffer: bytes) -> None:
        at = 0
        while len(buffer) - at >= 2:
            size, start = buffer[at + 1], at + 2
            if size == 126:
                start += 2
            elif size == 127:
                start += 8
            if len(buffer) < start:
                break
            if size >= 126:
                size = int.from_bytes(buffer[at + 2 : start], "big")
            if len(buffer) < start + size:
                break
            opcode, payload = buffer[at] & 0x0F, buffer[start : start + size]
            at = start + size
            if opcode == TEXT:
                self._text(self, payload)
            elif opcode == PING and self._transport is not None:
                self._transport.write(frame(10, payload))
            elif opcode == CLOSE:
                self._end(f"closed with {int.from_bytes(payload[:2], 'big')}")
            if self._transport is None:
                return
        self._buffer = buffer[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._transport is not None:
            self._end("the connection broke")

    def _end(self, why: str) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(why))
            self.opened.exception()  # whoever waits for it raises it; nobody has to
        self._over(self, why)


async def connect(
    target: Target, text: Callable[[WebSocket, bytes], None], over: Callable[[WebSocket, str], None]
) -> WebSocket:
    """A connection on which the handshake is still to be made. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: WebSocket(text, over), target.host, target.port)
    return socket

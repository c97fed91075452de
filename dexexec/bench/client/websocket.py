"""One WebSocket of the load client: the parts of RFC 6455 that the measured servers use.

These are the handshake, text frames, pings and the closing frame.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

from dexexec.bench.client.http import EXECUTE, Target

# Opcodes (RFC 6455, section 5.2).
TEXT = 0x1
CLOSE = 0x8
PING = 0x9
PONG = 0xA
_FINAL = 0x80
_MASKED = 0x80


def handshake(target: Target, order: str = "") -> bytes:
    """The upgrade request: for one order, or without `order` for a socket that follows no order yet."""
    path = f"{EXECUTE}?orderId={order}" if order else EXECUTE
    return (
        f"GET {path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """A frame from the client."""
    size = len(payload)
    # Clients must mask their frames. A mask of zero is valid, and leaves the payload as it is.
    if size < 126:
        return bytes((_FINAL | opcode, _MASKED | size, 0, 0, 0, 0)) + payload
    return struct.pack("!BBHI", _FINAL | opcode, _MASKED | 126, size, 0) + payload


class WebSocket(asyncio.Protocol):
    """A socket that calls `on_text` with each message, and `on_end` once with the reason when it ends.

    `close` ends it without calling `on_end`. `opened` is done when the handshake is complete.
    """

    __slots__ = ("_buffer", "_on_end", "_on_text", "_transport", "_upgraded", "opened")

    def __init__(
        self, on_text: Callable[["WebSocket", bytes], None], on_end: Callable[["WebSocket", str], None]
    ) -> None:
        self._on_text = on_text
        self._on_end = on_end
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._upgraded = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # A cast and no isinstance: uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def upgrade(self, request: bytes) -> None:
        """Send the handshake; `opened` is done once the server has accepted it."""
        if self._transport is not None:
            self._transport.write(request)

    def send(self, text: bytes) -> None:
        """Send a text message."""
        if self._transport is not None:
            self._transport.write(frame(TEXT, text))

    def close(self) -> None:
        """Close the connection without a callback."""
        transport = self._transport
        self._transport = None
        self.opened.cancel()
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
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
        self._read_frames(buffer)

    def _read_frames(self, buffer: bytes) -> None:
        at = 0
        while len(buffer) - at >= 2:
            # Frames of a server are not masked, so the second byte is the size, or the width of the size.
            size = buffer[at + 1]
            start = at + 2
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
            opcode = buffer[at] & 0x0F
            payload = buffer[start : start + size]
            at = start + size
            if opcode == TEXT:
                self._on_text(self, payload)
            elif opcode == PING and self._transport is not None:
                self._transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self._end(f"closed with {int.from_bytes(payload[:2], 'big')}")
            # A callback may have closed the socket.
            if self._transport is None:
                return
        self._buffer = buffer[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if self._transport is not None:
            self._end("disconnected")

    def _end(self, why: str) -> None:
        transport = self._transport
        self._transport = None
        if transport is not None:
            transport.abort()
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(why))
            # Marks the exception as retrieved, because nothing may be waiting for it.
            self.opened.exception()
        self._on_end(self, why)


async def connect(
    target: Target, on_text: Callable[[WebSocket, bytes], None], on_end: Callable[[WebSocket, str], None]
) -> WebSocket:
    """Open a connection, without the handshake. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: WebSocket(on_text, on_end), target.host, target.port)
    return socket

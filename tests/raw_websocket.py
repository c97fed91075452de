"""A WebSocket client by hand, for tests of peers that misbehave."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dexexec.api.app import EXECUTE


class RawClient:
    """A client that does only what it is told: it neither reads nor answers a ping by itself."""

    TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self.received = 0

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int) -> AsyncIterator["RawClient"]:
        """Open a socket that buffers little on this side."""
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, ("127.0.0.1", port))
            client = cls(connection)
            await loop.sock_sendall(
                connection,
                f"GET {EXECUTE} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode(),
            )
            while b"\r\n\r\n" not in client._buffer:
                await client._receive()
            head, _, client._buffer = client._buffer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            yield client

    async def send(self, opcode: int, payload: bytes) -> None:
        """Send a frame, masked with zeros."""
        size = len(payload)
        length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
        frame = bytes([0x80 | opcode]) + length + bytes(4) + payload
        await asyncio.get_running_loop().sock_sendall(self._connection, frame)

    async def frame(self) -> tuple[int, bytes] | None:
        """The next frame as opcode and payload; None at the end of the stream."""
        start = await self._exactly(2)
        if start is None:
            return None
        size = start[1]
        if size == 126:
            size = struct.unpack("!H", await self._exactly(2) or b"")[0]
        payload = await self._exactly(size)
        return None if payload is None else (start[0] & 0x0F, payload)

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """All frames up to the close frame, or to the end of the stream."""
        while (frame := await self.frame()) is not None:
            yield frame
            if frame[0] == self.CLOSE:
                return

    async def _exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not await self._receive():
                return None
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def _receive(self) -> bool:
        async with asyncio.timeout(20):
            data = await asyncio.get_running_loop().sock_recv(self._connection, 65_536)
        self.received += len(data)
        self._buffer += data
        return bool(data)

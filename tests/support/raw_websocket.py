"""A hand-made WebSocket client, for tests of peers that misbehave, and for tests whose servers are killed: its socket
is closed at the end of its block, after any failure of the handshake, the server or the block."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dexexec.api.app import EXECUTE

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame_bytes(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """A frame, masked with zeros. `reserved` are the three bits after FIN."""
    size, mask = len(payload), 0x80 * masked
    length = struct.pack("!B", mask | size) if size < 126 else struct.pack("!BH", mask | 126, size)
    return bytes([0x80 * fin | reserved << 4 | opcode]) + length + bytes(4) * masked + payload


class RawClient:
    """A client that does only what the test calls: it neither reads nor answers a ping by itself. `patience` is how
    many seconds it waits for bytes; None: for ever."""

    CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

    def __init__(self, connection: socket.socket, patience: float | None) -> None:
        self._connection, self._patience = connection, patience
        self._buffer = b""
        self._sending = asyncio.Lock()
        self.received = 0

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, port: int, *, patience: float | None = 20.0, handshake_seconds: float = 20.0, buffer: int | None = 16_384
    ) -> AsyncIterator["RawClient"]:
        """Open a socket that buffers little on this side, unless `buffer` is None. Raises OSError without a
        handshake."""
        with socket.socket() as connection:
            if buffer is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            connection.setblocking(False)
            client = cls(connection, patience)
            async with asyncio.timeout(handshake_seconds):
                await client._shake_hands(port)
            yield client

    async def _shake_hands(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._connection, ("127.0.0.1", port))
        await loop.sock_sendall(self._connection, HANDSHAKE.format(path=EXECUTE, port=port).encode())
        while b"\r\n\r\n" not in self._buffer:
            if not await self._receive():
                raise ConnectionError("no handshake")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    async def send(self, opcode: int, payload: bytes) -> None:
        """Send a whole message or a control frame."""
        await self.send_bytes(frame_bytes(opcode, payload))

    async def send_bytes(self, data: bytes) -> None:
        """Send what need not be a frame."""
        async with self._sending:
            await asyncio.get_running_loop().sock_sendall(self._connection, data)

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
        async with asyncio.timeout(self._patience):
            data = await asyncio.get_running_loop().sock_recv(self._connection, 65_536)
        self.received += len(data)
        self._buffer += data
        return bool(data)

"""The tests' own clients close all their sockets, with any server: a leak would fail a later test."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.support.service.client import Watch, http
from tests.support.waiting import until

SHAKEN = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
Peer = Callable[[socket.socket], Awaitable[None]]


def to_port(port: int) -> int:
    """How many TCP sockets of this machine are, or were a moment ago, connected to a local port and belong to us."""
    inodes = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if _remote(line) == port}
    return len(inodes & {inode for fd in Path("/proc/self/fd").iterdir() if (inode := _inode(fd))})


def _remote(line: str) -> int:
    return int(line.split()[2].rpartition(":")[2], 16)


def _inode(descriptor: Path) -> str:
    with suppress(FileNotFoundError):  # the one that lists the folder
        name = str(descriptor.readlink())
        return name[8:-1] if name.startswith("socket:[") else ""
    return ""


@asynccontextmanager
async def server(treat: Peer) -> AsyncIterator[int]:
    """Accepts connections, and treats each as the test wants; returns its port."""
    loop = asyncio.get_running_loop()
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)

        async def accept() -> None:
            while True:
                connection, _ = await loop.sock_accept(listening)
                accepted.append(connection)
                await loop.sock_recv(connection, 65_536)
                await treat(connection)

        task = asyncio.create_task(accept())
        try:
            yield listening.getsockname()[1]
        finally:
            task.cancel()
            await asyncio.wait([task])
            for connection in accepted:
                connection.close()


async def is_silent(_: socket.socket) -> None:
    """Never answers."""


async def answers_half(connection: socket.socket) -> None:
    """Begins an answer, and is silent."""
    await asyncio.get_running_loop().sock_sendall(connection, b"HTTP/1.1 200 OK\r\nContent-Le")


async def resets(connection: socket.socket) -> None:
    """What the system does for a process that is killed with unread bytes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def shakes_hands(connection: socket.socket) -> None:
    """Opens a WebSocket, and is silent: it will not even answer a close."""
    await asyncio.get_running_loop().sock_sendall(connection, SHAKEN)


async def asks(url: str) -> None:
    async with http() as calls:
        with suppress(OSError):
            await calls.get(f"{url}/readyz")
        await asyncio.Event().wait()


async def follows(url: str) -> None:
    await Watch(lambda: url).also(["one"]).run()


@pytest.mark.parametrize("treat", [is_silent, answers_half, resets, shakes_hands])
@pytest.mark.parametrize("client", [asks, follows])
async def test_a_client_that_is_cancelled_has_no_socket_left(
    client: Callable[[str], Awaitable[None]], treat: Peer
) -> None:
    met = asyncio.Event()

    async def then_tell(connection: socket.socket) -> None:
        await treat(connection)
        met.set()

    async with server(then_tell) as port:
        task = asyncio.ensure_future(client(f"http://127.0.0.1:{port}"))
        await met.wait()
        if treat in {is_silent, answers_half}:
            assert to_port(port) > 0
        task.cancel()
        await asyncio.wait([task])
        assert to_port(port) == 0


async def test_a_request_without_a_waiter_ends_with_its_client() -> None:
    async with server(is_silent) as port:
        async with http() as calls:
            asking = asyncio.create_task(calls.get(f"http://127.0.0.1:{port}/readyz"))
            await until(lambda: to_port(port) == 1)
        assert to_port(port) == 0
        assert (await asyncio.gather(asking, return_exceptions=True))[0].__class__ is asyncio.CancelledError

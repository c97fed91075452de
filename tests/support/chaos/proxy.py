"""A TCP proxy on loopback that simulates a bad network, until it is healed.

It holds bytes back, both ways or one way, delays them, resets connections, and refuses new ones, in front of any
stream socket: Postgres, Redis, or an HTTP server. Held bytes are delivered after healing, in order, as after a network
partition. It acknowledges every byte itself, so a peer sees silence, never a missing host: only its own timeouts help.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Target = tuple[str, int] | str
"""An address, or the path of a unix socket."""
Tap = Callable[[bytes], bool]
"""Is shown what a client sends, on one connection, from its beginning; True: the answer to this must be lost."""
CHUNK = 65_536


class Gate:
    """One direction: open or shut, and how long each chunk takes (seconds)."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.delay = 0.0

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def shut(self) -> None:
        """Hold everything from here on."""
        self._open.clear()

    def open(self) -> None:
        """Let everything pass."""
        self.delay = 0.0
        self._open.set()

    async def passed(self) -> None:
        """Wait until a chunk may go on."""
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._open.wait()


class Link:
    """One client's connection, and the proxy's to the target behind it."""

    def __init__(self, client: socket.socket, gates: list[Gate], tap: Tap | None, caught: Callable[[], None]) -> None:
        self._client, self._server = client, socket.socket()
        self._up, self._down = gates
        self._tap, self._caught = tap, caught
        self._answers = Gate()

    async def run(self, target: Target) -> None:
        """Carry bytes both ways until both sides have ended, or one breaks; what breaks one side breaks the other."""
        if isinstance(target, str):
            self._server.close()
            self._server = socket.socket(socket.AF_UNIX)
        else:
            self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(self._server, target)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry_up())
                ways.create_task(self._carry_down())
        except* OSError:
            self.break_off()

    def close(self) -> None:
        """Close both sides."""
        self._client.close()
        self._server.close()

    def break_off(self) -> None:
        """Closing will be a reset on both sides."""
        for end in (self._client, self._server):
            if end.family == socket.AF_INET and end.fileno() != -1:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def heal(self) -> None:
        """Deliver the answer that was held, and catch none any more."""
        self._tap = None
        self._answers.open()

    async def _carry_up(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._client, CHUNK):
            await self._up.passed()
            if self._tap is not None and self._tap(data):
                self._tap = None
                self._answers.shut()
            await loop.sock_sendall(self._server, data)
        await self._up.passed()
        self._end(self._server)

    async def _carry_down(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._server, CHUNK):
            if not self._answers.is_open:
                self._caught()
            await self._answers.passed()
            await self._down.passed()
            await loop.sock_sendall(self._client, data)
        await self._down.passed()
        self._end(self._client)

    @staticmethod
    def _end(side: socket.socket) -> None:
        with suppress(OSError):  # it has gone already
            side.shutdown(socket.SHUT_WR)


class Proxy:
    """A separate port in front of `target`. While it refuses connections no other process can get the port."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.caught = asyncio.Event()
        """The statement that a tap has found was answered, and the answer is held: its effect is in place."""
        self._gates = [Gate(), Gate()]
        self._links: dict[asyncio.Task[None], Link] = {}
        self._tap: Callable[[], Tap] | None = None
        self._reservation = _bound(0)
        self.port: int = self._reservation.getsockname()[1]
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    def stall(self, *, up: bool = True, down: bool = True) -> None:
        """Hold all bytes, also those of new connections, which are accepted: `up` to the target, `down` from it."""
        for gate, shut in zip(self._gates, (up, down), strict=True):
            if shut:
                gate.shut()

    def forget(self) -> None:
        """Hold all bytes of the connections there are, and let new ones pass: as a NAT that lost its table."""
        for gate in self._gates:
            gate.shut()
        self._gates = [Gate(), Gate()]

    def delay(self, seconds: float) -> None:
        """Let each chunk take so long, in each direction."""
        for gate in self._gates:
            gate.delay = seconds

    async def reset(self) -> None:
        """Break every connection there is, with RST."""
        links = list(self._links.items())
        for task, link in links:
            link.break_off()
            task.cancel()
        await asyncio.gather(*(task for task, _ in links), return_exceptions=True)

    async def refuse(self) -> None:
        """Refuse new connections."""
        if self._accepting is not None and self._listening is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._listening.close()
            self._accepting = self._listening = None

    async def cut(self) -> None:
        """Break what there is, and refuse what comes."""
        await self.refuse()
        await self.reset()

    def catch(self, tap: Callable[[], Tap]) -> None:
        """Give connections a tap each, from now on; for one that was open before, it begins in the middle. When one
        answers True, the answers on its connection are held, and `caught` is set when the first has come."""
        self._tap = tap

    def heal(self) -> None:
        """Accept connections, and deliver everything at once, also what was held."""
        self._tap = None
        self.caught.clear()
        for gate in self._gates:
            gate.open()
        for link in self._links.values():
            link.heal()
        if self._listening is None:
            self._listening = _bound(self.port)
            self._listening.listen(512)
            self._accepting = asyncio.create_task(self._accept(self._listening))

    async def close(self) -> None:
        """Break everything off."""
        await self.cut()
        self._reservation.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listening)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(client, self._gates, self._tap() if self._tap else None, self.caught.set)
            task = asyncio.create_task(link.run(self.target))
            self._links[task] = link
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._links.pop(task).close()
        if not task.cancelled():
            task.result()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    bound.setblocking(False)
    return bound


@asynccontextmanager
async def proxy(target: Target) -> AsyncIterator[Proxy]:
    """A healthy one."""
    between = Proxy(target)
    between.heal()
    try:
        yield between
    finally:
        await between.close()

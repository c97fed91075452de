"""The attacks, each run in a process of its own: `python -m tests.attacks.attacker NAME PORT SECONDS`.

All are bounded in connections, bytes and time, and connect to loopback alone. What an attack counts goes to standard
output as JSON.
"""

import asyncio
import json
import os
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

LIST = b"GET /api/orders?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
REFUSED = (
    b"POST /api/orders/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 14\r\n\r\n{"side":"buy"}'
)
PIPELINED = 1_200
UPGRADE = (
    b"GET /api/orders/execute HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + b"MDEyMzQ1Njc4OTAxMjM0NQ==" + b"\r\n\r\n"
)


@dataclass
class Attack:
    """One attack on the service at `port`, for `seconds`. `counted` is what it reports."""

    port: int
    seconds: float
    counted: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, by: int = 1) -> None:
        """Add to a count."""
        self.counted[what] = self.counted.get(what, 0) + by

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection. Raises `OSError`."""
        connection = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        self.count("connections")
        return connection

    async def many(self, number: int, one: Callable[[], Awaitable[None]], *, again: bool = False) -> None:
        """`one` on so many connections at once until the time is over; `again` starts those anew that ended."""

        async def repeated() -> None:
            while True:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await one()
                if not again:
                    return
                await asyncio.sleep(0.05)

        tasks = [asyncio.create_task(repeated()) for _ in range(number)]
        await asyncio.wait(tasks, timeout=self.seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def hold(self, sent: bytes) -> None:
        """Connect, send, read nothing, and stay."""
        reader, writer = await self.connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio reads ahead by itself
        writer.write(sent)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            writer.transport.abort()

    async def drip(self) -> None:
        """A header that never ends, a byte at a time."""
        _, writer = await self.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        while not writer.is_closing():
            await asyncio.sleep(1)
            writer.write(b"x")
            await writer.drain()

    async def read(self, request: bytes, at_once: int = 1) -> None:
        """Send requests and read the answers, again and again."""
        reader, writer = await self.connect()
        while True:
            writer.write(request * at_once)
            for _ in range(at_once):
                head = await reader.readuntil(b"\r\n\r\n")
                self.count("answers " + head[9:12].decode())
                length = next(
                    (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b":0"
                )
                await reader.readexactly(int(length.partition(b":")[2]))

    async def frames(self, frame: bytes) -> None:
        """A WebSocket that sends one frame without a pause."""
        reader, writer = await self.connect()
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        while not reader.at_eof():
            writer.write(frame * 1_000)
            self.count("frames", 1_000)
            await writer.drain()
            await asyncio.sleep(0)


def frame(opcode: int, *, final: bool, payload: bytes = b"") -> bytes:
    """A frame with a mask of zeros."""
    return struct.pack("!BB", opcode | (0x80 if final else 0), 0x80 | len(payload)) + bytes(4) + payload


async def idle(attack: Attack) -> None:
    """360 connections that send nothing."""
    await attack.many(360, lambda: attack.hold(b""))


async def slow_headers(attack: Attack) -> None:
    """200 connections whose request never ends (slow-loris)."""
    await attack.many(200, attack.drip, again=True)


async def unread(attack: Attack) -> None:
    """30 connections with 200 pipelined lists each, of which nothing is read."""
    await attack.many(30, lambda: attack.hold(LIST * 200))


async def leavers(attack: Attack) -> None:
    """Waves of 60 connections, each with 1,200 pipelined lists, which leave after 3 s and have read nothing."""
    waves, attack.seconds = max(1, round(attack.seconds / 3)), 3.0
    for _ in range(waves):
        await attack.many(60, lambda: attack.hold(LIST * PIPELINED))


async def readers(attack: Attack) -> None:
    """8 clients that list orders again and again, and read."""
    await attack.many(8, lambda: attack.read(LIST))


async def pipelined_readers(attack: Attack) -> None:
    """12 clients that pipeline lists, and read."""
    await attack.many(12, lambda: attack.read(LIST, PIPELINED), again=True)


async def pipelined_healthz(attack: Attack) -> None:
    """12 clients that pipeline /healthz, and read."""
    await attack.many(12, lambda: attack.read(HEALTH, PIPELINED), again=True)


async def not_found(attack: Attack) -> None:
    """12 clients that pipeline requests of a path that does not exist, and read."""
    await attack.many(12, lambda: attack.read(NOWHERE, PIPELINED), again=True)


async def refused_orders(attack: Attack) -> None:
    """12 clients that pipeline orders without an amount, and read."""
    await attack.many(12, lambda: attack.read(REFUSED, PIPELINED), again=True)


async def pongs(attack: Attack) -> None:
    """One WebSocket that sends pongs without a pause."""
    await attack.many(1, lambda: attack.frames(frame(0xA, final=True)), again=True)


async def empty_fragments(attack: Attack) -> None:
    """One WebSocket that sends the empty fragments of one message without a pause."""
    start = frame(0x1, final=False)
    reader_frames = frame(0x0, final=False)
    await attack.many(1, lambda: attack.frames(start + reader_frames * 99), again=True)


async def nothing(_attack: Attack) -> None:
    """No attack: what the normal client sees otherwise."""
    await asyncio.sleep(_attack.seconds)


ATTACKS = {
    one.__name__.replace("_", "-"): one
    for one in (
        nothing,
        idle,
        slow_headers,
        unread,
        leavers,
        readers,
        pipelined_readers,
        pipelined_healthz,
        not_found,
        refused_orders,
        pongs,
        empty_fragments,
    )
}


async def main(name: str, port: int, seconds: float) -> None:
    """Run one attack."""
    attack = Attack(port, seconds)
    await ATTACKS[name](attack)
    sys.stdout.write(json.dumps(attack.counted))
    sys.stdout.flush()
    os._exit(0)  # without a polite goodbye to the connections


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))

"""The attacks, run in a process of their own: `python -m tests.attacks.attacker PORT SECONDS [NAME]`.

Without a name, names are read from standard input, one per line. All are bounded in connections, bytes and time, and
connect to loopback alone. What an attack counts goes to standard output as a line of JSON.
"""

import asyncio
import json
import os
import secrets
import socket
import struct
import sys
import uuid
import zlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from dexexec.config import descriptor_limit

LIST = b"GET /api/orders?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
REFUSED = (
    b"POST /api/orders/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 14\r\n\r\n{"side":"buy"}'
)
PIPELINED = 1_200
FROM = "127.0.0.2"
"""The attacker's address: another client than the normal one, as on a network."""
MANY = 10_000
NESTED = b'{"side":' * 7_000
"""A document that is deeper than any order, within the limit of a body."""
UPGRADE = (
    b"GET /api/orders/execute HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + b"MDEyMzQ1Njc4OTAxMjM0NQ==" + b"\r\n\r\n"
)


@dataclass
class Attack:
    """One attack on the service at `port`, for `seconds`. `counted` is what it reports."""

    port: int
    seconds: float
    counted: dict[str, int] = field(default_factory=dict)
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    def count(self, what: str, by: int = 1) -> None:
        """Add to a count."""
        self.counted[what] = self.counted.get(what, 0) + by

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection. Raises `OSError`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20, local_addr=(FROM, 0))
        self.count("connections")
        self.open.append(writer)
        return reader, writer

    async def run(self, attack: Callable[["Attack"], Awaitable[None]]) -> dict[str, int]:
        """One attack, with nothing left of it; what it counted."""
        try:
            await attack(self)
        finally:
            for writer in self.open:
                writer.transport.abort()
        return self.counted

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

    async def drip(self, begun: bytes) -> None:
        """A request that never ends, a byte at a time."""
        _, writer = await self.connect()
        writer.write(begun)
        while not writer.is_closing():
            await asyncio.sleep(1)
            writer.write(b"x")
            await writer.drain()

    async def flood(self, sent: bytes) -> None:
        """Send the same again and again, and ignore what comes back."""
        reader, writer = await self.connect()
        while not writer.is_closing():
            writer.write(sent)
            self.count("kilobytes", len(sent) // 1_000)
            await writer.drain()
            while reader._buffer:  # type: ignore[attr-defined]  # what has arrived by now
                await reader.read(1 << 20)
            await asyncio.sleep(0)

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

    async def frames(self, frame: bytes, at_once: int = 1_000) -> None:
        """A WebSocket that offers compression, and sends one frame without a pause."""
        reader, writer = await self.connect()
        writer.write(UPGRADE)
        answer = await reader.readuntil(b"\r\n\r\n")
        self.count("sockets that compress", b"permessage-deflate" in answer.lower())
        while not reader.at_eof():
            writer.write(frame * at_once)
            self.count("frames", at_once)
            await writer.drain()
            await asyncio.sleep(0)


def frame(opcode: int, *, final: bool, payload: bytes = b"", compressed: bool = False) -> bytes:
    """A frame with a mask of zeros."""
    first = opcode | (0x80 if final else 0) | (0x40 if compressed else 0)
    length = struct.pack("!B", 0x80 | len(payload)) if len(payload) < 126 else struct.pack("!BH", 0xFE, len(payload))
    return bytes([first]) + length + bytes(4) + payload


def bomb() -> bytes:
    """A compressed message of 64 MB, as a fragment of 64 KB."""
    deflate = zlib.compressobj(9, wbits=-15)
    return deflate.compress(bytes(64 << 20)) + deflate.flush(zlib.Z_SYNC_FLUSH)


def request(method: bytes, target: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    """A request of HTTP/1.1."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: localhost", *headers]
    if body:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", b""]) + body


async def idle(attack: Attack) -> None:
    """360 connections that send nothing."""
    await attack.many(360, lambda: attack.hold(b""))


async def slow_headers(attack: Attack) -> None:
    """200 connections whose request never ends (slow-loris)."""
    await attack.many(200, lambda: attack.drip(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "), again=True)


async def slow_bodies(attack: Attack) -> None:
    """200 connections whose body never ends."""
    begun = request(b"POST", b"/api/orders/execute", b"Content-Type: application/json", b"Content-Length: 60000")
    await attack.many(200, lambda: attack.drip(begun), again=True)


async def many_idle(attack: Attack) -> None:
    """10,000 connections that send nothing."""
    with ExitStack() as idle:
        for number in range(MANY):
            idle.enter_context(socket.create_connection(("127.0.0.1", attack.port), 20, (FROM, 0)))
            attack.count("connections")
            if number % 50 == 0:
                await asyncio.sleep(0.01)  # so many that connect at once are another attack
        await asyncio.sleep(attack.seconds)


async def large_headers(attack: Attack) -> None:
    """12 connections with requests whose headers are as large as allowed."""
    sent = request(b"GET", b"/healthz", *(b"X-%d: " % number + b"x" * 1_000 for number in range(15)))
    await attack.many(12, lambda: attack.flood(sent * 10), again=True)


async def endless_headers(attack: Attack) -> None:
    """12 connections, again and again, with a header without an end."""
    await attack.many(12, lambda: attack.flood(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000), again=True)


async def large_bodies(attack: Attack) -> None:
    """12 connections that post 60 KB without an order."""
    sent = request(b"POST", b"/api/orders/execute", body=b'{"side":"buy"' + b" " * 60_000 + b"}")
    await attack.many(12, lambda: attack.flood(sent), again=True)


async def endless_bodies(attack: Attack) -> None:
    """12 connections, again and again, with chunks without an end."""
    head = request(b"POST", b"/api/orders/execute", b"Content-Type: application/json", b"Transfer-Encoding: chunked")
    await attack.many(12, lambda: attack.flood(head + b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"), again=True)


async def deep_json(attack: Attack) -> None:
    """12 connections that post objects nested 7,000 deep."""
    sent = request(b"POST", b"/api/orders/execute", body=NESTED)
    await attack.many(12, lambda: attack.flood(sent), again=True)


async def guessed_ids(attack: Attack) -> None:
    """12 connections that read orders with guessed ids."""

    async def one() -> None:
        guesses = (request(b"GET", b"/api/orders/" + str(uuid.uuid4()).encode()) for _ in range(100))
        await attack.flood(b"".join(guesses))

    await attack.many(12, one, again=True)


async def guessed_keys(attack: Attack) -> None:
    """12 connections that try keys of the API."""

    async def one() -> None:
        tokens = (b"dx_%s_%s" % (secrets.token_hex(6).encode(), secrets.token_urlsafe(32).encode()) for _ in range(100))
        await attack.flood(b"".join(request(b"GET", b"/api/orders", b"Authorization: Bearer " + one) for one in tokens))

    await attack.many(12, one, again=True)


async def spoofed_addresses(attack: Attack) -> None:
    """12 connections that pretend to forward requests of a thousand clients."""
    sent = b"".join(
        request(b"GET", b"/api/orders?limit=100", b"X-Forwarded-For: 10.%d.%d.1" % (n % 250, n // 250))
        for n in range(1000)
    )
    await attack.many(12, lambda: attack.flood(sent), again=True)


async def slow_handshakes(attack: Attack) -> None:
    """200 connections that begin TLS and do not go on, on a port without TLS as well."""
    await attack.many(200, lambda: attack.drip(b"\x16\x03\x01\x02\x00\x01"), again=True)


async def bombs(attack: Attack) -> None:
    """4 WebSockets that send messages of 64 MB in 64 KB."""
    payload = bomb()[:65_000]
    sent = frame(0x1, final=True, payload=payload, compressed=True)
    await attack.many(4, lambda: attack.frames(sent, at_once=4), again=True)


async def pings(attack: Attack) -> None:
    """4 WebSockets that send pings without a pause."""
    sent = frame(0x9, final=True, payload=b"x" * 125)
    await attack.many(4, lambda: attack.frames(sent), again=True)


async def fragments(attack: Attack) -> None:
    """4 WebSockets that send one message in fragments of a byte."""
    start, more = frame(0x1, final=False, payload=b"{"), frame(0x0, final=False, payload=b" ")
    await attack.many(4, lambda: attack.frames(start + more * 99, at_once=10), again=True)


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
        slow_bodies,
        many_idle,
        large_headers,
        endless_headers,
        large_bodies,
        endless_bodies,
        deep_json,
        guessed_ids,
        guessed_keys,
        spoofed_addresses,
        slow_handshakes,
        bombs,
        pings,
        fragments,
    )
}


async def main(port: int, seconds: float, names: Iterable[str]) -> None:
    """Run one attack after the other."""
    descriptor_limit.raise_limit()
    for name in names:
        counted = await Attack(port, seconds).run(ATTACKS[name.strip()])
        sys.stdout.write(json.dumps(counted) + "\n")
        sys.stdout.flush()
    os._exit(0)  # without a polite goodbye to the connections


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:] or sys.stdin))

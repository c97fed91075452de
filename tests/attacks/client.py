"""A normal client: posts an order and reads one at a fixed rate, each on time even if earlier ones still wait."""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

BODY = b'{"side":"buy","amount":"0.01"}'
POST = b"POST /api/orders/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
TIMEOUT = 10.0


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


@dataclass
class Phase:
    """What the client saw before, under or after an attack: ms per answer, and how many were no success."""

    posts: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def failed(self, why: str) -> None:
        """Count a request without success."""
        self.failures[why] = self.failures.get(why, 0) + 1

    def p99(self) -> float:
        """Of all answers, in ms."""
        return percentile(self.posts + self.reads, 0.99)

    def line(self) -> str:
        """For people."""
        parts = [
            f"{name} p50 {percentile(ms, 0.5):6.1f} p99 {percentile(ms, 0.99):7.1f} max {max(ms, default=0.0):7.1f} ms"
            for name, ms in (("POST", self.posts), ("GET", self.reads))
        ]
        return f"{len(self.posts)} of each: {', '.join(parts)}; failures {self.failures or 'none'}"


class NormalClient:
    """Keeps connections alive for its posts, and reads each order on a new one. `phase` is where its figures go."""

    def __init__(self, port: int, rate: float, token: str = "") -> None:
        """`token`: its API key, if the service requires one."""
        self._key = f"Authorization: Bearer {token}\r\n".encode() if token else b""
        self.port, self._pause = port, 1 / rate
        self.phase = Phase()
        self.accepted: list[str] = []
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> Phase:
        """One phase."""
        self.phase = phase = Phase()
        begun = time.monotonic()
        for number in range(int(seconds / self._pause)):
            await asyncio.sleep(max(0.0, begun + number * self._pause - time.monotonic()))
            self._start(phase)
        await asyncio.gather(*self._running)
        return phase

    async def run_until(self, end: asyncio.Future[Any]) -> Phase:
        """One phase, as long as something else takes."""
        self.phase = phase = Phase()
        while not end.done():
            self._start(phase)
            await asyncio.wait([end], timeout=self._pause)
        await asyncio.gather(*self._running)
        return phase

    def _start(self, phase: Phase) -> None:
        task = asyncio.create_task(self._order(phase))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Close the connections that are kept."""
        for _, writer in self._free:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def fill(self, number: int) -> None:
        """Post orders, a few at a time, so that lists are not empty."""
        for _ in range(0, number, 10):
            await asyncio.gather(*(self._order(self.phase) for _ in range(10)))

    async def _order(self, phase: Phase) -> None:
        posted, body = await self._timed(
            phase, phase.posts, POST + self._key + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
        )
        if posted == 202:
            order_id = json.loads(body)["orderId"]
            self.accepted.append(order_id)
            path = f"/api/orders/{order_id}".encode()
            await self._timed(
                phase, phase.reads, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + self._key + b"\r\n", new=True
            )

    async def _timed(self, phase: Phase, into: list[float], request: bytes, *, new: bool = False) -> tuple[int, bytes]:
        begun = time.monotonic()
        status, body = 0, b""
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await self._exchange(request, new=new)
            if status >= 300:
                phase.failed(f"{'GET' if new else 'POST'} {status}")
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            phase.failed(f"{'GET' if new else 'POST'} {type(error).__name__}")
        into.append((time.monotonic() - begun) * 1000)
        return status, body

    async def _exchange(self, request: bytes, *, new: bool) -> tuple[int, bytes]:
        while True:
            kept = bool(self._free) and not new
            reader, writer = self._free.pop() if kept else await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                body = await reader.readexactly(int(length.partition(b":")[2]))
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                if kept:  # it was closed while it lay idle: as every client does, try on a new one
                    continue
                raise
            except BaseException:
                writer.close()
                raise
            if new or b"connection: close" in head.lower():
                writer.close()
            else:
                self._free.append((reader, writer))
            return int(head[9:12]), body

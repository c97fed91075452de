"""Hears on WebSockets when orders are confirmed.

Two ways. By message: sockets that are open already are told to follow an order. By handshake: a TCP connection that is
open already becomes the order's own socket, which is what any server of the same API offers.
"""

import asyncio
import itertools
import json
import time
from collections import Counter

from dexexec.bench.client.http import Target
from dexexec.bench.client.websocket import WebSocket, connect, handshake

SPARE = 48
"""Connections kept open for handshakes to come."""
_ENDS = {"confirmed", "failed", "expired", "cancelled"}


class Followers:
    """Follows orders of `target`. `confirmed` maps an order to when its message came (monotonic seconds), `others` to
    the status it ended with instead; `faults` counts what went wrong, by words."""

    def __init__(self, target: Target, *, sockets: int, by_message: bool) -> None:
        self._target, self._count, self._by_message = target, sockets, by_message
        self._sockets: list[WebSocket] = []
        self._turn = itertools.cycle(self._sockets)
        self._spare: asyncio.Queue[WebSocket] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[str] = set()
        self._all_ended = asyncio.Event()
        self._of_socket: dict[WebSocket, str] = {}
        self.confirmed: dict[str, float] = {}
        self.others: dict[str, str] = {}
        self.faults: Counter[str] = Counter()

    async def open(self) -> None:
        """Open what can be opened before the first order. Raises OSError."""
        for _ in range(self._count if self._by_message else SPARE):
            socket = await connect(self._target, self._text, self._over)
            if self._by_message:
                socket.upgrade(handshake(self._target))
                await socket.opened
                self._sockets.append(socket)
            else:
                self._spare.put_nowait(socket)
        self._turn = itertools.cycle(self._sockets)

    def follow(self, order: str) -> None:
        """Follow an order from now on."""
        self._waiting.add(order)
        self._all_ended.clear()
        if self._by_message:
            next(self._turn).send(b'{"orderId":"%s"}' % order.encode())
        else:
            self._task(order)

    async def rest(self, seconds: float) -> int:
        """Wait for the orders that have not ended; how many have not after that time."""
        if self._waiting:
            try:
                async with asyncio.timeout(seconds):
                    await self._all_ended.wait()
            except TimeoutError:
                pass
        return len(self._waiting)

    def close(self) -> None:
        """End all sockets."""
        for task in self._tasks:
            task.cancel()
        while not self._spare.empty():
            self._spare.get_nowait().close()
        for socket in (*self._sockets, *self._of_socket):
            socket.close()

    def _task(self, order: str) -> None:
        task = asyncio.create_task(self._by_handshake(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _by_handshake(self, order: str) -> None:
        try:
            socket = self._spare.get_nowait() if self._spare.qsize() else None
            if socket is None:
                socket = await connect(self._target, self._text, self._over)
            self._of_socket[socket] = order
            socket.upgrade(handshake(self._target, order))
            self._spare.put_nowait(await connect(self._target, self._text, self._over))
        except OSError as error:
            self.faults[f"no socket: {error.strerror or error}"] += 1

    def _text(self, socket: WebSocket, payload: bytes) -> None:
        now = time.monotonic()
        if b'"error"' in payload[:10]:
            self.faults[payload.decode(errors="replace")[:120]] += 1
            return
        if b'"confirmed"' not in payload and b'"final":true' not in payload and b'"failed"' not in payload:
            return
        told = json.loads(payload)
        order, status = told.get("orderId") or told.get("id"), told.get("status")
        if status not in _ENDS or order not in self._waiting:
            return
        if status == "confirmed":
            self.confirmed[order] = now
        else:
            self.others[order] = status
        self._waiting.discard(order)
        if not self._waiting:
            self._all_ended.set()
        if self._of_socket.pop(socket, None) is not None:
            socket.close()

    def _over(self, socket: WebSocket, why: str) -> None:
        if socket in self._of_socket or socket in self._sockets:
            self._of_socket.pop(socket, None)
            self.faults[f"a socket was {why}"] += 1

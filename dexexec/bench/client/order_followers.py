"""Waits on WebSockets for the end of orders.

Either by message: sockets that are open already subscribe to an order. Or by handshake: a TCP connection that is open
already becomes the order's own socket, which every server of the same API offers.
"""

import asyncio
import itertools
import json
import time
from collections import Counter

from dexexec.bench.client.http import Target
from dexexec.bench.client.websocket import WebSocket, connect, handshake

SPARE_CONNECTIONS = 48
"""Connections kept open for the next handshakes."""
_END_STATUSES = {"confirmed", "failed", "expired", "cancelled", "simulated"}


class OrderFollowers:
    """Follows orders of `target`.

    `confirmed_at` maps an order to when its `confirmed` message came (monotonic seconds), `other_ends` maps it to
    another end status. `faults` counts failures by their text.
    """

    def __init__(self, target: Target, *, sockets: int, by_message: bool) -> None:
        self._target = target
        self._socket_count = sockets
        self._by_message = by_message
        self._sockets: list[WebSocket] = []
        self._next_socket = itertools.cycle(self._sockets)
        self._spare: asyncio.Queue[WebSocket] = asyncio.Queue()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._waiting: set[str] = set()
        self._all_ended = asyncio.Event()
        self._order_of: dict[WebSocket, str] = {}
        self.confirmed_at: dict[str, float] = {}
        self.other_ends: dict[str, str] = {}
        self.faults: Counter[str] = Counter()

    async def open(self) -> None:
        """Open the sockets or connections that are needed before the first order. Raises OSError."""
        for _ in range(self._socket_count if self._by_message else SPARE_CONNECTIONS):
            socket = await connect(self._target, self._on_text, self._on_end)
            if self._by_message:
                socket.upgrade(handshake(self._target))
                await socket.opened
                self._sockets.append(socket)
            else:
                self._spare.put_nowait(socket)
        self._next_socket = itertools.cycle(self._sockets)

    def follow(self, order: str) -> None:
        """Follow an order from now on."""
        self._waiting.add(order)
        self._all_ended.clear()
        if self._by_message:
            next(self._next_socket).send(b'{"orderId":"%s"}' % order.encode())
            return
        task = asyncio.create_task(self._follow_by_handshake(order))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def wait_for_all(self, seconds: float) -> int:
        """Wait until all followed orders have ended, for at most `seconds`. Returns how many have not."""
        if self._waiting:
            try:
                async with asyncio.timeout(seconds):
                    await self._all_ended.wait()
            except TimeoutError:
                pass
        return len(self._waiting)

    def close(self) -> None:
        """Close all sockets."""
        for task in self._handshakes:
            task.cancel()
        while not self._spare.empty():
            self._spare.get_nowait().close()
        for socket in (*self._sockets, *self._order_of):
            socket.close()

    async def _follow_by_handshake(self, order: str) -> None:
        try:
            socket = self._spare.get_nowait() if self._spare.qsize() else None
            if socket is None:
                socket = await connect(self._target, self._on_text, self._on_end)
            self._order_of[socket] = order
            socket.upgrade(handshake(self._target, order))
            # Replaced only after the upgrade was sent: connecting takes a round trip that the order must not wait for.
            self._spare.put_nowait(await connect(self._target, self._on_text, self._on_end))
        except OSError as error:
            self.faults[f"no socket: {error.strerror or error}"] += 1

    def _on_text(self, socket: WebSocket, payload: bytes) -> None:
        now = time.monotonic()
        if b'"error"' in payload[:10]:
            self.faults[payload.decode(errors="replace")[:120]] += 1
            return
        # Most messages are steps of orders under way. Searching the bytes is cheaper than parsing each of them.
        if b'"confirmed"' not in payload and b'"final":true' not in payload and b'"failed"' not in payload:
            return
        event = json.loads(payload)
        order = event.get("orderId") or event.get("id")
        status = event.get("status")
        if status not in _END_STATUSES or order not in self._waiting:
            return
        if status == "confirmed":
            self.confirmed_at[order] = now
        else:
            self.other_ends[order] = status
        self._waiting.discard(order)
        if not self._waiting:
            self._all_ended.set()
        # A socket of its own has done its work; a shared one follows other orders.
        if self._order_of.pop(socket, None) is not None:
            socket.close()

    def _on_end(self, socket: WebSocket, why: str) -> None:
        if socket in self._order_of or socket in self._sockets:
            self._order_of.pop(socket, None)
            self.faults[f"a socket was {why}"] += 1

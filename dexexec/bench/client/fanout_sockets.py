"""Many sockets that follow one order, to measure how long an event takes to reach all of them."""

import asyncio
import json
import time
from collections import Counter
from datetime import datetime

from dexexec.bench.client.http import HttpConnection, Target, connect, order_id, order_request
from dexexec.bench.client.websocket import WebSocket, handshake
from dexexec.bench.client.websocket import connect as connect_socket

HANDSHAKES_AT_ONCE = 100
YIELD_EVERY = 100
"""Subscriptions sent before answers are let in."""


class FanoutSockets:
    """Sockets that stay open until `close`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._open: set[WebSocket] = set()
        self._faults: Counter[str] = Counter()
        self._messages = 0
        self._first_message_at: dict[WebSocket, float] = {}
        self._final_arrivals: list[float] = []
        self._final_event: dict[str, object] = {}
        self._progress = asyncio.Event()
        self._posted: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self, count: int) -> dict[str, object]:
        """Open `count` more sockets that follow no order yet. Raises OSError."""
        begun = time.monotonic()
        slots = asyncio.Semaphore(HANDSHAKES_AT_ONCE)

        async def open_one() -> None:
            async with slots:
                socket = await connect_socket(self._target, self._on_text, self._on_end)
                socket.upgrade(handshake(self._target))
                await socket.opened
                self._open.add(socket)

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(open_one())
        return {"open": len(self._open), "seconds": round(time.monotonic() - begun, 3)}

    async def fan_out(self, patience: float) -> dict[str, object]:
        """Post an order, have every socket follow it, and wait until each received its final event."""
        self._messages = 0
        self._first_message_at = {}
        self._final_arrivals = []
        self._final_event = {}
        self._posted = asyncio.get_running_loop().create_future()
        poster = await connect(self._target, self)
        poster.send(order_request(self._target))
        order = await self._posted
        poster.close()
        begun = time.monotonic()
        subscription = b'{"orderId":"%s"}' % order.encode()
        for number, socket in enumerate(tuple(self._open), 1):
            # Yielding lets the answers in, whose times would otherwise all be that of the last subscription.
            socket.send(subscription)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        try:
            async with asyncio.timeout(patience):
                while len(self._final_arrivals) < len(self._open):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            pass
        return self._figures(begun)

    def close(self) -> None:
        """Close all sockets."""
        for socket in self._open:
            socket.close()
        self._open.clear()

    def answered(self, connection: HttpConnection, status: int, body: bytes) -> None:
        """The order's POST was answered."""
        if 200 <= status < 300:
            self._posted.set_result(order_id(body))
        else:
            self._posted.set_exception(ConnectionError(f"HTTP {status} for the order to follow"))

    def lost(self, connection: HttpConnection, why: str) -> None:
        """The order's POST will not be answered."""
        if not self._posted.done():
            self._posted.set_exception(ConnectionError(why))

    def _on_text(self, socket: WebSocket, payload: bytes) -> None:
        self._messages += 1
        if b'"final":true' in payload:
            # Wall clock, because the event's own time is one.
            self._final_arrivals.append(time.time())
            if not self._final_event:
                self._final_event = json.loads(payload)
            if len(self._final_arrivals) == len(self._open):
                self._progress.set()
        elif payload.startswith(b'{"error"'):
            self._faults[payload.decode(errors="replace")[:120]] += 1
        elif socket not in self._first_message_at:
            self._first_message_at[socket] = time.time()

    def _on_end(self, socket: WebSocket, why: str) -> None:
        self._faults[f"a socket was {why}"] += 1
        self._open.discard(socket)
        self._progress.set()

    def _figures(self, begun: float) -> dict[str, object]:
        event_at = datetime.fromisoformat(str(self._final_event["at"])).timestamp() if self._final_event else 0.0
        first_messages = self._first_message_at.values()
        # `begun` is monotonic, the messages' times are wall clock: bring the latest one to the monotonic clock.
        wall_minus_monotonic = time.time() - time.monotonic()
        subscribed = max(first_messages) - wall_minus_monotonic - begun if first_messages else None
        arrivals = sorted(self._final_arrivals)
        return {
            "sockets": len(self._open),
            "heard": len(arrivals),
            "live": sum(at < event_at for at in first_messages),
            "messages": self._messages,
            "subscribeSeconds": None if subscribed is None else round(subscribed, 4),
            "firstToLast": round(arrivals[-1] - arrivals[0], 4) if arrivals else None,
            "eventToFirst": round(arrivals[0] - event_at, 4) if arrivals else None,
            "eventToLast": round(arrivals[-1] - event_at, 4) if arrivals else None,
            "faults": dict(self._faults),
        }

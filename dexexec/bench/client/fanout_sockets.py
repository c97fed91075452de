"""Many sockets that follow one order: how long an event takes to reach all of them."""

import asyncio
import json
import time
from collections import Counter
from datetime import datetime

from dexexec.bench.client.http import HttpConnection, Target, connect, order_id, order_request
from dexexec.bench.client.websocket import WebSocket, handshake
from dexexec.bench.client.websocket import connect as connect_socket

AT_ONCE = 100
"""Handshakes under way."""


class Sockets:
    """Open sockets, kept until `close`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._open: set[WebSocket] = set()
        self._faults: Counter[str] = Counter()
        self._messages = 0
        self._first_word: dict[WebSocket, float] = {}
        self._arrivals: list[float] = []
        self._told: dict[str, object] = {}
        self._progress = asyncio.Event()
        self._posted: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self, count: int) -> dict[str, object]:
        """Open so many more that follow nothing yet. Raises OSError."""
        begun, gate = time.monotonic(), asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with gate:
                socket = await connect_socket(self._target, self._text, self._over)
                socket.upgrade(handshake(self._target))
                await socket.opened
                self._open.add(socket)

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())
        return {"open": len(self._open), "seconds": round(time.monotonic() - begun, 3)}

    async def fan(self, patience: float) -> dict[str, object]:
        """Post an order, have every socket follow it, and wait until each has heard that it is confirmed."""
        self._messages, self._first_word, self._arrivals = 0, {}, []
        self._posted = asyncio.get_running_loop().create_future()
        poster = await connect(self._target, self)
        poster.send(order_request(self._target))
        order = await self._posted
        poster.close()
        begun = time.monotonic()
        subscription = b'{"orderId":"%s"}' % order.encode()
        for number, socket in enumerate(tuple(self._open)):
            socket.send(subscription)
            if number % 100 == 99:
                await asyncio.sleep(0)  # answers come meanwhile
        try:
            async with asyncio.timeout(patience):
                while len(self._arrivals) < len(self._open):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            pass
        return self._answer(begun)

    def close(self) -> None:
        """Cut all."""
        for socket in self._open:
            socket.close()
        self._open.clear()

    def answered(self, connection: HttpConnection, status: int, body: bytes) -> None:
        """The order is accepted."""
        if 200 <= status < 300:
            self._posted.set_result(order_id(body))
        else:
            self._posted.set_exception(ConnectionError(f"HTTP {status} for the order to follow"))

    def lost(self, connection: HttpConnection, why: str) -> None:
        """No answer will come."""
        if not self._posted.done():
            self._posted.set_exception(ConnectionError(why))

    def _text(self, socket: WebSocket, payload: bytes) -> None:
        self._messages += 1
        if b'"final":true' in payload:
            self._arrivals.append(time.time())
            if not self._told:
                self._told = json.loads(payload)
            if len(self._arrivals) == len(self._open):
                self._progress.set()
        elif payload.startswith(b'{"error"'):
            self._faults[payload.decode(errors="replace")[:120]] += 1
        elif socket not in self._first_word:
            self._first_word[socket] = time.time()

    def _over(self, socket: WebSocket, why: str) -> None:
        self._faults[f"a socket was {why}"] += 1
        self._open.discard(socket)
        self._progress.set()

    def _answer(self, begun: float) -> dict[str, object]:
        told, self._told = self._told, {}
        at = datetime.fromisoformat(str(told["at"])).timestamp() if told else 0.0
        live = sum(word < at for word in self._first_word.values())
        words = self._first_word.values()
        subscribed = max(words) - (time.time() - time.monotonic()) - begun if words else None
        arrivals = sorted(self._arrivals)
        return {
            "sockets": len(self._open),
            "heard": len(arrivals),
            "live": live,
            "messages": self._messages,
            "subscribeSeconds": None if subscribed is None else round(subscribed, 4),
            "firstToLast": round(arrivals[-1] - arrivals[0], 4) if arrivals else None,
            "eventToFirst": round(arrivals[0] - at, 4) if arrivals else None,
            "eventToLast": round(arrivals[-1] - at, 4) if arrivals else None,
            "faults": dict(self._faults),
        }

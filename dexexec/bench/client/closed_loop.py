"""A closed loop: each client posts the next order as soon as the last one is answered."""

import asyncio
import time
from collections import Counter

from dexexec.bench.client import percentiles
from dexexec.bench.client.http import HttpConnection, Target, connect, order_id, order_request
from dexexec.bench.client.order_followers import Followers

ANSWER_SECONDS = 15.0
"""How long answers are waited for after the last request."""
RECONNECT_SECONDS = 0.05
REFUSED = (429, 503)


class ClosedLoop:
    """`clients` connections for `seconds`. A refused client waits `backoff` seconds. With `watch_every`, every so many
    orders one is followed to its end, and the last one of each client, for at most `patience` seconds."""

    def __init__(
        self,
        target: Target,
        *,
        clients: int,
        seconds: float,
        path: str,
        backoff: float = 0.0,
        watch_every: int = 0,
        patience: float = 60.0,
    ) -> None:
        self._target, self._clients, self._seconds, self._backoff = target, clients, seconds, backoff
        self._every, self._patience = watch_every, patience
        self._request = order_request(target, path)
        self._loop = asyncio.get_running_loop()
        self._open: set[HttpConnection] = set()
        self._last: dict[HttpConnection, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._under_way = 0
        self._begun = self._end = 0.0
        self._statuses: Counter[int] = Counter()
        self._faults: Counter[str] = Counter()
        self._unanswered = 0
        self._in_time = 0
        self._ids: set[str] = set()
        self._posted: dict[str, float] = {}
        self._seconds_of: list[float] = []
        self._followers = Followers(target, sockets=0, by_message=False) if watch_every else None

    async def run(self) -> dict[str, object]:
        """Load, and what came of it. Raises OSError when the server cannot be reached."""
        if self._followers:
            await self._followers.open()
        for _ in range(self._clients):
            self._open.add(await connect(self._target, self))
        cpu = time.process_time()
        self._begun = time.monotonic()
        self._end = self._begun + self._seconds
        for connection in tuple(self._open):
            self._send(connection)
        await asyncio.sleep(self._seconds)
        cpu = time.process_time() - cpu
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._under_way:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            self._unanswered += self._under_way
        answer = self._answer(cpu)
        if self._followers:
            answer |= await self._watched(self._followers)
        for task in self._tasks:
            task.cancel()
        for connection in self._open:
            connection.close()
        return answer

    def answered(self, connection: HttpConnection, status: int, body: bytes) -> None:
        """Count, and send the next one."""
        now = time.monotonic()
        self._under_way -= 1
        self._statuses[status] += 1
        if 200 <= status < 300:
            self._accepted(connection, order_id(body), now)
        if now >= self._end:
            self._idle.set()
        elif status in REFUSED and self._backoff:
            self._loop.call_later(self._backoff, self._send, connection)
        else:
            self._send(connection)

    def lost(self, connection: HttpConnection, why: str) -> None:
        """Count, and connect again."""
        self._faults[why] += 1
        self._open.discard(connection)
        if connection.busy:
            self._under_way -= 1
            self._unanswered += 1
        self._idle.set()
        if time.monotonic() < self._end:
            task = asyncio.create_task(self._reconnect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _send(self, connection: HttpConnection) -> None:
        if connection not in self._open:
            return
        connection.sent_at = time.monotonic()
        if connection.sent_at >= self._end:
            return
        self._under_way += 1
        connection.send(self._request)

    def _accepted(self, connection: HttpConnection, order: str, now: float) -> None:
        if order in self._ids or not order:
            self._faults["an id that was answered before" if order else "an answer without orderId"] += 1
        self._ids.add(order)
        self._seconds_of.append(now - connection.sent_at)
        if now <= self._end:
            self._in_time += 1
        if self._followers:
            self._last[connection] = order
            self._posted[order] = now
            if len(self._ids) % self._every == 0:
                self._followers.follow(order)

    async def _reconnect(self) -> None:
        await asyncio.sleep(RECONNECT_SECONDS)
        try:
            connection = await connect(self._target, self)
        except OSError as error:
            self._faults[error.strerror or "no connection"] += 1
            return
        self._open.add(connection)
        self._send(connection)

    def _answer(self, cpu: float) -> dict[str, object]:
        return {
            "seconds": self._seconds,
            "acceptedInTime": self._in_time,
            "accepted": len(self._ids),
            "unanswered": self._unanswered,
            "statuses": {str(status): count for status, count in sorted(self._statuses.items())},
            "faults": dict(self._faults),
            "post": percentiles.summary(self._seconds_of),
            "clientCpu": round(cpu / self._seconds, 3),
        }

    async def _watched(self, followers: Followers) -> dict[str, object]:
        """Follow the last order of each client too: when these have ended, so have practically all."""
        for order in self._last.values():
            if order not in followers.confirmed and order not in followers.others:
                followers.follow(order)
        left = await followers.rest(self._patience)
        followers.close()
        ended = followers.confirmed
        followed = len(ended) + len(followers.others) + left
        in_time = [order for order, at in ended.items() if at <= self._end]
        return {
            "watched": followed,
            "watchedConfirmed": len(ended),
            "watchedConfirmedInTime": len(in_time),
            "watchedPostedInTime": sum(self._posted[order] <= self._end for order in ended) + left,
            "watchedUntil": round(max(ended.values(), default=self._end) - self._begun, 4),
            "watchedWait": percentiles.summary([at - self._posted[order] for order, at in ended.items()]),
            "watchedFaults": dict(followers.faults),
        }

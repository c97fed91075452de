"""An open loop: orders are posted at a fixed rate, whether or not the server keeps up.

Every duration counts from the moment at which an order should have been sent, so that a server that stalls cannot make
the client wait and then look fast.
"""

import asyncio
import time
from collections import Counter, deque

from dexexec.bench.client import percentiles
from dexexec.bench.client.http import HttpConnection, Target, connect, order_id, order_request
from dexexec.bench.client.order_followers import Followers

LATEST = 5.0
"""An order that could not be sent for so many seconds is not sent any more."""


class OpenLoop:
    """`rate` orders per second for `seconds`, over `clients` connections. `follow_every`: of so many orders one is
    followed to its `confirmed` message (0: none), on sockets that are open already (`by_message`) or of its own."""

    def __init__(
        self,
        target: Target,
        *,
        rate: float,
        seconds: float,
        clients: int,
        path: str,
        follow_every: int = 0,
        by_message: bool = True,
        sockets: int = 100,
        patience: float = 10.0,
    ) -> None:
        self._target, self._rate, self._seconds, self._clients = target, rate, seconds, clients
        self._every, self._patience = follow_every, patience
        self._request = order_request(target, path)
        self._free: list[HttpConnection] = []
        self._open: set[HttpConnection] = set()
        self._backlog: deque[int] = deque()
        self._begun = 0.0
        self._done = self._under_way = 0
        self._changed = asyncio.Event()
        self._statuses: Counter[int] = Counter()
        self._faults: Counter[str] = Counter()
        self._unsent = self._unanswered = 0
        self._late: list[float] = []
        self._post: list[float] = []
        self._refused: list[float] = []
        self._intended: dict[str, float] = {}
        self._ids: set[str] = set()
        self._followers = Followers(target, sockets=sockets, by_message=by_message) if follow_every else None

    async def run(self) -> dict[str, object]:
        """Load, and what came of it. Raises OSError when the server cannot be reached."""
        if self._followers:
            await self._followers.open()
        for _ in range(self._clients):
            self._free.append(await connect(self._target, self))
        self._open.update(self._free)
        count = int(self._rate * self._seconds)
        cpu = time.process_time()
        self._begun = time.monotonic()
        for number in range(count):
            ahead = self._due(number) - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            elif number % 64 == 0:
                await asyncio.sleep(0)  # far behind: still let answers in
            self._backlog.append(number)
            self._dispatch()
        took = time.monotonic() - self._begun
        cpu = time.process_time() - cpu
        await self._rest()
        left = await self._followers.rest(self._patience) if self._followers else 0
        if self._followers:
            self._followers.close()
        for connection in self._open:
            connection.close()
        return self._answer(count, cpu / took, left)

    def answered(self, connection: HttpConnection, status: int, body: bytes) -> None:
        """Count, and use the connection for the next one that is due."""
        now = time.monotonic()
        since = now - self._due(connection.order)
        self._under_way -= 1
        self._statuses[status] += 1
        if 200 <= status < 300:
            order = order_id(body)
            self._post.append(since)
            if order in self._ids or not order:
                self._faults["an id that was answered before" if order else "an answer without orderId"] += 1
            self._ids.add(order)
            if self._followers and connection.order % self._every == 0:
                self._intended[order] = self._due(connection.order)
                self._followers.follow(order)
        else:
            self._refused.append(since)
        self._free.append(connection)
        self._dispatch()
        self._changed.set()

    def lost(self, connection: HttpConnection, why: str) -> None:
        """Count; the others carry on."""
        self._faults[why] += 1
        self._open.discard(connection)
        if connection.busy:
            self._under_way -= 1
            self._unanswered += 1
        elif connection in self._free:
            self._free.remove(connection)
        self._changed.set()

    def _due(self, number: int) -> float:
        return self._begun + number / self._rate

    def _dispatch(self) -> None:
        now = time.monotonic()
        while self._backlog and now - self._due(self._backlog[0]) > LATEST:
            self._backlog.popleft()
            self._unsent += 1
        while self._backlog and self._free:
            connection = self._free.pop()
            connection.order = self._backlog.popleft()
            self._late.append(now - self._due(connection.order))
            self._under_way += 1
            connection.send(self._request)

    async def _rest(self) -> None:
        """Wait for the answers that are still to come."""
        try:
            async with asyncio.timeout(3 * LATEST):
                while self._under_way:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._unanswered += self._under_way
        self._unsent += len(self._backlog)

    def _answer(self, count: int, cpu: float, left: int) -> dict[str, object]:
        confirmed = self._followers.confirmed if self._followers else {}
        end = self._begun + self._seconds
        return {
            "rate": self._rate,
            "seconds": self._seconds,
            "intended": count,
            "unsent": self._unsent,
            "unanswered": self._unanswered,
            "accepted": len(self._ids),
            "statuses": {str(status): number for status, number in sorted(self._statuses.items())},
            "faults": dict(self._faults),
            "post": percentiles.summary(self._post),
            "refused": percentiles.summary(self._refused),
            "sentLate": percentiles.summary(self._late),
            "clientCpu": round(cpu, 3),
            "followed": len(self._intended),
            "unconfirmed": left,
            "endedOtherwise": dict(Counter(self._followers.others.values())) if self._followers else {},
            "followFaults": dict(self._followers.faults) if self._followers else {},
            "confirmed": percentiles.summary([at - self._intended[order] for order, at in confirmed.items()]),
            "confirmedInTime": sum(at <= end for at in confirmed.values()),
        }

"""An open loop: orders are posted at a fixed rate, whether or not the server keeps up.

Every duration counts from when an order should have been sent. Otherwise a server that stalls would make the client
wait, and look fast.
"""

import asyncio
import time
from collections import Counter, deque

from dexexec.bench.client import percentiles
from dexexec.bench.client.http import HttpConnection, Target
from dexexec.bench.client.load_loop import LoadLoop
from dexexec.bench.client.order_followers import OrderFollowers

LATEST_SECONDS = 5.0
"""An order that could not be sent for this long is dropped."""
YIELD_EVERY = 64
"""When the loop is late it lets answers in after this many orders."""


class OpenLoop(LoadLoop):
    """Posts `rate` orders per second. With `follow_every`, one in so many orders is followed to its `confirmed`
    message: on sockets that are open already (`by_message`), or on a socket of its own."""

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
        followers = OrderFollowers(target, sockets=sockets, by_message=by_message) if follow_every else None
        super().__init__(target, clients=clients, seconds=seconds, path=path, followers=followers)
        self._rate = rate
        self._follow_every = follow_every
        self._patience = patience
        self._free: list[HttpConnection] = []
        self._backlog: deque[int] = deque()
        self._unsent = 0
        self._sent_late: list[float] = []
        self._refused_after: list[float] = []
        self._due_of_followed: dict[str, float] = {}

    async def _post_orders(self) -> None:
        self._free = list(self._connections)
        for number in range(self._count):
            ahead = self._due(number) - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            elif number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            self._backlog.append(number)
            self._send_due()

    def _on_accepted(self, connection: HttpConnection, order: str, now: float) -> None:
        if self._followers and connection.number % self._follow_every == 0:
            self._due_of_followed[order] = connection.timed_from
            self._followers.follow(order)

    def _on_answered(self, connection: HttpConnection, status: int, now: float) -> None:
        if not 200 <= status < 300:
            self._refused_after.append(now - connection.timed_from)
        self._free.append(connection)
        self._send_due()

    def _on_lost(self, connection: HttpConnection) -> None:
        if not connection.busy and connection in self._free:
            self._free.remove(connection)

    @property
    def _count(self) -> int:
        return int(self._rate * self._seconds)

    def _due(self, number: int) -> float:
        return self._begun + number / self._rate

    def _send_due(self) -> None:
        """Send as much of the backlog as there are free connections."""
        now = time.monotonic()
        while self._backlog and now - self._due(self._backlog[0]) > LATEST_SECONDS:
            self._backlog.popleft()
            self._unsent += 1
        while self._backlog and self._free:
            connection = self._free.pop()
            connection.number = self._backlog.popleft()
            due = self._due(connection.number)
            self._sent_late.append(now - due)
            self._send(connection, timed_from=due)

    def _figures(self, cpu_share: float) -> dict[str, object]:
        return {
            **super()._figures(cpu_share),
            "rate": self._rate,
            "intended": self._count,
            "unsent": self._unsent + len(self._backlog),
            "refused": percentiles.summary(self._refused_after),
            "sentLate": percentiles.summary(self._sent_late),
            # What holds when no order is followed; `_follow_to_the_end` replaces it.
            "followed": 0,
            "unconfirmed": 0,
            "endedOtherwise": {},
            "followFaults": {},
            "confirmed": percentiles.summary(()),
            "confirmedInTime": 0,
        }

    async def _follow_to_the_end(self, followers: OrderFollowers) -> dict[str, object]:
        unfinished = await followers.wait_for_all(self._patience)
        end = self._begun + self._seconds
        waits = [at - self._due_of_followed[order] for order, at in followers.confirmed_at.items()]
        return {
            "followed": len(self._due_of_followed),
            "unconfirmed": unfinished,
            "endedOtherwise": dict(Counter(followers.other_ends.values())),
            "followFaults": dict(followers.faults),
            "confirmed": percentiles.summary(waits),
            "confirmedInTime": sum(at <= end for at in followers.confirmed_at.values()),
        }

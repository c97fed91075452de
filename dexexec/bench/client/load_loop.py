"""What the closed and the open loop share: connections, counting answers, and the figures of a load."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter

from dexexec.bench.client import percentiles
from dexexec.bench.client.http import HttpConnection, Target, connect, order_id, order_request
from dexexec.bench.client.order_followers import OrderFollowers

ANSWER_SECONDS = 15.0
"""How long the loop waits for outstanding answers after its last request."""


class LoadLoop(ABC):
    """Posts orders for `seconds` over `clients` connections and counts the answers.

    A subclass decides when the next order is sent. It may pass `followers`, which wait for the end of some orders.
    """

    def __init__(
        self, target: Target, *, clients: int, seconds: float, path: str, followers: OrderFollowers | None
    ) -> None:
        self._target = target
        self._clients = clients
        self._seconds = seconds
        self._followers = followers
        self._request = order_request(target, path)
        self._connections: set[HttpConnection] = set()
        self._in_flight = 0
        self._unanswered = 0
        self._progress = asyncio.Event()
        self._begun = 0.0
        self._statuses: Counter[int] = Counter()
        self._faults: Counter[str] = Counter()
        self._order_ids: set[str] = set()
        self._accepted_after: list[float] = []

    async def run(self) -> dict[str, object]:
        """Run the load and return its figures. Raises OSError when the server cannot be reached."""
        if self._followers:
            await self._followers.open()
        # Connected before the clock starts: handshakes are not part of an order's latency.
        for _ in range(self._clients):
            self._connections.add(await connect(self._target, self))
        cpu_before = time.process_time()
        self._begun = time.monotonic()
        await self._post_orders()
        cpu_share = (time.process_time() - cpu_before) / (time.monotonic() - self._begun)
        await self._wait_for_answers()
        # The counts are final here: an answer that comes while orders are followed was already counted as missing.
        figures = self._figures(cpu_share)
        if self._followers:
            figures |= await self._follow_to_the_end(self._followers)
            self._followers.close()
        for connection in self._connections:
            connection.close()
        return figures

    @abstractmethod
    async def _post_orders(self) -> None:
        """Send orders for `seconds`."""

    @abstractmethod
    def _on_accepted(self, connection: HttpConnection, order: str, now: float) -> None:
        """An order was accepted."""

    @abstractmethod
    def _on_answered(self, connection: HttpConnection, status: int, now: float) -> None:
        """The connection is free for another order."""

    @abstractmethod
    def _on_lost(self, connection: HttpConnection) -> None:
        """The connection has ended."""

    @abstractmethod
    async def _follow_to_the_end(self, followers: OrderFollowers) -> dict[str, object]:
        """Wait for the followed orders and return their figures."""

    def answered(self, connection: HttpConnection, status: int, body: bytes) -> None:
        """Count an answer."""
        now = time.monotonic()
        self._in_flight -= 1
        self._statuses[status] += 1
        if 200 <= status < 300:
            order = order_id(body)
            if order in self._order_ids or not order:
                self._faults["an id that was answered before" if order else "an answer without orderId"] += 1
            self._order_ids.add(order)
            self._accepted_after.append(now - connection.timed_from)
            self._on_accepted(connection, order, now)
        self._on_answered(connection, status, now)
        self._progress.set()

    def lost(self, connection: HttpConnection, why: str) -> None:
        """Count a connection that ended, and the answer that will not come on it."""
        self._faults[why] += 1
        self._connections.discard(connection)
        if connection.busy:
            self._in_flight -= 1
            self._unanswered += 1
        self._on_lost(connection)
        self._progress.set()

    def _send(self, connection: HttpConnection, timed_from: float) -> None:
        """Post an order whose latency counts from `timed_from`."""
        connection.timed_from = timed_from
        self._in_flight += 1
        connection.send(self._request)

    async def _wait_for_answers(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._in_flight:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            self._unanswered += self._in_flight

    def _figures(self, cpu_share: float) -> dict[str, object]:
        return {
            "seconds": self._seconds,
            "accepted": len(self._order_ids),
            "unanswered": self._unanswered,
            "statuses": {str(status): count for status, count in sorted(self._statuses.items())},
            "faults": dict(self._faults),
            "post": percentiles.summary(self._accepted_after),
            "clientCpu": round(cpu_share, 3),
        }

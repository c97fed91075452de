"""A closed loop: each client posts its next order as soon as the previous one is answered."""

import asyncio
import time

from dexexec.bench.client import percentiles
from dexexec.bench.client.http import HttpConnection, Target, connect
from dexexec.bench.client.load_loop import LoadLoop
from dexexec.bench.client.order_followers import OrderFollowers

RECONNECT_SECONDS = 0.05
REFUSED = (429, 503)


class ClosedLoop(LoadLoop):
    """A client that is refused waits `backoff` seconds.

    With `watch_every`, one in so many orders is followed to its end, and the last order of each client, for at most
    `patience` seconds.
    """

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
        followers = OrderFollowers(target, sockets=0, by_message=False) if watch_every else None
        super().__init__(target, clients=clients, seconds=seconds, path=path, followers=followers)
        self._backoff = backoff
        self._watch_every = watch_every
        self._patience = patience
        self._end = 0.0
        self._accepted_in_time = 0
        self._answered_at: dict[str, float] = {}
        self._last_orders: dict[HttpConnection, str] = {}
        self._reconnects: set[asyncio.Task[None]] = set()

    async def _post_orders(self) -> None:
        self._end = self._begun + self._seconds
        for connection in tuple(self._connections):
            self._send_next(connection)
        await asyncio.sleep(self._seconds)
        for task in self._reconnects:
            task.cancel()

    def _on_accepted(self, connection: HttpConnection, order: str, now: float) -> None:
        if now <= self._end:
            self._accepted_in_time += 1
        if self._followers:
            self._last_orders[connection] = order
            self._answered_at[order] = now
            if len(self._order_ids) % self._watch_every == 0:
                self._followers.follow(order)

    def _on_answered(self, connection: HttpConnection, status: int, now: float) -> None:
        if status in REFUSED and self._backoff:
            asyncio.get_running_loop().call_later(self._backoff, self._send_next, connection)
        else:
            self._send_next(connection)

    def _on_lost(self, connection: HttpConnection) -> None:
        if time.monotonic() < self._end:
            task = asyncio.create_task(self._reconnect())
            self._reconnects.add(task)
            task.add_done_callback(self._reconnects.discard)

    def _send_next(self, connection: HttpConnection) -> None:
        now = time.monotonic()
        # After a back-off the connection may be gone, or the time over.
        if connection in self._connections and now < self._end:
            self._send(connection, timed_from=now)

    async def _reconnect(self) -> None:
        await asyncio.sleep(RECONNECT_SECONDS)
        try:
            connection = await connect(self._target, self)
        except OSError as error:
            self._faults[error.strerror or "no connection"] += 1
            return
        self._connections.add(connection)
        self._send_next(connection)

    def _figures(self, cpu_share: float) -> dict[str, object]:
        return {**super()._figures(cpu_share), "acceptedInTime": self._accepted_in_time}

    async def _follow_to_the_end(self, followers: OrderFollowers) -> dict[str, object]:
        # Orders are executed about in the order in which they came: once the last order of each client has ended,
        # practically all orders have.
        for order in self._last_orders.values():
            if order not in followers.confirmed_at and order not in followers.other_ends:
                followers.follow(order)
        unfinished = await followers.wait_for_all(self._patience)
        confirmed_at = followers.confirmed_at
        posted_in_time = sum(self._answered_at[order] <= self._end for order in confirmed_at)
        waits = [at - self._answered_at[order] for order, at in confirmed_at.items()]
        return {
            "watched": len(confirmed_at) + len(followers.other_ends) + unfinished,
            "watchedConfirmed": len(confirmed_at),
            "watchedConfirmedInTime": sum(at <= self._end for at in confirmed_at.values()),
            "watchedPostedInTime": posted_in_time + unfinished,
            "watchedUntil": round(max(confirmed_at.values(), default=self._end) - self._begun, 4),
            "watchedWait": percentiles.summary(waits),
            "watchedFaults": dict(followers.faults),
        }

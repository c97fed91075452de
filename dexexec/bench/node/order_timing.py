"""Posts one order after the other, and measures when each was answered and confirmed."""

import asyncio
import time
from dataclasses import dataclass

from dexexec.bench.client.http import HttpConnection, Target, connect, order_id, order_request
from dexexec.bench.client.order_followers import OrderFollowers
from dexexec.bench.processes import BenchError

ACCEPTED = 202


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTimes:
    """The moments of an order in monotonic seconds: its POST, the answer to it, and the `confirmed` message."""

    posted_at: float
    answered_at: float
    confirmed_at: float


class OrderTimer:
    """One HTTP connection and one WebSocket to the service at `target`, both opened before the first order."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._followers = OrderFollowers(target, sockets=1, by_message=True)
        self._connection: HttpConnection | None = None
        self._answer: asyncio.Future[tuple[int, bytes, float]] | None = None

    async def open(self) -> None:
        """Open both. Raises `BenchError`."""
        try:
            self._connection = await connect(self._target, self)
            await self._followers.open()
        except OSError as error:
            raise BenchError(f"the service cannot be reached: {error}") from error

    def close(self) -> None:
        """Close both."""
        self._followers.close()
        if self._connection is not None:
            self._connection.close()

    async def measure(self, body: bytes, seconds: float) -> OrderTimes:
        """Post an order and wait for its confirmation, for at most `seconds`. Raises `BenchError` unless it is
        confirmed."""
        if self._connection is None:
            await self.open()
        assert self._connection is not None  # noqa: S101 - opened above
        self._answer = asyncio.get_running_loop().create_future()
        posted_at = time.monotonic()
        self._connection.send(order_request(self._target, body=body))
        status, document, answered_at = await self._answer
        if status != ACCEPTED:
            raise BenchError(f"an order was answered with {status}: {document.decode(errors='replace')[:300]}")
        # Only now: the id is in the answer. What happened before is in the first message to the socket.
        order = order_id(document)
        self._followers.follow(order)
        if await self._followers.wait_for_all(seconds):
            raise BenchError(f"the order {order} did not end within {seconds:g} s")
        if order in self._followers.other_ends:
            raise BenchError(f"the order {order} ended as {self._followers.other_ends[order]}")
        if self._followers.faults:
            raise BenchError(f"the order {order} could not be followed: {dict(self._followers.faults)}")
        return OrderTimes(
            posted_at=posted_at, answered_at=answered_at, confirmed_at=self._followers.confirmed_at[order]
        )

    def answered(self, connection: HttpConnection, status: int, body: bytes) -> None:
        """Called by the connection."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, body, time.monotonic()))

    def lost(self, connection: HttpConnection, why: str) -> None:
        """Called by the connection. The next order opens another one."""
        self._connection = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchError(f"an order was not answered: {why}"))

"""Requests begin at a pace that leaves each turn of the event loop to what matters more: orders that are posted, and
the worker, which shares the loop in the all-in-one start."""

import asyncio

from dexexec.api.fair_queue import FairQueue

BEGUN_PER_TURN = 4
"""Requests that one turn of the event loop begins. One that is not for an order costs about a quarter of a millisecond,
so a turn takes about as long whether ten of them wait or ten thousand."""
LONGEST_REST = 0.005
"""Seconds. While requests wait, a turn is followed by others without any, for as long as it took itself."""


class Pacer:
    """Gives turns to requests, of one client after the other."""

    def __init__(self, per_turn: int = BEGUN_PER_TURN) -> None:
        self._per_turn = per_turn
        self._begun, self._began_at = 0, 0.0
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._next: asyncio.Handle | None = None

    def turn(self, client: str) -> asyncio.Future[None] | None:
        """What a request of a client has to wait for; None when it may begin now."""
        if self._begun < self._per_turn and not self._waiting:
            self._count()
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(client, future)
        return future

    def _count(self) -> None:
        self._begun += 1
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._began_at = loop.time()
            self._next = loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._waiting:
            self._next = loop.call_later(min(LONGEST_REST, loop.time() - self._began_at), self._begin_some)
        else:
            self._next, self._begun = None, 0

    def _begin_some(self) -> None:
        self._next, self._begun = None, 0
        while self._waiting and self._begun < self._per_turn:
            future = self._waiting.take()
            if not future.done():
                future.set_result(None)
                self._count()

"""Paces requests, so that every turn of the event loop has time for posted orders and for the worker, which shares the
loop in the all-in-one start."""

import asyncio

from dexexec.api.fair_queue import FairQueue

BEGUN_PER_TURN = 4
"""Requests that one turn of the event loop starts. One that posts no order costs about a quarter of a millisecond, so
a turn takes about the same time whether ten or ten thousand of them wait."""
LONGEST_REST = 0.005
"""Seconds. While requests wait, a turn is followed by a rest of the same length, at most this."""


class Pacer:
    """Gives turns to requests, one client after the other."""

    def __init__(self, per_turn: int = BEGUN_PER_TURN) -> None:
        self._per_turn = per_turn
        self._begun = 0
        self._began_at = 0.0
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._next: asyncio.Handle | None = None

    def turn(self, client: str) -> asyncio.Future[None] | None:
        """The turn that a request of a client has to wait for; None if it may start now."""
        # While others wait, a newcomer has to wait too, or it would overtake them.
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
            # As long as the turn took: the rest of the process gets at least half of the time.
            self._next = loop.call_later(min(LONGEST_REST, loop.time() - self._began_at), self._begin_some)
        else:
            self._next = None
            self._begun = 0

    def _begin_some(self) -> None:
        self._next = None
        self._begun = 0
        while self._waiting and self._begun < self._per_turn:
            future = self._waiting.take()
            if not future.done():  # else the client has gone
                future.set_result(None)
                self._count()

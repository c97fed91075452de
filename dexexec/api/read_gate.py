"""Runs reads, cancels and quotes a few at a time, so that Postgres and the event loop stay free for executing orders.

Clients take turns, and reads are the first requests to be refused: 429 for a client with too many in flight, 503 for
one that waited too long. While others wait, a read is followed by a rest of the same length, so reads use at most half
of the time.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from dexexec.api.fair_queue import FairQueue
from dexexec.errors import ReadsBusyError, TooManyReadsError

LISTS_AT_ONCE, LISTS_PER_CLIENT = 1, 32
ORDERS_AT_ONCE, ORDERS_PER_CLIENT = 2, 256
"""Reads that run at once, and the limit of one client's reads in flight: waiting, running, or with an answer that it
has not read. Running reads use the connections of the read pool (`bootstrap.connections`), which has some more for the
feed."""
CANCELS_AT_ONCE, CANCELS_PER_CLIENT = 8, 1_024
"""The same for cancelling. They have a gate of their own, so that an urgent cancel never waits behind reads."""
MASS_CANCELS_AT_ONCE, MASS_CANCELS_PER_CLIENT = 4, 16
"""The same for cancelling many orders together, which may take seconds. The store runs them one after another."""
QUOTES_AT_ONCE, QUOTES_PER_CLIENT = 4, 16
"""The same for quotes without an order. Each is a round at every venue."""
WAIT_SECONDS = 2.0
LONGEST_REST = 0.05
REFUSAL_SECONDS = 0.2
"""Delay before a client with too many reads is refused, so that a client that repeats at once costs little."""


class ClientGoneError(Exception):
    """The client closed its connection while its read waited."""


class Reader(Protocol):
    """The part of `ClientStream` that the gate uses."""

    def peer_is_gone(self) -> bool:
        """Whether the client has closed the connection."""

    def when_answered(self, callback: Callable[[], None]) -> None:
        """Call back once the client has read its answer, or the connection has ended."""


@dataclass(slots=True, eq=False)
class _Waiting:
    reader: Reader
    turn: asyncio.Future[None]


class ReadGate:
    """`at_once` reads run, each client has at most `per_client` in flight. `free` and `waiting` show its state."""

    def __init__(self, at_once: int, per_client: int) -> None:
        self.free = at_once
        self._per_client = per_client
        self.waiting: FairQueue[_Waiting] = FairQueue()
        self._in_flight: dict[str, int] = defaultdict(int)

    def in_flight(self, client: str) -> int:
        """The number of a client's reads that wait, run, or have answers that it has not read."""
        return self._in_flight.get(client, 0)

    @asynccontextmanager
    async def read(self, client: str, reader: Reader) -> AsyncIterator[None]:
        """One read, in the block. Raises `TooManyReadsError`, `ReadsBusyError`, and `ClientGoneError` if the client has
        gone."""
        if self.in_flight(client) >= self._per_client:
            # A client that retries at once must not turn refusals into a load of their own.
            await asyncio.sleep(REFUSAL_SECONDS)
            raise TooManyReadsError(f"at most {self._per_client} reads of this kind in flight from one client")
        self._in_flight[client] += 1
        # Counted until the client has read the answer: an unread answer occupies memory as well.
        reader.when_answered(lambda: self._answered(client))
        await self._enter(client, reader)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            yield
        finally:
            # A rest as long as the read: while reads are queued they use at most half of the time.
            self._leave(min(LONGEST_REST, loop.time() - begun))

    async def _enter(self, client: str, reader: Reader) -> None:
        if reader.peer_is_gone():
            raise ClientGoneError
        if self.free:
            self.free -= 1
            return
        waiting = _Waiting(reader, asyncio.get_running_loop().create_future())
        self.waiting.put(client, waiting)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await waiting.turn
        except TimeoutError:
            raise ReadsBusyError("too many reads wait before this one") from None
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self._leave(0.0)  # the turn came at the same moment: pass it on
            raise

    def _leave(self, rest: float) -> None:
        """Let the next read in, after a rest if others wait."""
        if self.waiting:
            # `free` stays as it is: the place passes to the next read, and no newcomer can take it meanwhile.
            asyncio.get_running_loop().call_later(rest, self._let_in)
        else:
            self.free += 1

    def _let_in(self) -> None:
        while self.waiting:
            waiting = self.waiting.take()
            if waiting.turn.done():  # it was refused after waiting too long
                continue
            if waiting.reader.peer_is_gone():
                waiting.turn.set_exception(ClientGoneError())
                continue
            waiting.turn.set_result(None)
            return
        self.free += 1

    def _answered(self, client: str) -> None:
        self._in_flight[client] -= 1
        if not self._in_flight[client]:
            del self._in_flight[client]

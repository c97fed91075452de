"""The open connections of this process, with limits in total, per client and for each phase.

At the limit, the connection that has waited longest without a request in progress is closed to make room. So a flood of
idle connections takes no place from active clients.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from dexexec.api.client_stream import Connection, Phase

STALLED_SECONDS = 2.0
"""At the limit, a connection is closed if its client has read nothing of an answer for this long (s)."""
LONGEST_CHECK_INTERVAL = 1.0
"""Seconds between two checks of all connections, or less if limits are shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Connections at once, in total and per client address; and a client's time limits in seconds: between two
    requests, for headers from their first byte, for a body, and for an answer, counted from the end of its request."""

    connections: int
    per_client: int
    idle_seconds: float
    header_seconds: float
    body_seconds: float
    answer_seconds: float


class ConnectionTable:
    """All connections of the process."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: dict[str, set[Connection]] = defaultdict(set)  # by client
        self._idle: dict[str, OrderedDict[Connection, None]] = {}  # may be closed, the longest wait first
        self._timed: set[Connection] = set()  # have a time limit here: not thousands of WebSockets
        self._count = 0
        self._next_check: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Connection]:
        return (stream for streams in self._open.values() for stream in streams)

    def make_room(self, client: str, *, limited: bool = True) -> bool:
        """Whether one more connection of this client may be opened; closes an idle one for it if necessary. The limit
        per client is not for those that are not `limited`."""
        if limited and len(self._open.get(client, ())) >= self.limits.per_client:
            return self._close_idle(client)
        if self._count >= self.limits.connections:
            # The client with the most idle connections loses one, so a flood of one client costs only that client.
            most = max(self._idle, key=lambda one: len(self._idle[one]), default=None)
            return most is not None and self._close_idle(most)
        return True

    def add(self, stream: Connection) -> None:
        """A connection was accepted."""
        self._open[stream.client].add(stream)
        self._count += 1
        self._timed.add(stream)
        self.moved(stream)
        if self._next_check is None:
            self._schedule_check()

    def moved(self, stream: Connection) -> None:
        """A connection has entered another phase."""
        if stream.phase in {Phase.HANDSHAKE, Phase.REQUEST}:
            self._idle.setdefault(stream.client, OrderedDict())[stream] = None
        elif stream.phase is not Phase.BODY:  # a client that sends a body slowly may still be a slow-loris attack
            self._not_idle(stream)
        if stream.phase is Phase.DETACHED:
            self._timed.discard(stream)

    def closed(self, stream: Connection) -> None:
        """A connection has been closed, and its descriptor is free."""
        self._not_idle(stream)
        self._timed.discard(stream)
        of_client = self._open[stream.client]
        of_client.discard(stream)
        if not of_client:
            del self._open[stream.client]
        self._count -= 1

    def _not_idle(self, stream: Connection) -> None:
        idle = self._idle.get(stream.client)
        if idle is not None:
            idle.pop(stream, None)
            if not idle:
                del self._idle[stream.client]

    def _close_idle(self, client: str) -> bool:
        idle = self._idle.get(client)
        if not idle:
            return False
        next(iter(idle)).close()
        return True

    # Time limits

    def _schedule_check(self) -> None:
        limits = self.limits
        shortest = min(limits.idle_seconds, limits.header_seconds, limits.body_seconds, limits.answer_seconds)
        self._next_check = asyncio.get_running_loop().call_later(
            min(LONGEST_CHECK_INTERVAL, shortest / 4), self._check_time_limits
        )

    def _check_time_limits(self) -> None:
        """Close connections past their time limit, and repeat this while there are any with a limit."""
        now = asyncio.get_running_loop().time()
        for stream in tuple(self._timed):
            if self.is_late(stream, now):
                stream.close()
            elif stream.phase is Phase.ANSWER and stream.unread and now - stream.since > STALLED_SECONDS:
                self._idle.setdefault(stream.client, OrderedDict())[stream] = None
        self._next_check = None
        if self._timed:
            self._schedule_check()

    def is_late(self, stream: Connection, now: float) -> bool:
        """Whether its client is past the time limit."""
        limits = self.limits
        waited = now - stream.since
        match stream.phase:
            case Phase.REQUEST:
                slow = stream.first_byte_at and now - stream.first_byte_at > limits.header_seconds
                return bool(slow) or waited > limits.idle_seconds
            case Phase.HANDSHAKE:
                return waited > limits.header_seconds
            case Phase.BODY:
                return waited > limits.body_seconds
            case Phase.ANSWER:
                return waited > limits.answer_seconds
            case Phase.DETACHED:
                return False

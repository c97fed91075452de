"""The open connections of this process: how many there may be, in all and per client, and how long each may wait.

Where there is no room for a new connection, the one goes that has waited longest without a request in progress. So a
flood of connections that do nothing takes no place from clients that do something.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from dexexec.api.client_stream import ClientStream, Phase

STALLED_SECONDS = 2.0
"""An answer of which nothing was taken for so long is given up where there is no room for others."""
LONGEST_LOOK = 1.0
"""Between two looks at all connections (s), or less where limits are short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Connections at once, in all and of one client address (None: no limit of its own); and seconds that a client may
    take: between two requests, for headers from their first byte, for a body, and for an answer, counted from the end
    of its request."""

    connections: int
    per_client: int | None
    idle_seconds: float
    header_seconds: float
    body_seconds: float
    answer_seconds: float


class ConnectionTable:
    """Owner of all `ClientStream`s."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: dict[str, set[ClientStream]] = defaultdict(set)  # by client
        self._idle: dict[str, OrderedDict[ClientStream, None]] = {}  # those that may go, the longest wait first
        self._timed: set[ClientStream] = set()  # those whose time is limited here: not thousands of WebSockets
        self._count = 0
        self._looking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ClientStream]:
        return (stream for streams in self._open.values() for stream in streams)

    def make_room(self, client: str) -> bool:
        """Whether one more connection of this client may be opened; an idle one is closed for it if need be."""
        per_client = self.limits.per_client
        if per_client is not None and len(self._open.get(client, ())) >= per_client:
            return self._close_idle(client)
        if self._count >= self.limits.connections:
            most = max(self._idle, key=lambda one: len(self._idle[one]), default=None)
            return most is not None and self._close_idle(most)
        return True

    def add(self, stream: ClientStream) -> None:
        """A connection has been accepted."""
        self._open[stream.client].add(stream)
        self._count += 1
        self._timed.add(stream)
        self.moved(stream)
        if self._looking is None:
            self._look_later()

    def moved(self, stream: ClientStream) -> None:
        """A connection is in another phase."""
        if stream.phase is Phase.REQUEST:
            self._idle.setdefault(stream.client, OrderedDict())[stream] = None
        elif stream.phase is not Phase.BODY:  # who is in the middle of a body may still be a slow-loris
            self._not_idle(stream)
        if stream.phase is Phase.DETACHED:
            self._timed.discard(stream)

    def closed(self, stream: ClientStream) -> None:
        """The descriptor of a connection is free again."""
        self._not_idle(stream)
        self._timed.discard(stream)
        of_client = self._open[stream.client]
        of_client.discard(stream)
        if not of_client:
            del self._open[stream.client]
        self._count -= 1

    def _not_idle(self, stream: ClientStream) -> None:
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

    def _look_later(self) -> None:
        limits = self.limits
        shortest = min(limits.idle_seconds, limits.header_seconds, limits.body_seconds, limits.answer_seconds)
        self._looking = asyncio.get_running_loop().call_later(min(LONGEST_LOOK, shortest / 4), self._look)

    def _look(self) -> None:
        """Close what has waited too long; as long as there are such, look again."""
        now = asyncio.get_running_loop().time()
        for stream in tuple(self._timed):
            if self.is_late(stream, now):
                stream.close()
            elif stream.phase is Phase.ANSWER and stream.unread and now - stream.since > STALLED_SECONDS:
                self._idle.setdefault(stream.client, OrderedDict())[stream] = None
        self._looking = None
        if self._timed:
            self._look_later()

    def is_late(self, stream: ClientStream, now: float) -> bool:
        """Whether its client has taken longer than it may."""
        limits, waited = self.limits, now - stream.since
        match stream.phase:
            case Phase.REQUEST:
                slow = stream.heard_at and now - stream.heard_at > limits.header_seconds
                return bool(slow) or waited > limits.idle_seconds
            case Phase.BODY:
                return waited > limits.body_seconds
            case Phase.ANSWER:
                return waited > limits.answer_seconds
            case Phase.DETACHED:
                return False

"""The subscription of one WebSocket to the events of all orders.

Between `feed.all_events` and the socket's outbox. A peer that reads slowly falls behind in the stream, and costs no
memory: its events are read when there is room for them.
"""

import asyncio
import random
from collections.abc import Callable

from dexexec.api import websocket_messages
from dexexec.api.websocket_messages import BadMessageError
from dexexec.api.websocket_outbox import Outbox
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import RequestError, UnavailableError
from dexexec.feed.all_events import FIRST_OUTAGE, LONGEST_OUTAGE, AllEvents, StreamFollower
from dexexec.feed.event_tail import StreamEvent
from dexexec.store import PositionUnknownError

RIGHT = "read the orders anew, and follow all events from now on"


class AllEventsSubscription:
    """The sink of one socket's follower. `refuse` answers with an error, `fail` ends the socket."""

    def __init__(
        self,
        stream: AllEvents,
        outbox: Outbox,
        *,
        refuse: Callable[[BadMessageError], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._stream = stream
        self._outbox = outbox
        self._refuse = refuse
        self._fail = fail
        self._follower: StreamFollower | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._leaving = False
        """Whether the peer has unsubscribed before its position was read."""
        self._reported = ""
        """The position that the peer was sent last."""

    def subscribe(self, after: str | None, owner: int | None) -> None:
        """Follow the events behind a position (None: from now on), of the orders of `owner` (None: of all)."""
        if self._beginning is not None:
            text = "this socket follows all events already, and goes on; to start anew, unsubscribe first"
            self._refuse(BadMessageError(StreamErrorCode.ALREADY_SUBSCRIBED, text))
            return
        self._beginning = asyncio.create_task(self._begin(after, owner))

    async def _begin(self, after: str | None, owner: int | None) -> None:
        try:
            position = await self._first_position(after, owner)
        except PositionUnknownError as error:
            self.refused(error)
            return
        if self._leaving:
            self._leaving, self._beginning = False, None
            self._outbox.send(websocket_messages.unsubscribed_all(position))
            return
        self.reached(position)
        self._follower = self._stream.follow(position, self, owner)

    async def _first_position(self, after: str | None, owner: int | None) -> str:
        reported = False
        pause = FIRST_OUTAGE
        while True:
            try:
                return await self._stream.begin(after, owner)
            except UnavailableError:
                if not reported:
                    reported = True
                    self.unavailable()
                # As a follower does: many sockets begin at once after a restart, and Postgres must come back.
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_OUTAGE)

    def unsubscribe(self) -> None:
        """Stop following, and answer with the last position."""
        if self._beginning is None or self._leaving:
            text = "this socket does not follow all events"
            self._refuse(BadMessageError(StreamErrorCode.NOT_SUBSCRIBED, text))
            return
        if self._follower is None:
            # The answer has the position, which is being read.
            self._leaving = True
            return
        position = self._follower.position
        self.close()
        self._outbox.send(websocket_messages.unsubscribed_all(position))

    def beat(self) -> None:
        """Send the position, if the stream has gone on without an event for this peer."""
        if self._follower is not None and self._follower.position != self._reported:
            self.reached(self._follower.position)

    def close(self) -> None:
        """End the subscription. Harmless when repeated."""
        self._leaving = False
        if self._beginning is not None:
            self._beginning.cancel()
            self._beginning = None
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    # The sink

    def event(self, event: StreamEvent) -> None:
        """Send the next event."""
        self._outbox.send(event.payload)

    async def wait_for_room(self, size: int) -> None:
        """Wait for a slow peer."""
        await self._outbox.room(size)

    def reached(self, position: str) -> None:
        """Send the position behind what was sent."""
        self._reported = position
        self._outbox.send(websocket_messages.reached(position))

    def refused(self, error: RequestError) -> None:
        """The stream cannot go on from the position."""
        self._follower = None
        self._beginning = None
        self._leaving = False
        self._refuse(BadMessageError(StreamErrorCode.POSITION_UNKNOWN, f"{error}: {RIGHT}"))

    def unavailable(self) -> None:
        """Postgres cannot be read now."""
        text = "events cannot be read now: the subscription stands, and goes on by itself"
        self._refuse(BadMessageError(StreamErrorCode.UNAVAILABLE, text))

    def failed(self, error: BaseException) -> None:
        """An internal error."""
        self._fail(error)

"""`GET /api/orders/{id}/events` and `GET /api/events`: the events of one order, or of all, as server-sent events.

The same bytes and promises as on the WebSocket, for clients that have only HTTP: browsers' EventSource, curl, proxies.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast
from uuid import UUID

from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream

from dexexec.api.event_stream_connection import COMMENT, MEDIA_TYPE, EventSink, EventStreamConnection, block
from dexexec.api.handler import ApiHandler, common_headers
from dexexec.api.key_limits import SocketPlace
from dexexec.api.orders import NO_ORDER, read_order_id
from dexexec.api.problems import NotAcceptableError
from dexexec.api.query import BadValueError, Parameter, Query
from dexexec.api.websocket_messages import MAX_SEQ
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import FieldProblem, InvalidQueryError, OrderNotFoundError, RequestError
from dexexec.feed.all_events import AllEvents, StreamFollower, is_position
from dexexec.feed.event_tail import StreamEvent
from dexexec.feed.feed import Feed
from dexexec.feed.subscription import AfterSeqCheck

T = TypeVar("T")

LAST_EVENT_ID = "Last-Event-ID"
STRAY = "exists for no stream of events"
ACCEPTED = frozenset({MEDIA_TYPE, "text/*", "*/*"})


def _read_seq(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_SEQ:
        return int(text)
    raise BadValueError("is not a seq")


def _read_position(text: str) -> str:
    if is_position(text):
        return text
    raise BadValueError("is not a position")


AFTER_SEQ = Parameter(
    name="afterSeq",
    description="The last `seq` that the client has. The header `Last-Event-ID` goes before it.",
    rule={"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
    parse=_read_seq,
    expected=f"an integer from 0 to {MAX_SEQ}",
)
AFTER = Parameter(
    name="after",
    description="The last position that the client has; `start`: all events that are kept. Left out: from now on."
    " The header `Last-Event-ID` goes before it.",
    rule={"type": "string", "pattern": "^(start|0|[0-9a-f]{1,15}-[0-9a-f]{16})$"},
    parse=_read_position,
    expected='an `id` of this stream, or "start"',
)


class EventStreamHandler(ApiHandler):
    """Base of both handlers."""

    def check(self) -> None:
        """Refuse a client that does not accept the only form that this has."""
        if self.request.method in {"GET", "HEAD"} and not _is_accepted(self.request.headers):
            raise NotAcceptableError(f"events are sent as {MEDIA_TYPE} only: accept that")

    def last_event_id(self, parameter: Parameter[T]) -> T | None:
        """Where the client goes on: by the header, which a browser sends when it connects again, or the URL. Raises
        `InvalidQueryError`, which names what is wrong."""
        query = Query(self.request.query_arguments, [parameter], STRAY)
        query.check()
        given = self.request.headers.get_list(LAST_EVENT_ID)
        if given in ([], [""]):
            return query.get(cast("Parameter[T | None]", parameter), None)
        try:
            if len(given) > 1:
                raise BadValueError("is sent more than once")
            return parameter.parse(given[0])
        except BadValueError as error:
            problem = FieldProblem(LAST_EVENT_ID, error.problem, error.expected or parameter.expected)
            raise InvalidQueryError([problem]) from None

    async def serve(self, make: Callable[[EventStreamConnection], EventSink]) -> None:
        """Send what a sink follows until the connection ends; to a HEAD its headers only. Raises `PolicyError`."""
        headers = {
            "Content-Type": MEDIA_TYPE,
            **common_headers(self.request_id),
            **self.cors_headers,
            # For nginx, which would collect the answer otherwise.
            "X-Accel-Buffering": "no",
            "Connection": "close",
        }
        if self.request.method == "HEAD":
            for name, value in headers.items():
                self.set_header(name, value)
            self.finish()
            return
        place = SocketPlace(self.api.limits)
        await place.take(self.caller)
        try:
            stream = self.detach()
            assert isinstance(stream, IOStream)  # noqa: S101 - this is a server for TCP
            connection = EventStreamConnection(
                stream,
                caller=self.caller,
                streams=self.api.streams,
                settings=self.api.settings,
                metrics=self.api.observer.metrics,
            )
            await connection.run(headers, make(connection))
        finally:
            await place.leave()


class OrderEventsHandler(EventStreamHandler):
    """`GET /api/orders/{id}/events`."""

    async def get(self, order_id: str) -> None:
        """The order's events behind `afterSeq`, until its last one; 204 for a client that has that already."""
        followed = read_order_id(order_id)
        after = self.last_event_id(AFTER_SEQ) or 0
        owner = self.caller.sees
        feed = self.api.streams.feed
        async with self.reading(self.api.details):
            found = await feed.check(followed, after, owner)
        if found is None:
            raise OrderNotFoundError(NO_ORDER)
        if found is AfterSeqCheck.AHEAD:
            named = LAST_EVENT_ID if self.request.headers.get(LAST_EVENT_ID) else AFTER_SEQ.name
            problem = f"is ahead: the order has no event {after} yet"
            raise InvalidQueryError([FieldProblem(named, problem, "the last seq that you received, or 0")])
        if found is AfterSeqCheck.ENDED:
            # To this answer a browser does not connect again.
            self.set_status(204)
            self.finish()
            return
        await self.serve(lambda connection: OrderSink(connection, feed, followed, after, owner))

    head = get


class AllEventsHandler(EventStreamHandler):
    """`GET /api/events`."""

    async def get(self) -> None:
        """The events of all orders that the caller sees, behind a position or from now on."""
        after = self.last_event_id(AFTER)
        owner = self.caller.sees
        stream = self.api.streams.all_events
        async with self.reading(self.api.details):
            position = await stream.begin(after, owner)
        await self.serve(lambda connection: AllSink(connection, stream, position, owner))

    head = get


class OrderSink:
    """Sends the events of one order. The `id` of each is its `seq`."""

    def __init__(
        self, connection: EventStreamConnection, feed: Feed, order_id: UUID, after: int, owner: int | None
    ) -> None:
        self._connection = connection
        self._order_id = order_id
        self._seq = after
        self._follower = feed.follower(self, owner)

    def begin(self) -> None:
        """Begin to send."""
        self._follower.follow(self._order_id, self._seq)

    def heartbeat(self) -> bytes:
        """A comment."""
        return COMMENT

    def close(self) -> None:
        """Stop."""
        self._follower.close()

    def event(self, payload: bytes) -> None:
        """Send the next event."""
        self._seq += 1  # a follower leaves out none
        self._connection.send(block(payload, event_id=str(self._seq)))
        # The follower drops the order after its last event, just after this call.
        asyncio.get_running_loop().call_soon(self._finish_if_over)

    def _finish_if_over(self) -> None:
        if not len(self._follower):
            self._connection.finish()

    async def wait_for_room(self, size: int) -> None:
        """Wait for a slow peer."""
        await self._connection.room(size)

    def ended(self, order_id: UUID, seq: int) -> None:
        """The client has all events."""
        self._connection.finish()

    def refused(self, order_id: UUID, code: StreamErrorCode, message: str) -> None:
        """The order has gone since it was found."""
        self._connection.problem(code, message)
        self._connection.finish()

    def unavailable(self) -> None:
        """Postgres cannot be read now."""
        self._connection.problem(StreamErrorCode.UNAVAILABLE, LATE)

    def failed(self, error: BaseException) -> None:
        """An internal error."""
        self._connection.fail(error)


class AllSink:
    """Sends the events of all orders. The `id` of each is its position."""

    def __init__(self, connection: EventStreamConnection, stream: AllEvents, position: str, owner: int | None) -> None:
        self._connection = connection
        self._stream = stream
        self._position = position
        self._owner = owner
        self._follower: StreamFollower | None = None

    def begin(self) -> None:
        """Send where the stream begins: a client that connects again before the first event goes on there."""
        self._connection.send(self.heartbeat())
        self._follower = self._stream.follow(self._position, self, self._owner)

    def heartbeat(self) -> bytes:
        """The position without an event, which a client keeps for when it connects again."""
        position = self._follower.position if self._follower else self._position
        return b"id: %b\n%b" % (position.encode(), COMMENT)

    def close(self) -> None:
        """Stop."""
        if self._follower is not None:
            self._follower.close()

    def event(self, event: StreamEvent) -> None:
        """Send the next event."""
        self._connection.send(block(event.payload, event_id=event.position))

    async def wait_for_room(self, size: int) -> None:
        """Wait for a slow peer."""
        await self._connection.room(size)

    def reached(self, position: str) -> None:
        """Each event has its position, and the heartbeat has that of others' events."""

    def refused(self, error: RequestError) -> None:
        """The stream cannot go on. Connecting again is answered with 410, which ends a browser's attempts."""
        self._connection.problem(StreamErrorCode.POSITION_UNKNOWN, str(error))
        self._connection.finish()

    def unavailable(self) -> None:
        """Postgres cannot be read now."""
        self._connection.problem(StreamErrorCode.UNAVAILABLE, LATE)

    def failed(self, error: BaseException) -> None:
        """An internal error."""
        self._connection.fail(error)


LATE = "events cannot be read now: they come as soon as they can"


def _is_accepted(headers: HTTPHeaders) -> bool:
    ranges = [one for given in headers.get_list("Accept") for one in given.split(",")]
    return not ranges or any(one.partition(";")[0].strip().lower() in ACCEPTED for one in ranges)

"""The WebSocket on `/api/orders/execute`; docs/STREAM.md describes its protocol.

The handler reads messages, the follower decides which events are next, the outbox writes them. Nothing here waits for
the peer: a socket that is too slow is closed, and its client resumes.
"""

import asyncio
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from enum import IntEnum
from uuid import UUID

from tornado.iostream import IOStream

from dexexec.api import websocket_connection, websocket_messages
from dexexec.api.cancel_selection import read_selection
from dexexec.api.client_address import client_address
from dexexec.api.handler import Api, ApiHandler, common_headers
from dexexec.api.orders import cancelled_all_json, too_late
from dexexec.api.request_pacer import Pacer
from dexexec.api.websocket_connection import READS_PER_TURN, WebSocket
from dexexec.api.websocket_messages import BadMessageError, Cancel, CancelAll, Subscribe, Unsubscribe
from dexexec.api.websocket_outbox import SEND_BUFFER, Outbox
from dexexec.domain.cancellation import TooLate
from dexexec.domain.halt import NO_HALTS, Halt
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import InvalidQueryError, PartlyCancelledError, UnavailableError
from dexexec.feed.feed import Feed
from dexexec.feed.subscriber import Follower
from dexexec.intake.intake import Halts

BURST_SECONDS = 10
BAD_MESSAGE_COST = 5


class CloseCode(IntEnum):
    """Why this handler closes a socket. `websocket_connection` closes it as well, for violations of the protocol."""

    GOING_AWAY = 1001
    POLICY_VIOLATION = 1008
    INTERNAL_ERROR = 1011
    RESUME = 4008  # a private code: the socket was too slow or silent. Nothing is lost; `afterSeq` resumes


class TokenBucket:
    """Allows `rate` messages per second, with ten seconds' worth at once."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._burst = rate * BURST_SECONDS
        self._at = now
        self._tokens = self._burst

    def take(self, cost: float, now: float) -> bool:
        """Spend from the budget at time `now` (seconds, monotonic); False if it is not enough."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= cost
        return self._tokens >= 0


class SocketRegistry:
    """The open sockets of a process. A drain ends them, which Tornado's own shutdown does not do."""

    def __init__(self, halts: Halts = NO_HALTS) -> None:
        self.halts = halts
        self._open: set[SocketHandler] = set()
        self.pacer = Pacer(READS_PER_TURN)
        self._none_left = asyncio.Event()
        self._none_left.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    def add(self, handler: "SocketHandler") -> None:
        """A socket was opened."""
        self._open.add(handler)
        self._none_left.clear()

    def discard(self, handler: "SocketHandler") -> None:
        """Its connection has ended."""
        self._open.discard(handler)
        if not self._open:
            self._none_left.set()

    def report_halt(self, halt: Halt, began: bool) -> None:
        """Signing was halted, or goes on: sends a notice to the sockets that it concerns."""
        for handler in tuple(self._open):
            handler.report_halt(halt, began=began)

    async def close_all(self, grace: float = 2.0) -> None:
        """Close all with 1001, including those that open later; cut those that are still open after `grace` seconds."""
        self.draining = True
        for handler in tuple(self._open):
            handler.go_away()
        try:
            async with asyncio.timeout(grace):
                await self._none_left.wait()
        except TimeoutError:
            for handler in tuple(self._open):
                handler.abort()


class SocketHandler(ApiHandler):
    """One socket: the sink of its follower, and the listener of its connection."""

    # Called by Tornado before `get`: its only place to pass parts to a handler.
    def initialize(self, api: Api, feed: Feed, registry: SocketRegistry) -> None:  # type: ignore[override]
        """Take the keyword arguments of the route."""
        super().initialize(api)
        self._feed = feed
        self._limits = api.settings
        self._registry = registry
        self._closing = False
        self._cancels: set[asyncio.Task[None]] = set()
        self._alive = True

    async def get(self, *_args: str) -> None:
        """The handshake, then the connection until its end. Other methods have another handler."""
        response = websocket_connection.accept(self.request)
        for name, value in {
            **common_headers(self.request_id),
            **self.api.sites.cors_headers(self.request.headers),
        }.items():
            response.headers[name] = value
        stream = self.detach()
        assert isinstance(stream, IOStream)  # noqa: S101 - this is a server for TCP
        if not stream.closed():
            stream.set_nodelay(True)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._stream = stream
        client = client_address(self.request, self._limits)
        self._socket = WebSocket(stream, response, self, client=client, pacer=self._registry.pacer)
        self.open()
        try:
            await self._socket.run()
        finally:
            self.on_closing()
            self._registry.discard(self)

    # The socket's life

    def open(self) -> None:
        """Set up the socket, and follow the order in the URL, if there is one."""
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(self._stream, self._limits.socket_buffer_bytes, self._overflowed, self._seen_alive)
        self._follower: Follower = self._feed.follower(self)
        self._bucket = TokenBucket(self._limits.socket_messages_per_second, self._loop.time())
        self._beat = self._loop.call_later(self._limits.ping_seconds, self._ping)
        self._registry.add(self)
        if self._registry.draining:
            self.go_away()
            return
        if (halt := self._registry.halts.of(self.caller.owner)) is not None:
            self.report_halt(halt, began=True)
        try:
            command = websocket_messages.parse_query(self.request.query_arguments)
        except BadMessageError as error:
            self._answer_error(error)
        else:
            if command is not None:
                self._subscribe(command)

    def on_message(self, message: str | bytes) -> None:
        """Execute a client's message, or answer with an error. It is paid for already."""
        self._alive = True
        try:
            command = websocket_messages.parse(message)
        except BadMessageError as error:
            if self.charge(BAD_MESSAGE_COST - 1):
                self._answer_error(error)
            return
        match command:
            case Subscribe():
                self._subscribe(command)
            case Unsubscribe():
                self._unsubscribe(command)
            case Cancel():
                self._start(self._cancel(command.order_id))
            case CancelAll():
                self._start(self._cancel_all(command.given))

    def on_closing(self) -> None:
        """Nothing more may be sent, because the peer closes or has gone."""
        self._closing = True
        self._beat.cancel()
        self._follower.close()
        self._outbox.close()

    def go_away(self) -> None:
        """Close the socket because this process stops."""
        self.api.observer.metrics.socket_closed("going-away")
        self._shut(CloseCode.GOING_AWAY, "going away: resume with afterSeq")

    def report_halt(self, halt: Halt, *, began: bool) -> None:
        """Send a notice if the halt concerns orders that this socket may follow."""
        if self.caller.sees is None or halt.covers(self.caller.owner):
            self._outbox.send(websocket_messages.halt_notice(halt, began=began))

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        self._socket.abort()

    def _shut(self, code: CloseCode, reason: str, last: bytes | None = None) -> None:
        """Close at once: waiting messages are dropped, except `last`."""
        if self._closing:
            return
        self._outbox.close(last)
        self.on_closing()
        self._socket.close(code, reason)

    # Messages

    def _subscribe(self, command: Subscribe) -> None:
        if command.order_id in self._follower:
            self._answer_error(
                BadMessageError(
                    StreamErrorCode.ALREADY_SUBSCRIBED,
                    "this socket follows the order already, and goes on; to start anew, unsubscribe first",
                    command.order_id,
                )
            )
        elif len(self._follower) >= self._limits.socket_orders:
            self._answer_error(
                BadMessageError(
                    StreamErrorCode.TOO_MANY_ORDERS,
                    f"one socket may follow {self._limits.socket_orders} orders: unsubscribe, or open another",
                    command.order_id,
                )
            )
        else:
            self._follower.follow(command.order_id, command.after_seq)

    def _unsubscribe(self, command: Unsubscribe) -> None:
        seq = self._follower.unfollow(command.order_id)
        if seq is None:
            self._answer_error(
                BadMessageError(
                    StreamErrorCode.NOT_SUBSCRIBED, "this socket does not follow the order", command.order_id
                )
            )
        else:
            self._outbox.send(websocket_messages.unsubscribed(command.order_id, seq))

    def _start(self, cancelling: Coroutine[object, object, None]) -> None:
        # A task, as the socket must go on while Postgres is slow. The budget of messages bounds how many there are.
        task = asyncio.create_task(cancelling)
        self._cancels.add(task)
        task.add_done_callback(self._cancels.discard)

    async def _cancel(self, order_id: UUID) -> None:
        """Cancel an order and answer. It goes on if the socket closes meanwhile: the client has asked for it."""
        try:
            answer = await self.api.cancelling.cancel(order_id, self.caller.sees)
        except UnavailableError as error:
            text = f"the order may be cancelled: send it again ({error})"
            self._answer_error(BadMessageError(StreamErrorCode.UNAVAILABLE, text, order_id))
            return
        if answer is None:
            self._answer_error(BadMessageError(StreamErrorCode.ORDER_NOT_FOUND, "there is no such order", order_id))
        elif isinstance(answer, TooLate):
            self._answer_error(BadMessageError(StreamErrorCode.TOO_LATE, str(too_late(answer)), order_id))
        else:
            self._outbox.send(websocket_messages.cancelled(order_id, answer.seq))

    async def _cancel_all(self, given: Mapping[str, object]) -> None:
        """Cancel all orders of a selection and answer. It goes on if the socket closes meanwhile."""
        try:
            selection = read_selection(given, self.api.settings.token_list())
            answer = await self.api.cancelling.cancel_all(replace(selection, owner=self.caller.sees))
        except InvalidQueryError as error:
            problems = "; ".join(f"{one.field} {one.problem}: {one.expected}" for one in error.fields)
            self._answer_error(BadMessageError(StreamErrorCode.INVALID_SELECTION, problems))
        except PartlyCancelledError as error:
            self._answer_error(BadMessageError(StreamErrorCode.UNAVAILABLE, str(error)))
        else:
            self._outbox.send(websocket_messages.cancelled_all(cancelled_all_json(answer)))

    def _answer_error(self, error: BadMessageError) -> None:
        self._outbox.send(websocket_messages.error(error.code, str(error), error.order_id))

    def charge(self, cost: float) -> bool:
        """Take the cost of the peer's frames from its budget, and close the socket when it is spent."""
        if self._closing:
            return False
        if self._bucket.take(cost, self._loop.time()):
            return True
        reason = f"flooding: at most {self._limits.socket_messages_per_second:g} messages per second"
        self.api.observer.metrics.socket_closed("flooding")
        self._shut(CloseCode.POLICY_VIOLATION, reason, websocket_messages.error(StreamErrorCode.FLOODING, reason))
        return False

    # Liveness

    def _ping(self) -> None:
        """Every `ping_seconds`: close the socket if the peer has sent nothing since the last ping, else ping it."""
        if not self._alive:
            self.api.observer.metrics.socket_closed("silent")
            self._shut(CloseCode.RESUME, "silent: resume with afterSeq")
            return
        self._alive = False
        self._socket.ping()
        self._beat = self._loop.call_later(self._limits.ping_seconds, self._ping)

    def on_alive(self) -> None:
        """The peer has answered."""
        self._alive = True

    def _seen_alive(self) -> None:
        self._alive = True

    def _overflowed(self) -> None:
        self.api.observer.metrics.socket_closed("slow")
        self._shut(CloseCode.RESUME, "slow: resume with afterSeq")

    # The sink

    def event(self, payload: bytes) -> None:
        """Send the next event of an order."""
        self._outbox.send(payload)

    async def wait_for_room(self, size: int) -> None:
        """Wait for a slow peer while history is replayed."""
        await self._outbox.room(size)

    def ended(self, order_id: UUID, seq: int) -> None:
        """The client has all events of the order already."""
        self._outbox.send(websocket_messages.unsubscribed(order_id, seq))

    def refused(self, order_id: UUID, code: StreamErrorCode, message: str) -> None:
        """The order or the event does not exist."""
        self._answer_error(BadMessageError(code, message, order_id))

    def unavailable(self) -> None:
        """Postgres cannot be read now, so the history has to wait."""
        self._answer_error(
            BadMessageError(
                StreamErrorCode.UNAVAILABLE, "orders cannot be read now: subscriptions stand, and go on by themselves"
            )
        )

    def failed(self, error: BaseException) -> None:
        """An internal error: end the socket, so that the client notices it."""
        self._loop.call_exception_handler({"message": "a socket's subscriptions failed", "exception": error})
        self._shut(CloseCode.INTERNAL_ERROR, "internal error: resume with afterSeq")

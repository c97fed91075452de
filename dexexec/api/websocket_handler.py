"""The WebSocket on `/api/orders/execute`; docs/STREAM.md describes its protocol.

The handler reads messages, the follower decides which events are next, the outbox writes them. Nothing here waits for
the peer: a socket that is too slow is closed, and its client resumes.
"""

import asyncio
import socket
from uuid import UUID

from tornado.iostream import IOStream
from websockets.http11 import Response

from dexexec.api import websocket_connection, websocket_messages
from dexexec.api.authentication import PROTOCOL, protocols
from dexexec.api.client_address import client_address
from dexexec.api.handler import Api, ApiHandler, common_headers, log_refusal
from dexexec.api.key_limits import SocketPlace
from dexexec.api.websocket_all_events import AllEventsSubscription
from dexexec.api.websocket_cancels import SocketCancels
from dexexec.api.websocket_connection import WebSocket
from dexexec.api.websocket_messages import (
    Authenticate,
    BadMessageError,
    Cancel,
    CancelAll,
    Command,
    Subscribe,
    SubscribeAll,
    Unsubscribe,
    UnsubscribeAll,
)
from dexexec.api.websocket_outbox import SEND_BUFFER, Outbox
from dexexec.api.websocket_registry import CloseCode, TokenBucket
from dexexec.domain.halt import Halt
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import UnauthorizedError, UnavailableError
from dexexec.feed.subscriber import Follower
from dexexec.operator_errors import PolicyError

BAD_MESSAGE_COST = 5
KEY_SECONDS = 5.0
"""How long a socket without a key may take to send one."""
MOST_HELD = 100
"""Messages that wait while the key before them is checked."""


class SocketHandler(ApiHandler):
    """One socket: the sink of its follower, and the listener of its connection."""

    is_websocket = True

    # Called by Tornado before `get`: its only place to pass parts to a handler.
    def initialize(self, api: Api) -> None:
        """Take the keyword argument of the route."""
        super().initialize(api)
        self._feed = api.streams.feed
        self._limits = api.settings
        self._registry = api.streams.registry
        self._closing = False
        self._alive = True
        self._admitted = False
        self._identifying = False
        self._authenticating: asyncio.Task[None] | None = None
        self._held: list[str | bytes] = []
        self._key_timer: asyncio.TimerHandle | None = None
        self._place = SocketPlace(api.limits)

    async def admit(self) -> None:
        """Find out who opens the socket. Without a key in the headers it has `KEY_SECONDS` to send one. Raises
        `UnauthorizedError` and `UnavailableError`."""
        caller = await self.api.access.socket_caller(self.request)
        if caller is not None:
            caller.require(self.scope)
            self.caller = caller
            self._admitted = True

    async def get(self, *_args: str) -> None:
        """The handshake, then the connection until its end. Other methods have another handler."""
        response = websocket_connection.accept(self.request)
        await self._place.take(self.caller)
        try:
            await self._serve(response)
        finally:
            await self._place.leave()

    async def _serve(self, response: Response) -> None:
        response.headers.update(common_headers(self.request_id))
        response.headers.update(self.api.sites.cors_headers(self.request.headers))
        if PROTOCOL in protocols(self.request.headers):
            response.headers["Sec-WebSocket-Protocol"] = PROTOCOL  # never the one that holds the key
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
        """Set up the socket."""
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(self._stream, self._limits.socket_buffer_bytes, self._overflowed, self._seen_alive)
        self._follower: Follower = self._feed.follower(self, self.caller.sees)
        self._all = AllEventsSubscription(
            self.api.streams.all_events, self._outbox, refuse=self._answer_error, fail=self.failed
        )
        self._cancels = SocketCancels(self.api, send=self._outbox.send, refuse=self._answer_error)
        self._bucket = TokenBucket(self._limits.socket_messages_per_second, self._loop.time())
        self._beat = self._loop.call_later(self._limits.ping_seconds, self._ping)
        self._registry.add(self)
        if self._registry.draining:
            self.go_away()
        elif self._admitted:
            self._registry.admitted(self, before="")
            self._begin()
        else:
            self._key_timer = self._loop.call_later(KEY_SECONDS, self._refuse_key, "no key was sent in time")

    def _begin(self) -> None:
        """Report a halt, and follow the order in the URL, if there is one."""
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
        if self._identifying:
            # A client may send its key and go on at once: what it sends is executed if the key is valid.
            self._held.append(message)
            if len(self._held) > MOST_HELD:
                self._refuse_key("wait for the answer to your key")
            return
        try:
            command = websocket_messages.parse(message)
        except BadMessageError as error:
            if not self._admitted:
                self._refuse_key("the first message must be your key")
            elif self.charge(BAD_MESSAGE_COST - 1):
                self._answer_error(error)
            return
        if isinstance(command, Authenticate):
            self._identifying = True
            self._authenticating = asyncio.create_task(self._authenticate(command.token))
        elif not self._admitted:
            self._refuse_key("the first message must be your key")
        else:
            self._run_command(command)

    def _run_command(self, command: Command) -> None:
        match command:
            case Subscribe():
                self._subscribe(command)
            case Unsubscribe():
                self._unsubscribe(command)
            case SubscribeAll():
                self._all.subscribe(command.after, self.caller.sees)
            case UnsubscribeAll():
                self._all.unsubscribe()
            case Cancel() | CancelAll():
                self._cancels.run(command, self.caller)

    def on_closing(self) -> None:
        """Nothing more may be sent, because the peer closes or has gone."""
        self._closing = True
        self._held.clear()
        if self._key_timer is not None:
            self._key_timer.cancel()
        self._beat.cancel()
        self._follower.close()
        self._all.close()
        self._outbox.close()

    def go_away(self) -> None:
        """Close the socket because this process stops."""
        self.api.observer.metrics.socket_closed("going-away")
        self._shut(CloseCode.GOING_AWAY, "going away: resume with afterSeq")

    def report_halt(self, halt: Halt, *, began: bool) -> None:
        """Send a notice if the halt concerns orders that this socket may follow."""
        if self._admitted and (self.caller.sees is None or halt.covers(self.caller.owner)):
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

    # The key

    async def _authenticate(self, token: str) -> None:
        """Take the key that a message has sent, and execute what was sent behind it."""
        try:
            caller = await self.api.access.identify(token)
            await self._place.take(caller)
        except (UnauthorizedError, PolicyError) as error:
            log_refusal(self.api.observer, self.request, error.http_status, error, self.request_id)
            self._refuse_key(str(error) if isinstance(error, PolicyError) else "the key is not valid")
            return
        except UnavailableError as error:
            text = f"{error}: connect again"
            last = websocket_messages.error(StreamErrorCode.UNAVAILABLE, text)
            self._shut(CloseCode.RESUME, text, last)
            return
        if self._closing:
            return
        if self._admitted and self.caller.owner not in {None, caller.owner}:
            # Its orders would suddenly be another's. A new secret of the same key is welcome: it is a rotation.
            self._refuse_key("a socket belongs to one key: open another one")
            return
        # The registry first: from here on the socket ends with this secret, whatever it executes.
        before, self.caller = self.caller.secret_id, caller
        self._registry.admitted(self, before)
        self._outbox.send(websocket_messages.authenticated(caller.name))
        if not self._admitted:
            self._admitted = True
            if self._key_timer is not None:
                self._key_timer.cancel()
            self._follower = self._feed.follower(self, caller.sees)
            self._begin()
        self._identifying = False
        held, self._held = self._held, []
        for message in held:
            self.on_message(message)

    def end_key(self) -> None:
        """Close the socket because its key was revoked or replaced, or has expired."""
        self._refuse_key("the key has ended: resume with afterSeq and a valid one")

    def _refuse_key(self, why: str) -> None:
        last = websocket_messages.error(StreamErrorCode.UNAUTHORIZED, why)
        self._shut(CloseCode.UNAUTHORIZED, f"unauthorized: {why}", last)

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
        self._all.beat()
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

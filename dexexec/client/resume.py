"""Following orders over sockets that end: which subscriptions to send, which events are new, when to connect again.

A state machine without I/O. Its inputs are connections, messages and closes; it yields each event of each order once
and in order, also when sockets lose or repeat some. Time and chance are arguments.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dexexec.client.answers import Event, read_event
from dexexec.client.errors import ClientError, NoAnswerError, StreamError, one_line
from dexexec.client.problem_document import json_object
from dexexec.client.problems import OrderNotFoundError, Problem, ProblemError, ScopeMissingError, UnauthorizedError
from dexexec.client.retry import Random, pause
from dexexec.domain.stream_error import StreamErrorCode

HEALTHY_SECONDS = 5.0
"""A connection that lasted so long ends an outage, although nothing came on it."""
MOST_FAULTS = 5
"""Sockets in a row that break the protocol before anything new came: then it will not get better by itself."""
FAULTS_KEPT = 100
GOING_ON = frozenset({StreamErrorCode.ALREADY_SUBSCRIBED, StreamErrorCode.NOT_SUBSCRIBED, StreamErrorCode.FLOODING})
"""Errors after which the subscription is as it should be, or which announce the end of the socket."""


@dataclass(frozen=True, slots=True)
class Close:
    """How a socket ended: the code of the close frame that the service sent, 1006 without one."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        return "the connection broke" if self.code == 1006 else f"closed with {self.code}, {one_line(self.reason)}"


FAULTS = frozenset({1002, 1003, 1007, 1009})
"""Close codes that name a message that was not understood, on either side."""
UNAUTHORIZED = frozenset({4401, 4403})
KEY_REFUSED: Mapping[str, type[ProblemError]] = MappingProxyType(
    {StreamErrorCode.UNAUTHORIZED: UnauthorizedError, StreamErrorCode.SCOPE_MISSING: ScopeMissingError}
)


@dataclass(slots=True)
class _Followed:
    position: int
    """The `seq` of the last event that came."""
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that concerns no order, such as a halt of all trading."""

    data: Mapping[str, object]

    @property
    def code(self) -> str:
        """What it is about: `halted` or `resumed`."""
        return self._text("code")

    @property
    def message(self) -> str:
        """The same for people."""
        return one_line(self._text("message"))

    def _text(self, name: str) -> str:
        notice = self.data.get("notice")
        return str(notice.get(name, "")) if isinstance(notice, Mapping) else ""


@dataclass(slots=True)
class Resumption:
    """What is known of the followed orders over all sockets.

    `outage_seconds` is how long connections may fail until that is an error; None for ever. `retry_at` is the time of
    the next connection. `faults_seen` names what the service has done wrong, for programs that test it.
    """

    random: Random
    outage_seconds: float | None
    retry_at: float = 0.0
    faults_seen: deque[str] = field(default_factory=lambda: deque(maxlen=FAULTS_KEPT))
    slow_downs: int = 0
    """How often the service has closed a socket because of too many messages."""
    _orders: dict[str, _Followed] = field(default_factory=dict)
    _unsent: deque[dict[str, object]] = field(default_factory=deque)
    _connected_at: float | None = None
    _failing_since: float | None = None
    _failures: int = 0
    _faults: int = 0
    _progress: bool = False

    @property
    def done(self) -> bool:
        """Whether no event can follow: all orders have ended."""
        return all(order.ended for order in self._orders.values())

    def follow(self, order_id: str, after_seq: int = 0) -> bool:
        """Follow an order from `after_seq` + 1 on. False if it is followed already, and stays as it is."""
        key = order_id.lower()
        # An order that has ended can be followed again, as a program does that wants its history.
        known = self._orders.get(key)
        if known is not None and not known.ended:
            return False
        self._orders[key] = _Followed(after_seq)
        if self._connected_at is not None:
            # Without an open socket the next one subscribes everything.
            self._unsent.append(_subscription(key, after_seq))
        return True

    def connected(self, now: float) -> None:
        """A new socket is open: all orders that have not ended are subscribed on it."""
        self._connected_at = now
        self._progress = False
        self._unsent = deque(_subscription(key, one.position) for key, one in self._orders.items() if not one.ended)

    def progressed(self) -> None:
        """Something new has come on the open socket: it is no outage."""
        self._progress = True

    def next_message(self) -> dict[str, object] | None:
        """The next message to send on the open socket, if there is one."""
        return self._unsent.popleft() if self._unsent else None

    def receive(self, message: str | bytes) -> Event | Notice | ClientError | None:
        """Take a message of the service: an event that is new, the error that ends one order, or nothing for the
        caller. Raises `StreamFaultError`: the socket must be closed, and another one resumes."""
        body = json_object(message) if isinstance(message, str) else {}
        if "seq" in body and "status" in body:
            return self._event(body)
        if isinstance(error := body.get("error"), Mapping):
            return self._error(error)
        if body.get("unsubscribed") is True:
            self._unsubscribed(body)
            return None
        if not body:
            raise StreamFaultError(f"a message that is no JSON object: {one_line(str(message[:80]))}")
        # Messages of a newer service are ignored, as its documents demand of every client.
        return Notice(body) if "notice" in body else None

    def lost(self, now: float, cause: object, *, retry_after: float | None = None) -> None:
        """A connection failed, or the open one ended: sets `retry_at`. Raises `ClientError` when it is given up."""
        lasted = 0.0 if self._connected_at is None else now - self._connected_at
        # A handshake alone is no sign of life: a proxy may answer it for a service that is down.
        if self._progress or lasted >= HEALTHY_SECONDS:
            self._failures = self._faults = 0
            self._failing_since = None
        self._connected_at = None
        # What was not sent is subscribed on the next socket with all the others.
        self._unsent.clear()
        # Since the first failure and not the last: an outage is as long as it is, however often it was tried.
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = now
        if isinstance(cause, StreamFaultError) or (isinstance(cause, Close) and cause.code in FAULTS):
            self._faults += 1
            if self._faults >= MOST_FAULTS:
                raise StreamError(f"the stream is broken: {cause}, {self._faults} times in a row")
        # The key was revoked or has expired: a repeated handshake would be refused as well.
        if isinstance(cause, Close) and cause.code in UNAUTHORIZED:
            detail = one_line(cause.reason)
            raise UnauthorizedError(
                Problem(code="unauthorized", status=401, title="The socket was closed", detail=detail)
            )
        if isinstance(cause, Close) and cause.code == 1008:
            self.slow_downs += 1
        self.retry_at = now + pause(self._failures, self.random, retry_after)
        if self.outage_seconds is not None and self.retry_at - self._failing_since > self.outage_seconds:
            raise NoAnswerError(f"no event stream for {self.outage_seconds:g} s: {cause}")

    def refused(self, now: float, problem: ProblemError) -> None:
        """The handshake was refused: sets `retry_at` if that may change. Raises the problem if it will not."""
        # 500 of a handshake may be over with the next process; a request that crashed would crash again.
        if not problem.retryable and problem.http_status < 500:
            raise problem
        self.lost(now, problem, retry_after=problem.retry_after)

    def _event(self, body: Mapping[str, object]) -> Event | None:
        event = read_event(body)
        if event is None:
            raise StreamFaultError(f"a message that is no event: {one_line(str(body))[:80]}")
        order = self._orders.get(event.order_id.lower())
        if order is None:
            return None  # of an order that was refused before
        # Another socket may repeat what was sent on the last one while that broke.
        if order.ended or event.seq <= order.position:
            self.faults_seen.append(f"event {event.seq} of {event.order_id} came twice")
            return None
        if event.seq > order.position + 1:
            self.faults_seen.append(f"event {order.position + 1} of {event.order_id} is missing before {event.seq}")
            # Not handed out, and the position stays: the next socket is subscribed before the gap.
            raise StreamFaultError(f"event {order.position + 1} of {event.order_id} is missing")
        order.position = event.seq
        order.ended = event.final
        self._progress = True
        return event

    def _unsubscribed(self, body: Mapping[str, object]) -> None:
        order = self._orders.get(str(body.get("orderId")).lower())
        if order is None or order.ended:
            return
        last = body.get("afterSeq")
        # It ends what had ended before the subscription, so nothing may lie between the two positions.
        if type(last) is not int or last > order.position:
            raise StreamFaultError(
                f"the subscription ended after event {last}, and {order.position} was the last that came"
            )
        order.ended = True
        self._progress = True

    def _error(self, error: Mapping[str, object]) -> ClientError | None:
        code = str(error.get("code"))
        order_id = error.get("orderId")
        text = f"{one_line(code)}: {one_line(str(error.get('message')))}"
        # The service reads Postgres again by itself. An error that names an order is the answer to a cancel.
        if code in GOING_ON or code == StreamErrorCode.UNAVAILABLE:
            return None
        if (refused := KEY_REFUSED.get(code)) is not None:
            detail = one_line(str(error.get("message")))
            raise refused(Problem(code=code, status=refused.status, title="The API key is refused", detail=detail))
        if not isinstance(order_id, str):
            raise StreamFaultError(text)
        # The service does not follow it, so it is not subscribed again. The caller decides what that means.
        self._orders.pop(order_id.lower(), None)
        self._progress = True
        if code == StreamErrorCode.ORDER_NOT_FOUND:
            detail = one_line(str(error.get("message")))
            return OrderNotFoundError(
                Problem(code=code, status=404, title="No such order", detail=detail, order_id=order_id)
            )
        return StreamError(text, code=code, order_id=order_id)


class StreamFaultError(Exception):
    """The service sent what its protocol does not have, or left an event out."""


def _subscription(order_id: str, after_seq: int) -> dict[str, object]:
    return {"orderId": order_id} | ({"afterSeq": after_seq} if after_seq else {})

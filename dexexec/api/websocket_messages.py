"""Messages of clients on a WebSocket, and the answers besides events. Pure; docs/STREAM.md describes the protocol."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from uuid import UUID

import orjson

from dexexec.domain.halt import Halt
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import DexexecError
from dexexec.feed.all_events import is_position
from dexexec.observe.untrusted_text import SHOWN_NAME, masked_name

MAX_MESSAGE = 4_096
"""Largest message of a client (bytes)."""
MAX_SEQ = 2**31 - 1
"""The largest `integer` of Postgres."""
FIELDS = ("orderId", "afterSeq", "action", "events", "after", "cancel", "cancelAll", "type", "token")
AUTH = '{"type": "auth", "token": "dx_..."}'
ALL = '{"events": "all"}'


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Follow an order from `after_seq` + 1 on."""

    order_id: UUID
    after_seq: int


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Stop following it."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class SubscribeAll:
    """Follow the events of all orders behind a position (None: from now on)."""

    after: str | None


@dataclass(frozen=True, slots=True)
class UnsubscribeAll:
    """Stop following them."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an order."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class CancelAll:
    """Cancel all orders of a selection; `given` are its parameters as they were sent."""

    given: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Take the API key of this socket from here on."""

    token: str = field(repr=False)


Command = Subscribe | Unsubscribe | SubscribeAll | UnsubscribeAll | Cancel | CancelAll | Authenticate


class BadMessageError(DexexecError):
    """The message is invalid; `code` names the cause."""

    code: StreamErrorCode

    def __init__(self, code: StreamErrorCode, message: str, order_id: UUID | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.order_id = order_id


def parse(message: str | bytes) -> Command:
    """Parse a text message; bytes are a binary one. Raises BadMessageError."""
    if isinstance(message, bytes):
        raise BadMessageError(StreamErrorCode.BINARY_MESSAGE, "the message is binary: send JSON as a text message")
    if (size := len(message.encode())) > MAX_MESSAGE:
        raise BadMessageError(
            StreamErrorCode.MESSAGE_TOO_LARGE, f"the message has {size} bytes: at most {MAX_MESSAGE} are read"
        )
    try:
        value = json.loads(message, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadMessageError(StreamErrorCode.MALFORMED_MESSAGE, f"the message is not JSON: {_RIGHT}") from None
    if not isinstance(value, dict):
        raise BadMessageError(StreamErrorCode.NOT_AN_OBJECT, f"the message is not a JSON object: {_RIGHT}")
    return _read(value)


def parse_query(arguments: Mapping[str, list[bytes]]) -> Subscribe | None:
    """Parse `?orderId=...&afterSeq=...`; None without both. Other parameters are ignored. Raises BadMessageError."""
    value: dict[str, object] = {}
    for name in ("orderId", "afterSeq"):
        for given in arguments.get(name, ()):
            if name in value:
                raise BadMessageError(
                    StreamErrorCode.DUPLICATE_FIELD, f"{name} is given twice: one order in the URL, more as messages"
                )
            text = given.decode("utf-8", "replace")
            is_number = name == "afterSeq" and text.isascii() and text.isdigit() and len(text) <= 10
            value[name] = int(text) if is_number else text
    if not value:
        return None
    order_id = _read_order_id(value)
    return Subscribe(order_id, _read_after_seq(value, order_id))


def error(code: StreamErrorCode, message: str, order_id: UUID | None = None) -> bytes:
    """The message that reports an error."""
    about = {} if order_id is None else {"orderId": str(order_id)}
    return _encode({"error": {"code": code, "message": message, **about}})


def unsubscribed(order_id: UUID, seq: int) -> bytes:
    """The message that ends a subscription; `seq` is the last one delivered."""
    return _encode({"orderId": str(order_id), "unsubscribed": True, "afterSeq": seq})


def unsubscribed_all(position: str) -> bytes:
    """The message that ends the subscription to all orders; everything up to `position` was delivered."""
    return _encode({"events": "all", "unsubscribed": True, "after": position})


def reached(position: str) -> bytes:
    """The message that everything up to `position` was delivered."""
    return _encode({"position": position})


def halt_notice(halt: Halt, *, began: bool) -> bytes:
    """The message that signing is halted, or goes on, for orders that the socket may follow."""
    text = halt.detail if began else "signing goes on"
    return _encode({"notice": {"code": "halted" if began else "resumed", "message": text}})


def cancelled(order_id: UUID, seq: int) -> bytes:
    """The message that answers a cancel; `seq` is the order's last event."""
    return _encode({"orderId": str(order_id), "cancelled": True, "seq": seq})


def cancelled_all(counts: Mapping[str, object]) -> bytes:
    """The message that answers a cancel of many orders."""
    return _encode({"cancelledAll": counts})


def authenticated(name: str) -> bytes:
    """The message that answers a valid key, with the key's name."""
    return _encode({"authenticated": True, "key": name})


_RIGHT = 'send an object such as {"orderId": "..."}'


def _encode(value: object) -> bytes:
    return orjson.dumps(value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in value if names.count(name) > 1)
        raise BadMessageError(StreamErrorCode.DUPLICATE_FIELD, f"{_quoted(twice)} is given twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _read(value: Mapping[str, object]) -> Command:
    for name in value:
        if name not in FIELDS:
            raise BadMessageError(
                StreamErrorCode.UNKNOWN_FIELD, f"{_quoted(name)} is not a field: there are {', '.join(FIELDS)}"
            )
    if "type" in value or "token" in value:
        return _read_authentication(value)
    for verb in ("cancel", "cancelAll"):
        others = [name for name in value if name != verb]
        if verb in value and others:
            raise BadMessageError(
                StreamErrorCode.UNKNOWN_FIELD, f"{others[0]} has no meaning beside {verb}: leave it out"
            )
    if "cancel" in value:
        return Cancel(_read_order_id(value, "cancel"))
    if "cancelAll" in value:
        return CancelAll(_read_selection(value["cancelAll"]))
    if "events" in value:
        return _read_all(value)
    order_id = _read_order_id(value)
    if "after" in value:
        raise BadMessageError(
            StreamErrorCode.UNKNOWN_FIELD, "after has a meaning beside events only: an order has afterSeq", order_id
        )
    if _subscribes(value, order_id):
        return Subscribe(order_id, _read_after_seq(value, order_id))
    if "afterSeq" in value:
        raise BadMessageError(
            StreamErrorCode.UNKNOWN_FIELD, "afterSeq has no meaning when unsubscribing: leave it out", order_id
        )
    return Unsubscribe(order_id)


def _subscribes(value: Mapping[str, object], order_id: UUID | None = None) -> bool:
    action = value.get("action", "subscribe")
    if action in ("subscribe", "unsubscribe"):
        return action == "subscribe"
    raise BadMessageError(StreamErrorCode.INVALID_ACTION, 'action must be "subscribe" or "unsubscribe"', order_id)


def _read_all(value: Mapping[str, object]) -> SubscribeAll | UnsubscribeAll:
    if value["events"] != "all":
        raise BadMessageError(StreamErrorCode.INVALID_EVENTS, f'events must be "all", as in {ALL}')
    if others := [name for name in value if name not in {"events", "after", "action"}]:
        raise BadMessageError(StreamErrorCode.UNKNOWN_FIELD, f"{others[0]} has no meaning beside events: leave it out")
    subscribes = _subscribes(value)
    if "after" not in value:
        return SubscribeAll(None) if subscribes else UnsubscribeAll()
    if not subscribes:
        raise BadMessageError(StreamErrorCode.UNKNOWN_FIELD, "after has no meaning when unsubscribing: leave it out")
    given = value["after"]
    if not isinstance(given, str) or not is_position(given):
        raise BadMessageError(
            StreamErrorCode.INVALID_POSITION, 'after must be a position that you received, or "start": left out, now'
        )
    return SubscribeAll(given)


def _read_authentication(value: Mapping[str, object]) -> Authenticate:
    if others := [name for name in value if name not in {"type", "token"}]:
        raise BadMessageError(
            StreamErrorCode.UNKNOWN_FIELD, f"{others[0]} has no meaning beside type and token: send it afterwards"
        )
    if value.get("type") != "auth":
        raise BadMessageError(StreamErrorCode.INVALID_ACTION, f'type must be "auth", as in {AUTH}')
    token = value.get("token")
    if not isinstance(token, str):
        raise BadMessageError(StreamErrorCode.MISSING_FIELD, f"token is missing or no string: send {AUTH}")
    return Authenticate(token)


def _read_order_id(value: Mapping[str, object], name: str = "orderId") -> UUID:
    if name not in value:
        raise BadMessageError(StreamErrorCode.MISSING_FIELD, "orderId is missing: it names the order")
    given = value[name]
    if isinstance(given, str) and len(given) == 36 and given.isascii():
        try:
            order_id = UUID(given)
        except ValueError:
            pass
        else:
            if str(order_id) == given.lower():
                return order_id
    raise BadMessageError(
        StreamErrorCode.INVALID_ORDER_ID, f"{name} must be a string such as 01234567-89ab-cdef-0123-456789abcdef"
    )


def _read_selection(given: object) -> Mapping[str, object]:
    if isinstance(given, dict):
        return given
    raise BadMessageError(
        StreamErrorCode.INVALID_SELECTION, 'cancelAll must be an object such as {"status": "waiting"}'
    )


def _read_after_seq(value: Mapping[str, object], order_id: UUID) -> int:
    given = value.get("afterSeq", 0)
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= MAX_SEQ:
        return given
    raise BadMessageError(
        StreamErrorCode.INVALID_AFTER_SEQ, f"afterSeq must be an integer from 0 to {MAX_SEQ}", order_id
    )


def _quoted(name: str) -> str:
    return json.dumps(masked_name(name) + ("..." if len(name) > SHOWN_NAME else ""))

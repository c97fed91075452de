"""The AsyncAPI document (3.0): the messages of the WebSocket on `/api/orders/execute`, in both directions."""

from collections.abc import Mapping
from functools import cache

from dexexec import __version__
from dexexec.api import cancel_selection
from dexexec.api.contract.history_answers import Event
from dexexec.api.contract.openapi import REF, answer_schemas
from dexexec.api.contract.stream_answers import (
    AllUnsubscribed,
    Authenticated,
    Notice,
    OrderCancelled,
    OrdersCancelled,
    Reached,
    StreamError,
    Unsubscribed,
)
from dexexec.api.front_page import EXECUTE
from dexexec.api.websocket_messages import MAX_MESSAGE, MAX_SEQ
from dexexec.api.websocket_registry import CloseCode
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.intake.field_types import Schema

_ID = "01a20375-9296-7c99-b5c0-eef1ea8717b4"
_ORDER_ID: Schema = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "description": "The `orderId` that posting the order answered.",
}
POSITION = "1a2b3c-9f86d081884c7d65"
POSITION_SCHEMA: Schema = {
    "type": "string",
    "pattern": "^(start|0|[0-9a-f]{1,15}-[0-9a-f]{16})$",
    "description": "A `position` that the service has sent; `start`: all events that are kept. Left out: from now on.",
}
# A client that repeats what it has seen misses nothing and gets nothing twice.
_AFTER_SEQ: Schema = {
    "type": "integer",
    "minimum": 0,
    "maximum": MAX_SEQ,
    "default": 0,
    "description": "The last `seq` that the client has: events from the next one on are sent.",
}
CLOSE_CODES: Mapping[int, str] = {
    CloseCode.GOING_AWAY: "This process is stopping: connect again, and subscribe with the last `seq` as `afterSeq`.",
    # These are of the protocol itself: `websocket_connection` closes with them.
    1002: "The client broke the WebSocket protocol.",
    1007: "A text is not UTF-8.",
    CloseCode.POLICY_VIOLATION: "Too many messages: slow down, then connect again and resume.",
    1009: "A message over 64 KiB.",
    CloseCode.INTERNAL_ERROR: "An error of the service: connect again and resume.",
    CloseCode.UNAUTHORIZED: "No valid API key came in time, or it has ended: connect again with a valid one.",
    CloseCode.RESUME: "The client reads too slowly, or was silent: connect again and resume.",
}
ERRORS: Mapping[StreamErrorCode, str] = {
    StreamErrorCode.BINARY_MESSAGE: "the message is binary: send JSON as a text message",
    StreamErrorCode.MESSAGE_TOO_LARGE: f"the message has 5000 bytes: at most {MAX_MESSAGE} are read",
    StreamErrorCode.MALFORMED_MESSAGE: "the message is not JSON",
    StreamErrorCode.NOT_AN_OBJECT: "the message is not a JSON object",
    StreamErrorCode.UNKNOWN_FIELD: '"order" is not a field',
    StreamErrorCode.MISSING_FIELD: "orderId is missing: it names the order",
    StreamErrorCode.DUPLICATE_FIELD: '"orderId" is given twice',
    StreamErrorCode.INVALID_ORDER_ID: "orderId must be a string such as 01234567-89ab-cdef-0123-456789abcdef",
    StreamErrorCode.INVALID_AFTER_SEQ: f"afterSeq must be an integer from 0 to {MAX_SEQ}",
    StreamErrorCode.INVALID_ACTION: 'action must be "subscribe" or "unsubscribe"',
    StreamErrorCode.INVALID_SELECTION: 'status is missing: "waiting" or "open"',
    StreamErrorCode.INVALID_EVENTS: 'events must be "all", as in {"events": "all"}',
    StreamErrorCode.INVALID_POSITION: 'after must be a position that you received, or "start": left out, now',
    StreamErrorCode.POSITION_UNKNOWN: "events behind this position were moved to the archive: read the orders anew",
    StreamErrorCode.ALREADY_SUBSCRIBED: "this socket follows the order already, and goes on",
    StreamErrorCode.NOT_SUBSCRIBED: "this socket does not follow the order",
    StreamErrorCode.TOO_MANY_ORDERS: "one socket may follow 10000 orders: unsubscribe, or open another",
    StreamErrorCode.ORDER_NOT_FOUND: "there is no such order",
    StreamErrorCode.AFTER_SEQ_AHEAD: "the order has no event of that seq yet",
    StreamErrorCode.TOO_LATE: "attempt 1 is signed (open): the order goes on",
    StreamErrorCode.UNAUTHORIZED: "the first message must be your key",
    StreamErrorCode.SCOPE_MISSING: "this key lacks the scope trade: it has read",
    StreamErrorCode.UNAVAILABLE: "orders cannot be read now: subscriptions stand, and go on by themselves",
    StreamErrorCode.FLOODING: "flooding: at most 200 messages per second",
}
"""An example of the text of each error."""


def _object(properties: Mapping[str, object], *required: str) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def client_messages() -> Mapping[str, Schema]:
    """What a client may send. The first field that is required tells the messages apart."""
    # Their rules are those of the query, and not written again.
    selection = {parameter.name: parameter.schema for parameter in cancel_selection.PARAMETERS}
    return {
        "subscribe": _message(
            "Follow an order: its history from `afterSeq` on first, then new events.",
            _object({"orderId": _ORDER_ID, "afterSeq": _AFTER_SEQ, "action": {"const": "subscribe"}}, "orderId"),
            {"orderId": _ID},
            {"orderId": _ID, "afterSeq": 4},
        ),
        "unsubscribe": _message(
            "Stop following an order.",
            _object({"orderId": _ORDER_ID, "action": {"const": "unsubscribe"}}, "orderId", "action"),
            {"orderId": _ID, "action": "unsubscribe"},
        ),
        "subscribeAll": _message(
            "Follow the events of all orders behind a position, or from now on.",
            _object({"events": {"const": "all"}, "after": POSITION_SCHEMA, "action": {"const": "subscribe"}}, "events"),
            {"events": "all"},
            {"events": "all", "after": POSITION},
        ),
        "unsubscribeAll": _message(
            "Stop following the events of all orders.",
            _object({"events": {"const": "all"}, "action": {"const": "unsubscribe"}}, "events", "action"),
            {"events": "all", "action": "unsubscribe"},
        ),
        "cancel": _message(
            "Cancel an order, which need not be followed.",
            _object({"cancel": _ORDER_ID}, "cancel"),
            {"cancel": _ID},
        ),
        "cancelAll": _message(
            "Cancel many orders, with the parameters of `DELETE /api/orders`.",
            _object({"cancelAll": _object(selection, cancel_selection.STATUS.name)}, "cancelAll"),
            {"cancelAll": {"status": "waiting"}},
        ),
        "authenticate": _message(
            "Show the API key, where the headers of the handshake have none. It must be the first message then.",
            _object({"type": {"const": "auth"}, "token": {"type": "string"}}, "type", "token"),
            {"type": "auth", "token": "dx_..."},
        ),
    }


def server_messages() -> Mapping[str, Schema]:
    """What the service may send. Their fields show which one it is."""
    event = {"orderId": _ID, "seq": 1, "status": "pending", "at": "2026-01-31T12:00:00.123Z", "final": False}
    return {
        "event": _message("An event has `seq` and `status`.", {"$ref": f"{REF}Event"}, event),
        "unsubscribed": _message(
            "The end of a subscription: the answer to an unsubscribe, or nothing follows.",
            {"$ref": f"{REF}Unsubscribed"},
            {"orderId": _ID, "unsubscribed": True, "afterSeq": 5},
        ),
        "reached": _message(
            "All events up to this position were sent. Store it: another socket goes on from there.",
            {"$ref": f"{REF}Reached"},
            {"position": POSITION},
        ),
        "unsubscribedAll": _message(
            "The end of the subscription to all events.",
            {"$ref": f"{REF}AllUnsubscribed"},
            {"events": "all", "unsubscribed": True, "after": POSITION},
        ),
        "cancelled": _message(
            "The answer to a cancel.",
            {"$ref": f"{REF}OrderCancelled"},
            {"orderId": _ID, "cancelled": True, "seq": 2},
        ),
        "cancelledAll": _message(
            "The answer to a cancel of many orders.",
            {"$ref": f"{REF}OrdersCancelled"},
            {"cancelledAll": {"cancelled": 12, "tooLate": 0}},
        ),
        "authenticated": _message(
            "The answer to a valid key that came in a message, with the key's name.",
            {"$ref": f"{REF}Authenticated"},
            {"authenticated": True, "key": "desk"},
        ),
        "notice": _message(
            "Signing is halted, or goes on. Orders wait meanwhile.",
            {"$ref": f"{REF}Notice"},
            {"notice": {"code": "halted", "message": "signing is halted"}},
        ),
        "error": _message(
            "The answer to a bad message, or trouble of a subscription. No error but `flooding` and `unauthorized`"
            " ends the socket.",
            {"$ref": f"{REF}StreamError"},
            *({"error": {"code": code.value, "message": text}} for code, text in ERRORS.items()),
        ),
    }


@cache
def asyncapi() -> Mapping[str, object]:
    """The document. It is the same in every process of a version."""
    received, sent = client_messages(), server_messages()
    models = (
        Event,
        Unsubscribed,
        Reached,
        AllUnsubscribed,
        OrderCancelled,
        OrdersCancelled,
        Authenticated,
        Notice,
        StreamError,
    )
    channel = "#/channels/orders"
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "dexexec: the event stream",
            "version": __version__,
            "description": "Follow orders on a WebSocket. Store the last `seq` of each order: when the socket ends,"
            " with any close code, connect again and subscribe with that `afterSeq`. Close codes: "
            + "; ".join(f"{int(code)}: {text}" for code, text in CLOSE_CODES.items()),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:3000", "protocol": "ws", "description": "The default address."}},
        "channels": {
            "orders": {
                "address": EXECUTE,
                "description": "One socket may follow many orders. Messages are JSON objects in text frames.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (*received, *sent)},
                "bindings": {
                    "ws": {
                        "method": "GET",
                        "query": {
                            "type": "object",
                            "description": "The first subscription.",
                            "properties": {"orderId": _ORDER_ID, "afterSeq": _AFTER_SEQ},
                        },
                    }
                },
            }
        },
        "operations": {
            "receiveMessages": {
                "action": "receive",
                "channel": {"$ref": channel},
                "summary": "What the service takes from a client.",
                "messages": [{"$ref": f"{channel}/messages/{name}"} for name in received],
            },
            "sendMessages": {
                "action": "send",
                "channel": {"$ref": channel},
                "summary": "What the service sends to a client.",
                "messages": [{"$ref": f"{channel}/messages/{name}"} for name in sent],
            },
        },
        "components": {"messages": {**received, **sent}, "schemas": answer_schemas(models)},
    }


def _message(summary: str, payload: Schema, *examples: Mapping[str, object]) -> Schema:
    return {"summary": summary, "payload": payload, "examples": [{"payload": example} for example in examples]}

"""Why a WebSocket message or subscription was refused: the documented error codes of the stream."""

from enum import StrEnum


class StreamErrorCode(StrEnum):
    """The `error.code` of a message to the client. docs/STREAM.md explains each."""

    # The message cannot be read.
    BINARY_MESSAGE = "binary-message"
    MESSAGE_TOO_LARGE = "message-too-large"
    MALFORMED_MESSAGE = "malformed-message"
    NOT_AN_OBJECT = "not-an-object"
    # A field is wrong.
    UNKNOWN_FIELD = "unknown-field"
    MISSING_FIELD = "missing-field"
    DUPLICATE_FIELD = "duplicate-field"
    INVALID_ORDER_ID = "invalid-order-id"
    INVALID_AFTER_SEQ = "invalid-after-seq"
    INVALID_ACTION = "invalid-action"
    INVALID_SELECTION = "invalid-selection"
    INVALID_EVENTS = "invalid-events"
    INVALID_POSITION = "invalid-position"
    # The subscription is not possible.
    ALREADY_SUBSCRIBED = "already-subscribed"
    NOT_SUBSCRIBED = "not-subscribed"
    TOO_MANY_ORDERS = "too-many-orders"
    ORDER_NOT_FOUND = "order-not-found"
    AFTER_SEQ_AHEAD = "after-seq-ahead"
    POSITION_UNKNOWN = "position-unknown"
    # The order cannot be cancelled.
    TOO_LATE = "too-late"
    # The key.
    UNAUTHORIZED = "unauthorized"
    SCOPE_MISSING = "scope-missing"
    # The connection.
    UNAVAILABLE = "unavailable"
    FLOODING = "flooding"

"""The messages of the service on a WebSocket, besides events."""

from typing import Annotated, Literal

from pydantic import Field

from dexexec.api.contract.answer import EXTENSIBLE, Answer, Count, OrderId, absent
from dexexec.api.contract.command_answers import CancelledAll
from dexexec.domain.stream_error import StreamErrorCode


class Unsubscribed(Answer):
    """The end of a subscription. `afterSeq` is the last event that was sent."""

    order_id: OrderId
    unsubscribed: Literal[True]
    after_seq: Count


class Reached(Answer):
    """Everything up to this position was sent: a subscription to all events goes on from there."""

    position: str


class AllUnsubscribed(Answer):
    """The end of the subscription to all events. `after` is the position that was reached."""

    events: Literal["all"]
    unsubscribed: Literal[True]
    after: str


class OrderCancelled(Answer):
    """The order is cancelled. `seq` is its last event."""

    order_id: OrderId
    cancelled: Literal[True]
    seq: Count


class OrdersCancelled(Answer):
    """Many orders are cancelled."""

    cancelled_all: CancelledAll


class Authenticated(Answer):
    """The key of a message is valid. `key` is its name; empty where the service knows no keys."""

    authenticated: Literal[True]
    key: str


class NoticeOfHalt(Answer):
    """Signing is halted for orders that the socket may follow, or goes on."""

    code: Annotated[Literal["halted", "resumed"], Field(json_schema_extra=EXTENSIBLE)]
    message: str


class Notice(Answer):
    """News that concern no single order."""

    notice: NoticeOfHalt


class ErrorOfMessage(Answer):
    """`code` is stable, `message` is for people."""

    code: Annotated[StreamErrorCode, Field(json_schema_extra=EXTENSIBLE)]
    message: str
    order_id: OrderId = absent("The order that it concerns.")


class StreamError(Answer):
    """An error on a WebSocket."""

    error: ErrorOfMessage

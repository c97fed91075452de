"""The answers to what changes an order, and its explanation."""

from typing import Literal

from pydantic import Field, JsonValue

from dexexec.api.contract.answer import (
    Answer,
    Count,
    Milliseconds,
    OrderId,
    Timestamp,
    absent,
)
from dexexec.api.contract.cost_answers import OrderCost
from dexexec.api.contract.order_answers import OrderSummaryPart
from dexexec.api.explanation import Topic
from dexexec.domain.status import Status


class Posted(Answer):
    """The order is committed, and will be executed."""

    order_id: OrderId
    dry_run: Literal[True] = absent("The order is only simulated.")


class Checked(Answer):
    """Whether an order would be accepted: as `order`, or refused with `problem`."""

    ok: bool
    order: OrderSummaryPart = absent("Only what is certain without a quote.")
    problem: dict[str, JsonValue] = absent("The document that posting the order would answer.")


class Change(Answer):
    """A field before and after."""

    from_: JsonValue = Field(alias="from")
    to: JsonValue


class Amended(Answer):
    """The order rests with the new values."""

    order_id: OrderId
    status: Literal[Status.WAITING]
    seq: Count
    changed: dict[str, Change]


class Cancelled(Answer):
    """The order will never be swapped."""

    order_id: OrderId
    status: Literal[Status.CANCELLED]
    seq: Count


class Signed(Answer):
    """The signature is kept; the service lands the transaction as this attempt."""

    order_id: OrderId
    attempt: Count


class CancelledAll(Answer):
    """How many orders were cancelled, and for how many it was too late."""

    cancelled: Count
    too_late: Count


class Stage(Answer):
    """A status and how long it lasted."""

    status: Status
    at: Timestamp
    ms: Milliseconds | None


class Sentence(Answer):
    """A sentence for people, and its figures for programs."""

    at: Timestamp
    after_ms: int
    topic: Topic
    text: str
    figures: dict[str, JsonValue]


class Explanation(Answer):
    """What happened to an order, and what to do now."""

    order_id: OrderId
    status: Status
    summary: str
    advice: str | None
    stages: list[Stage]
    cost: OrderCost
    sentences: list[Sentence]

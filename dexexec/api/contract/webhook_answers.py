"""Webhooks and their deliveries."""

from typing import Literal

from dexexec.api.contract.answer import Answer, Count, OrderId, Timestamp, absent
from dexexec.domain.status import Status
from dexexec.domain.webhook import DeliveryState


class Webhook(Answer):
    """An address to which events are sent."""

    id: str
    name: str
    url: str
    all_orders: bool
    """It gets the events of the orders of all keys."""
    statuses: list[Status] | None
    """Only events with these; null: all."""
    created_at: Timestamp
    enabled: bool
    disabled_at: Timestamp | None
    disabled_why: str | None
    failing_since: Timestamp | None
    """Every try since then failed."""
    former_secret_until: Timestamp | None
    """Until then the secret before the last rotation signs as well."""
    waiting: Count
    """Deliveries that wait, counted up to 10,000."""
    failed: Count
    secret: str = absent("What signs its messages. Only making and rotating it answer this.")


class Webhooks(Answer):
    """The webhooks of a key, the oldest first."""

    webhooks: list[Webhook]


class Removed(Answer):
    """The webhook is removed with its deliveries."""

    id: str
    removed: Literal[True]


class Delivery(Answer):
    """One event on its way to one webhook."""

    id: Count
    message_id: str
    """The header `webhook-id`, the same in each try."""
    type: str
    order_id: OrderId | None
    """Null for a test message."""
    seq: Count | None
    state: DeliveryState
    tries: Count
    planned_at: Timestamp
    next_at: Timestamp | None
    ended_at: Timestamp | None
    answer: str | None
    """The last try in words."""


class Deliveries(Answer):
    """A page of deliveries, the newest first."""

    deliveries: list[Delivery]
    next: Count | None
    """`before` of the next page; null on the last."""


class Resent(Answer):
    """How many deliveries wait again."""

    resent: Count


class Replayed(Answer):
    """How many events are sent again; null: all behind the position."""

    events: Count | None

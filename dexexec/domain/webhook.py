"""Webhooks: addresses of clients to which events are sent, and the deliveries of single events."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from dexexec.domain.event import Event, timestamp
from dexexec.domain.status import Status

MOST_WEBHOOKS = 20
"""Of one key. Each may have several requests in flight."""
TEST = "webhook.test"
"""The type of the message that a client requests to try its endpoint."""
MOST_COUNTED = 10_000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class DeliveryState(StrEnum):
    """What became of a delivery. Only a resend changes one that has ended."""

    WAITING = "waiting"  # to be tried, for the first time or again
    DELIVERED = "delivered"  # the target answered with 2xx
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """A webhook as it is made. `owner` is its key's number (None: of no key), `all_orders` whether it gets events of
    the orders of all keys, and empty `statuses` mean all."""

    id: UUID
    owner: int | None
    all_orders: bool
    name: str
    url: str = field(repr=False)
    statuses: frozenset[Status]
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChange:
    """What a client changes; None: as it is."""

    url: str | None = field(default=None, repr=False)
    statuses: frozenset[Status] | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook as its owner sees it. The counts are of deliveries, up to `MOST_COUNTED`."""

    id: UUID
    owner: int | None
    all_orders: bool
    name: str
    url: str = field(repr=False)
    statuses: frozenset[Status]
    created_at: datetime
    disabled_at: datetime | None = None
    disabled_why: str = ""
    failing_since: datetime | None = None
    """Every try since then failed."""
    former_secret_until: datetime | None = None
    """Until then the secret before the last rotation signs as well."""
    waiting: int = 0
    failed: int = 0

    @property
    def host(self) -> str:
        """For logs: the rest of the URL may be a secret."""
        return host_of(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook. `answer` is the last try in words. `ended_at` is when it was delivered or
    given up."""

    id: int
    webhook: UUID
    order_id: UUID
    seq: int
    type: str
    state: DeliveryState
    tries: int
    planned_at: datetime
    next_at: datetime | None = None
    ended_at: datetime | None = None
    answer: str = ""

    @property
    def message_id(self) -> str:
        """The header `webhook-id`, the same in each try."""
        return message_id(self.webhook, self.order_id, self.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that this process tries now, with what it needs for that. `tries` counts this one too, and `failures`
    the failed tries of the whole webhook since its last success. `lease` proves the claim."""

    id: int
    webhook: UUID
    name: str
    owner: int | None
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    order_id: UUID
    seq: int
    type: str
    payload: str = field(repr=False)
    tries: int
    failures: int
    lease: str = field(repr=False)

    @property
    def is_test(self) -> bool:
        """Whether it is about no event: it does not count for the webhook."""
        return self.type == TEST

    @property
    def message_id(self) -> str:
        """The header `webhook-id`, the same in each try."""
        return message_id(self.webhook, self.order_id, self.seq)

    @property
    def host(self) -> str:
        """For logs: the rest of the URL may be a secret."""
        return host_of(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDelivery:
    """An event that is to be sent to `webhooks`."""

    webhooks: tuple[UUID, ...]
    order_id: UUID
    seq: int
    type: str
    payload: str = field(repr=False)


def message_id(webhook: UUID, order_id: UUID, seq: int) -> str:
    """The id of a message: one for each webhook, order and `seq`. It holds no full stop, which separates the parts of
    the text that is signed."""
    return f"msg_{webhook.hex}_{order_id.hex}_{seq}"


def type_of(status: Status) -> str:
    """The type of the message about an event with this status."""
    return f"order.{status}"


def body_of(event: Event) -> str:
    """The body of the message: the event exactly as the stream has it, with its type and time."""
    return f'{{"type":"{type_of(event.status)}","timestamp":"{timestamp(event.at)}","data":{event.encode().decode()}}}'


def body_of_test(name: str, at: datetime) -> str:
    """The body of a test message."""
    return orjson.dumps({"type": TEST, "timestamp": timestamp(at), "data": {"webhook": name}}).decode()


def check_name(text: str) -> str:
    """Raises `ValueError` with a sentence for an invalid name."""
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 40 of a-z, 0-9 and -, and begin with a letter or a digit")
    return text


def host_of(url: str) -> str:
    """The host of a URL that was checked before it was stored."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""

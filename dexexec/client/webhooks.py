"""Webhooks over the client: made, changed and removed, with their deliveries read and sent again (docs/WEBHOOKS.md)."""

from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from dexexec.client.fields import (
    Json,
    flag_of,
    integer_of,
    objects_of,
    optional_integer,
    optional_text,
    optional_time,
    text_of,
)
from dexexec.client.order_body import encode, query_text
from dexexec.client.requests import Sending
from dexexec.client.service_url import path_part
from dexexec.domain.status import Status
from dexexec.domain.webhook import DeliveryState

T = TypeVar("T")
PATH = "/api/webhooks"
JSON = {"Content-Type": "application/json"}


class Run(Protocol):
    """Runs a coroutine and waits for its result (`Client.run`)."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address to which events are sent. `statuses` None means all. Only `add` and `rotate` return the `secret` that
    verifies its messages. `waiting` and `failed` count deliveries, up to 10,000."""

    id: str
    name: str
    url: str = field(repr=False)
    statuses: Sequence[str] | None
    all_orders: bool
    enabled: bool
    disabled_why: str | None
    failing_since: datetime | None
    waiting: int
    failed: int
    secret: str | None = field(repr=False)
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook. `answer` is the last try in words. A test message has no order."""

    id: int
    message_id: str
    type: str
    order_id: str | None
    seq: int | None
    state: str
    tries: int
    next_at: datetime | None
    ended_at: datetime | None
    answer: str | None
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """A page of deliveries, newest first. `next` is the `before` of the next one; None on the last."""

    deliveries: Sequence[Delivery]
    next: int | None


class AsyncWebhooks:
    """The webhooks of the client's key: `AsyncClient.webhooks`. All methods need the scope `trade`."""

    def __init__(self, send: Sending) -> None:
        self._send = send

    async def add(
        self,
        name: str,
        url: str,
        *,
        statuses: Collection[Status | str] | None = None,
        all_orders: bool | None = None,
        timeout: float | None = None,
    ) -> Webhook:
        """Make a webhook; it gets each event that is committed after this has returned. Its `secret` is returned only
        here, so the request is not sent again after a lost answer: `NoAnswerError.uncertain` is true then."""
        body = {"name": name, "url": url, "statuses": _listed(statuses), "allOrders": all_orders}
        return webhook_of(await self._post(PATH, body, timeout, once=True))

    async def list(self, *, timeout: float | None = None) -> Sequence[Webhook]:
        """All of them, oldest first."""
        answer, _ = await self._send("GET", PATH, timeout=timeout)
        return [webhook_of(webhook) for webhook in objects_of(answer, "webhooks")]

    async def get(self, webhook_id: str, *, timeout: float | None = None) -> Webhook:
        """One webhook. Raises `WebhookNotFoundError`."""
        return webhook_of((await self._send("GET", _path(webhook_id), timeout=timeout))[0])

    async def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        statuses: Collection[Status | str] | None = None,
        enabled: bool | None = None,
        timeout: float | None = None,
    ) -> Webhook:
        """Change what is given. Enabled again, it gets what waited and what happens from then on."""
        body = _given({"url": url, "statuses": _listed(statuses), "enabled": enabled})
        answer, _ = await self._send("PATCH", _path(webhook_id), headers=JSON, body=encode(body), timeout=timeout)
        return webhook_of(answer)

    async def remove(self, webhook_id: str, *, timeout: float | None = None) -> None:
        """Remove a webhook with its deliveries. A removal whose answer was lost may raise `WebhookNotFoundError`."""
        await self._send("DELETE", _path(webhook_id), timeout=timeout)

    async def rotate(self, webhook_id: str, *, keep: timedelta | None = None, timeout: float | None = None) -> Webhook:
        """Make another secret. The former one signs beside it for `keep` (a day). It is not sent again after a lost
        answer: the secret that you have would not sign any more."""
        body = {"keepSeconds": None if keep is None else round(keep.total_seconds())}
        return webhook_of(await self._post(f"{_path(webhook_id)}/rotate", body, timeout, once=True))

    async def test(self, webhook_id: str, *, timeout: float | None = None) -> Delivery:
        """Send a test message, once. `deliveries` shows what became of it."""
        return delivery_of(await self._post(f"{_path(webhook_id)}/test", None, timeout))

    async def deliveries(
        self,
        webhook_id: str,
        *,
        state: DeliveryState | str | None = None,
        limit: int | None = None,
        before: int | None = None,
        timeout: float | None = None,
    ) -> DeliveryPage:
        """A page of deliveries, newest first, those of one state or all."""
        query = query_text({"state": state, "limit": limit, "before": before})
        answer, _ = await self._send("GET", f"{_path(webhook_id)}/deliveries", query=query, timeout=timeout)
        return DeliveryPage(
            deliveries=[delivery_of(delivery) for delivery in objects_of(answer, "deliveries")],
            next=optional_integer(answer, "next"),
        )

    async def resend(
        self, webhook_id: str, deliveries: Collection[int] | None = None, *, timeout: float | None = None
    ) -> int:
        """Send deliveries that have ended again: those given by their `id`, or all that failed. Returns how many."""
        body = {"deliveries": None if deliveries is None else [*deliveries]}
        return integer_of(await self._post(f"{_path(webhook_id)}/resend", body, timeout), "resent")

    async def replay_order(
        self, webhook_id: str, order_id: str, *, from_seq: int = 1, timeout: float | None = None
    ) -> int:
        """Send the events of an order from `from_seq` on, also those that were delivered. Returns how many."""
        body = {"orderId": order_id, "fromSeq": from_seq}
        return integer_of(await self._post(f"{_path(webhook_id)}/replay", body, timeout), "events")

    async def replay_after(self, webhook_id: str, position: str, *, timeout: float | None = None) -> None:
        """Send all events behind a position of the stream (`AllEventStream.position`). Raises
        `PositionUnknownError`."""
        await self._post(f"{_path(webhook_id)}/replay", {"after": position}, timeout)

    async def _post(
        self, path: str, body: Mapping[str, object] | None, timeout: float | None, *, once: bool = False
    ) -> Json:
        if body is None:
            return (await self._send("POST", path, timeout=timeout, once=once))[0]
        encoded = encode(_given(body))
        return (await self._send("POST", path, headers=JSON, body=encoded, timeout=timeout, once=once))[0]


class Webhooks:
    """The webhooks of the blocking client: `Client.webhooks`. `run` runs a coroutine and waits for its result."""

    def __init__(self, webhooks: AsyncWebhooks, run: Run) -> None:
        self._webhooks = webhooks
        self._run = run

    def add(
        self,
        name: str,
        url: str,
        *,
        statuses: Collection[Status | str] | None = None,
        all_orders: bool | None = None,
        timeout: float | None = None,
    ) -> Webhook:
        """As `AsyncWebhooks.add`."""
        return self._run(self._webhooks.add(name, url, statuses=statuses, all_orders=all_orders, timeout=timeout))

    def list(self, *, timeout: float | None = None) -> Sequence[Webhook]:
        """As `AsyncWebhooks.list`."""
        return self._run(self._webhooks.list(timeout=timeout))

    def get(self, webhook_id: str, *, timeout: float | None = None) -> Webhook:
        """As `AsyncWebhooks.get`."""
        return self._run(self._webhooks.get(webhook_id, timeout=timeout))

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        statuses: Collection[Status | str] | None = None,
        enabled: bool | None = None,
        timeout: float | None = None,
    ) -> Webhook:
        """As `AsyncWebhooks.change`."""
        return self._run(
            self._webhooks.change(webhook_id, url=url, statuses=statuses, enabled=enabled, timeout=timeout)
        )

    def remove(self, webhook_id: str, *, timeout: float | None = None) -> None:
        """As `AsyncWebhooks.remove`."""
        self._run(self._webhooks.remove(webhook_id, timeout=timeout))

    def rotate(self, webhook_id: str, *, keep: timedelta | None = None, timeout: float | None = None) -> Webhook:
        """As `AsyncWebhooks.rotate`."""
        return self._run(self._webhooks.rotate(webhook_id, keep=keep, timeout=timeout))

    def test(self, webhook_id: str, *, timeout: float | None = None) -> Delivery:
        """As `AsyncWebhooks.test`."""
        return self._run(self._webhooks.test(webhook_id, timeout=timeout))

    def deliveries(
        self,
        webhook_id: str,
        *,
        state: DeliveryState | str | None = None,
        limit: int | None = None,
        before: int | None = None,
        timeout: float | None = None,
    ) -> DeliveryPage:
        """As `AsyncWebhooks.deliveries`."""
        return self._run(
            self._webhooks.deliveries(webhook_id, state=state, limit=limit, before=before, timeout=timeout)
        )

    def resend(
        self, webhook_id: str, deliveries: Collection[int] | None = None, *, timeout: float | None = None
    ) -> int:
        """As `AsyncWebhooks.resend`."""
        return self._run(self._webhooks.resend(webhook_id, deliveries, timeout=timeout))

    def replay_order(self, webhook_id: str, order_id: str, *, from_seq: int = 1, timeout: float | None = None) -> int:
        """As `AsyncWebhooks.replay_order`."""
        return self._run(self._webhooks.replay_order(webhook_id, order_id, from_seq=from_seq, timeout=timeout))

    def replay_after(self, webhook_id: str, position: str, *, timeout: float | None = None) -> None:
        """As `AsyncWebhooks.replay_after`."""
        self._run(self._webhooks.replay_after(webhook_id, position, timeout=timeout))


def webhook_of(body: Json) -> Webhook:
    """A webhook."""
    statuses = body.get("statuses")
    return Webhook(
        id=text_of(body, "id"),
        name=text_of(body, "name"),
        url=text_of(body, "url"),
        statuses=[str(status) for status in statuses] if isinstance(statuses, list) else None,
        all_orders=flag_of(body, "allOrders"),
        enabled=flag_of(body, "enabled"),
        disabled_why=optional_text(body, "disabledWhy"),
        failing_since=optional_time(body, "failingSince"),
        waiting=integer_of(body, "waiting"),
        failed=integer_of(body, "failed"),
        secret=optional_text(body, "secret"),
        data=body,
    )


def delivery_of(body: Json) -> Delivery:
    """A delivery."""
    return Delivery(
        id=integer_of(body, "id"),
        message_id=text_of(body, "messageId"),
        type=text_of(body, "type"),
        order_id=optional_text(body, "orderId"),
        seq=optional_integer(body, "seq"),
        state=text_of(body, "state"),
        tries=integer_of(body, "tries"),
        next_at=optional_time(body, "nextAt"),
        ended_at=optional_time(body, "endedAt"),
        answer=optional_text(body, "answer"),
        data=body,
    )


def _path(webhook_id: str) -> str:
    return f"{PATH}/{path_part(webhook_id)}"


def _listed(statuses: Collection[Status | str] | None) -> Sequence[str] | None:
    return None if statuses is None else [str(status) for status in statuses]


def _given(body: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in body.items() if value is not None}

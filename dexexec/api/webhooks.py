"""Webhooks over HTTP: making, changing and removing them, their deliveries, resending and replaying."""

import os
from typing import ClassVar
from uuid import UUID

from dexexec.api import webhook_body
from dexexec.api.handler import ApiHandler
from dexexec.api.orders import NO_ORDER, read_order_id
from dexexec.api.query import BadValueError, Parameter, Query
from dexexec.api.webhook_json import delivery_json, webhook_json
from dexexec.domain.api_key import Scope
from dexexec.domain.uuid7 import RANDOM_BYTES, uuid7
from dexexec.domain.webhook import DeliveryState, NewWebhook, Webhook, WebhookChange
from dexexec.errors import FieldProblem, OrderNotFoundError
from dexexec.intake.order_body import require_json
from dexexec.store import InvalidPositionError
from dexexec.webhook_errors import InvalidWebhookError, WebhookNotFoundError
from dexexec.webhooks.signing import SECRET_BYTES, new_secret

MOST_DELIVERIES = 100
NO_WEBHOOK = "the path names no webhook of yours: GET /api/webhooks lists them"


def _parse_state(text: str) -> DeliveryState:
    known = {state.value: state for state in DeliveryState}
    if text not in known:
        raise BadValueError("is not a state")
    return known[text]


def _parse_before(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadValueError("is not the id of a delivery")
    return int(text)


def _parse_limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= MOST_DELIVERIES):
        raise BadValueError("is not a usable limit")
    return int(text)


STATE: Parameter[DeliveryState | None] = Parameter(
    name="state",
    description="Only deliveries in this state.",
    rule={"type": "string", "enum": list(DeliveryState)},
    expected=f"one of {', '.join(DeliveryState)}",
    parse=_parse_state,
)
BEFORE: Parameter[int | None] = Parameter(
    name="before",
    description="Only deliveries older than this one, by its `id`: `next` of the page before.",
    rule={"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    expected="`next` of an answer",
    parse=_parse_before,
)
LIMIT = Parameter(
    name="limit",
    description="How many deliveries a page has at most.",
    rule={"type": "integer", "minimum": 1, "maximum": MOST_DELIVERIES, "default": MOST_DELIVERIES},
    expected=f"an integer from 1 to {MOST_DELIVERIES}",
    parse=_parse_limit,
)
PARAMETERS = (STATE, BEFORE, LIMIT)


class WebhookRoute(ApiHandler):
    """Base of the routes of webhooks. A key that only reads sees none: a URL may be a secret."""

    scope: ClassVar[Scope] = Scope.TRADE

    def body(self) -> bytes:
        """The body, which is JSON if there is any. Raises `UnsupportedMediaTypeError`."""
        if self.request.body:
            require_json(self.request.headers.get("Content-Type"), self.request.headers.get("Content-Encoding"))
        return self.request.body

    def found(self, webhook: Webhook | None) -> Webhook:
        """The webhook. Raises `WebhookNotFoundError` for None."""
        if webhook is None:
            raise WebhookNotFoundError(NO_WEBHOOK)
        return webhook


class WebhooksHandler(WebhookRoute):
    """`GET` and `POST /api/webhooks`."""

    async def get(self) -> None:
        """All webhooks of the key, the oldest first."""
        Query(self.request.query_arguments, (), "is not a parameter of this list").check()
        async with self.reading(self.api.details):
            webhooks = await self.api.webhooks.webhooks(self.caller.sees)
        self.answer({"webhooks": [webhook_json(webhook) for webhook in webhooks]})

    head = get

    async def post(self) -> None:
        """201 with the webhook and its secret, which no other answer has."""
        given = webhook_body.read_new(self.body(), private=self.api.settings.webhook_private)
        # Before anything is stored: it would be a way to read the orders of other keys.
        if given.all_orders:
            self.caller.require(Scope.ADMIN)
        secret = new_secret(os.urandom(SECRET_BYTES))
        owner = self.caller.owner
        # Without keys there is nobody to separate: one that left the events of keys out would surprise.
        all_orders = owner is None if given.all_orders is None else given.all_orders
        async with self.reading(self.api.cancels):
            made = await self.api.webhooks.create(
                NewWebhook(
                    id=uuid7(self.api.clock.unix_ms(), os.urandom(RANDOM_BYTES)),
                    owner=owner,
                    all_orders=all_orders,
                    name=given.name or "",
                    url=given.url or "",
                    statuses=given.statuses or frozenset(),
                    secret=secret,
                )
            )
        self.set_header("Location", f"/api/webhooks/{made.id}")
        self.answer({**webhook_json(made), "secret": secret}, status=201)


class WebhookHandler(WebhookRoute):
    """`GET`, `PATCH` and `DELETE /api/webhooks/{id}`."""

    async def get(self, name: str) -> None:
        """The webhook, without its secret."""
        async with self.reading(self.api.details):
            webhook = self.found(await self.api.webhooks.webhook(read_webhook_id(name), self.caller.sees))
        self.answer(webhook_json(webhook))

    head = get

    async def patch(self, name: str) -> None:
        """The webhook as it is now."""
        webhook_id = read_webhook_id(name)
        given = webhook_body.read_change(self.body(), private=self.api.settings.webhook_private)
        change = WebhookChange(url=given.url, statuses=given.statuses, enabled=given.enabled)
        async with self.reading(self.api.cancels):
            webhook = self.found(await self.api.webhooks.change(webhook_id, self.caller.sees, change))
        self.answer(webhook_json(webhook))

    async def delete(self, name: str) -> None:
        """200 once the webhook is removed."""
        webhook_id = read_webhook_id(name)
        async with self.reading(self.api.cancels):
            removed = await self.api.webhooks.remove(webhook_id, self.caller.sees)
        if not removed:
            raise WebhookNotFoundError(NO_WEBHOOK)
        self.answer({"id": str(webhook_id), "removed": True})


class DeliveriesHandler(WebhookRoute):
    """`GET /api/webhooks/{id}/deliveries`."""

    async def get(self, name: str) -> None:
        """A page of deliveries, the newest first; `next` is null on the last."""
        webhook_id = read_webhook_id(name)
        query = Query(self.request.query_arguments, PARAMETERS, "is not a parameter of deliveries")
        state, before = query.get(STATE, None), query.get(BEFORE, None)
        limit = query.get(LIMIT, MOST_DELIVERIES)
        query.check()
        async with self.reading(self.api.details):
            # One more than the page has: this shows that there is a next page.
            rows = await self.api.webhooks.deliveries(webhook_id, self.caller.sees, state, limit + 1, before)
        # Another key's webhook is answered like one that does not exist.
        if rows is None:
            raise WebhookNotFoundError(NO_WEBHOOK)
        following = rows[limit - 1].id if len(rows) > limit else None
        self.answer({"deliveries": [delivery_json(row) for row in rows[:limit]], "next": following})

    head = get


class ResendHandler(WebhookRoute):
    """`POST /api/webhooks/{id}/resend`."""

    async def post(self, name: str) -> None:
        """How many deliveries wait again."""
        webhook_id, ids = read_webhook_id(name), webhook_body.read_resend(self.body())
        async with self.reading(self.api.cancels):
            count = await self.api.webhooks.resend(webhook_id, self.caller.sees, ids)
        if count is None:
            raise WebhookNotFoundError(NO_WEBHOOK)
        self.answer({"resent": count})


class ReplayHandler(WebhookRoute):
    """`POST /api/webhooks/{id}/replay`."""

    async def post(self, name: str) -> None:
        """202: the events wait to be sent. `events` is how many, null for all behind a position."""
        webhook_id, replay = read_webhook_id(name), webhook_body.read_replay(self.body())
        webhooks, owner = self.api.webhooks, self.caller.sees
        async with self.reading(self.api.cancels):
            # First, since None below means that the webhook gets no events of that order.
            self.found(await webhooks.webhook(webhook_id, owner))
            if replay.order_id is not None:
                count = await webhooks.replay_order(webhook_id, owner, replay.order_id, replay.from_seq)
                if count is None:
                    raise OrderNotFoundError(NO_ORDER)
            else:
                count = None
                try:
                    known = await webhooks.replay_after(webhook_id, owner, replay.after or "")
                except InvalidPositionError:
                    problem = FieldProblem(webhook_body.AFTER.name, "is not a position", webhook_body.AFTER.expected)
                    raise InvalidWebhookError([problem]) from None
                if not known:
                    raise WebhookNotFoundError(NO_WEBHOOK)
        self.answer({"events": count}, status=202)


class TestMessageHandler(WebhookRoute):
    """`POST /api/webhooks/{id}/test`."""

    async def post(self, name: str) -> None:
        """202 with the delivery of a test message. `GET .../deliveries` shows what became of it."""
        async with self.reading(self.api.cancels):
            delivery = await self.api.webhooks.send_test(read_webhook_id(name), self.caller.sees)
        if delivery is None:
            raise WebhookNotFoundError(NO_WEBHOOK)
        # Not 200: a worker sends it, and this process may have none.
        self.answer(delivery_json(delivery), status=202)


class RotateHandler(WebhookRoute):
    """`POST /api/webhooks/{id}/rotate`."""

    async def post(self, name: str) -> None:
        """The webhook and its new secret, which no other answer has."""
        webhook_id, keep = read_webhook_id(name), webhook_body.read_rotate(self.body())
        secret = new_secret(os.urandom(SECRET_BYTES))
        async with self.reading(self.api.cancels):
            webhook = self.found(await self.api.webhooks.rotate(webhook_id, self.caller.sees, secret, keep))
        self.answer({**webhook_json(webhook), "secret": secret})


def read_webhook_id(name: str) -> UUID:
    """The id in a path. Raises `WebhookNotFoundError`."""
    try:
        return read_order_id(name)
    except OrderNotFoundError:
        raise WebhookNotFoundError(NO_WEBHOOK) from None

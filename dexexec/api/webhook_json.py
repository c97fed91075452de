"""Webhooks and deliveries as JSON, for the API and for the command."""

from datetime import datetime

from dexexec.domain.event import timestamp
from dexexec.domain.webhook import TEST, Delivery, Webhook


def webhook_json(webhook: Webhook) -> dict[str, object]:
    """A webhook, without its secret."""
    return {
        "id": str(webhook.id),
        "name": webhook.name,
        # Whole: a client that may list webhooks may also change where they send to.
        "url": webhook.url,
        "allOrders": webhook.all_orders,
        # None for all: an empty list reads like none.
        "statuses": sorted(webhook.statuses) or None,
        "createdAt": timestamp(webhook.created_at),
        "enabled": webhook.disabled_at is None,
        "disabledAt": _time(webhook.disabled_at),
        "disabledWhy": webhook.disabled_why or None,
        "failingSince": _time(webhook.failing_since),
        "formerSecretUntil": _time(webhook.former_secret_until),
        "waiting": webhook.waiting,
        "failed": webhook.failed,
    }


def delivery_json(delivery: Delivery) -> dict[str, object]:
    """A delivery. A test message has no order: its row has only a number in the order's place."""
    test = delivery.type == TEST
    return {
        "id": delivery.id,
        "messageId": delivery.message_id,
        "type": delivery.type,
        "orderId": None if test else str(delivery.order_id),
        "seq": None if test else delivery.seq,
        "state": delivery.state.value,
        "tries": delivery.tries,
        "plannedAt": timestamp(delivery.planned_at),
        "nextAt": _time(delivery.next_at),
        "endedAt": _time(delivery.ended_at),
        "answer": delivery.answer or None,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)

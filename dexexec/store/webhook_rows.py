"""Reads webhooks and their deliveries from rows."""

from typing import Any

from dexexec.domain.status import Status
from dexexec.domain.webhook import MOST_COUNTED, ClaimedDelivery, Delivery, DeliveryState, Webhook

STATES = {
    DeliveryState.WAITING: "delivered_at IS NULL AND failed_at IS NULL",
    DeliveryState.DELIVERED: "delivered_at IS NOT NULL",
    DeliveryState.FAILED: "failed_at IS NOT NULL",
}
"""Conditions, as the indexes have them."""


def waiting(table: str) -> str:
    """The condition that a row of `webhook_deliveries`, called `table` in the statement, waits."""
    return f"{table}.delivered_at IS NULL AND {table}.failed_at IS NULL"


def _count(state: DeliveryState) -> str:
    # Up to a limit: a webhook whose target was away for long has more than a list of webhooks should count.
    page = f"SELECT FROM webhook_deliveries d WHERE d.webhook = w.id AND {STATES[state]} LIMIT {MOST_COUNTED}"
    return f"(SELECT count(*) FROM ({page}) x)"  # noqa: S608


WEBHOOK = f"""
w.id, w.owner, w.all_orders, w.name, w.url, w.statuses, w.created_at, w.disabled_at, w.disabled_why, w.failing_since,
w.former_secret_until, {_count(DeliveryState.WAITING)} AS waiting, {_count(DeliveryState.FAILED)} AS failed
"""
DELIVERY = """
d.id, d.webhook, d.order_id, d.seq, d.type, d.tries, d.planned_at, d.next_at, d.delivered_at, d.failed_at, d.answer
"""


def read_webhook(row: Any) -> Webhook:
    """A webhook from the columns of `WEBHOOK`."""
    return Webhook(
        id=row.id,
        owner=row.owner,
        all_orders=row.all_orders,
        name=row.name,
        url=row.url,
        statuses=frozenset(Status(status) for status in row.statuses),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        disabled_why=row.disabled_why,
        failing_since=row.failing_since,
        former_secret_until=row.former_secret_until,
        waiting=row.waiting,
        failed=row.failed,
    )


def read_delivery(row: Any) -> Delivery:
    """A delivery from the columns of `DELIVERY`."""
    state = DeliveryState.WAITING
    if row.delivered_at is not None:
        state = DeliveryState.DELIVERED
    elif row.failed_at is not None:
        state = DeliveryState.FAILED
    return Delivery(
        id=row.id,
        webhook=row.webhook,
        order_id=row.order_id,
        seq=row.seq,
        type=row.type,
        state=state,
        tries=row.tries,
        planned_at=row.planned_at,
        next_at=row.next_at if state is DeliveryState.WAITING else None,
        ended_at=row.delivered_at or row.failed_at,
        answer=row.answer,
    )


def read_claimed(row: Any) -> ClaimedDelivery:
    """A claimed delivery from the columns that `webhook_claims.CLAIM` returns."""
    return ClaimedDelivery(
        id=row.id,
        webhook=row.webhook,
        name=row.name,
        owner=row.owner,
        url=row.url,
        secrets=tuple(secret for secret in (row.secret, row.former_secret) if secret),
        order_id=row.order_id,
        seq=row.seq,
        type=row.type,
        payload=row.payload,
        tries=row.tries,
        failures=row.failures,
        lease=row.lease,
    )

"""The part of `dexexec.store.webhooks.WebhookTable` that handlers use. `owner` is a key's number, None for all keys."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from dexexec.domain.webhook import Delivery, DeliveryState, NewWebhook, Webhook, WebhookChange


class WebhookTable(Protocol):
    """Webhooks and their deliveries."""

    async def create(self, new: NewWebhook) -> Webhook:
        """Store a webhook."""

    async def webhooks(self, owner: int | None) -> list[Webhook]:
        """All webhooks, the oldest first."""

    async def webhook(self, webhook_id: UUID, owner: int | None) -> Webhook | None:
        """One webhook."""

    async def change(self, webhook_id: UUID, owner: int | None, change: WebhookChange) -> Webhook | None:
        """Change a webhook."""

    async def rotate(self, webhook_id: UUID, owner: int | None, secret: str, keep: timedelta) -> Webhook | None:
        """Give a webhook another secret."""

    async def remove(self, webhook_id: UUID, owner: int | None) -> bool:
        """Remove a webhook."""

    async def deliveries(
        self, webhook_id: UUID, owner: int | None, state: DeliveryState | None, limit: int, before: int | None
    ) -> list[Delivery] | None:
        """Deliveries, the newest first."""

    async def resend(self, webhook_id: UUID, owner: int | None, delivery_ids: Sequence[int] | None) -> int | None:
        """Send deliveries again: those given, or all that failed."""

    async def replay_order(self, webhook_id: UUID, owner: int | None, order_id: UUID, from_seq: int) -> int | None:
        """Send the events of an order again."""

    async def replay_after(self, webhook_id: UUID, owner: int | None, position: str) -> bool:
        """Send all events behind a position again."""

    async def failed_count(self, owner: int | None) -> int:
        """How many deliveries failed, up to a limit."""

    async def send_test(self, webhook_id: UUID, owner: int | None) -> Delivery | None:
        """Send a test message."""

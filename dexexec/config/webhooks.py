"""The settings of webhooks. `Settings` includes them."""

from pydantic import BaseModel, Field


class WebhookSettings(BaseModel):
    """What workers send to the addresses of clients, and how."""

    webhooks: bool = Field(True, description="let workers send events to the webhooks of clients")
    webhook_private: bool = Field(
        False, description="let webhooks be private, loopback and http addresses; only if all clients may reach those"
    )
    webhook_inflight: int = Field(
        4, ge=1, le=64, description="requests in flight to one webhook, over all processes; one while it fails"
    )
    webhook_timeout_ms: int = Field(
        10_000, ge=100, le=60_000, description="longest time for one request to a webhook, with lookup and answer (ms)"
    )
    webhook_keep_days: int = Field(
        7, ge=1, le=365, description="days that deliveries are kept after they were made or failed"
    )

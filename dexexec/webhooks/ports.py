"""What the planner and the deliverer need of the store (`dexexec.store.webhook_planning` and `webhook_claims`)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from dexexec.domain.webhook import ClaimedDelivery, PlannedDelivery
from dexexec.store.webhook_planning import PlannedWebhook
from dexexec.webhooks.answers import Answer


class Planning(Protocol):
    """The part of `PlanningTable` that the planner uses. Every method raises `UnavailableError`."""

    async def disable_invalid(self) -> list[tuple[str, str]]:
        """Disable webhooks whose key is not valid any more, or that have failed for days."""

    async def active(self) -> list[PlannedWebhook]:
        """The enabled webhooks."""

    async def known_until(self) -> datetime:
        """The time from which on events may have been written that cannot be read yet."""

    async def plan(
        self,
        webhooks: Sequence[UUID],
        former: str,
        position: str,
        deliveries: Sequence[PlannedDelivery],
        *,
        known_until: datetime | None,
    ) -> int:
        """Add deliveries and move webhooks in one commit."""

    async def replay(
        self, webhook: UUID, former: str, position: str | None, deliveries: Sequence[PlannedDelivery]
    ) -> int:
        """Add deliveries again and move the replay in one commit."""

    async def expire(self) -> int:
        """Give up on a page of deliveries whose day has ended while their target fails."""

    async def forget(self, days: int) -> int:
        """Delete a page of old deliveries."""


class Claiming(Protocol):
    """A session over which the deliverer claims (`ClaimSession`)."""

    @property
    def is_lost(self) -> bool:
        """Whether other processes take over what was claimed over it."""

    async def claim(
        self, lease: str, *, seconds: float, limit: int, per_webhook: int, per_owner: int
    ) -> list[ClaimedDelivery]:
        """Claim deliveries that are due. Raises `UnavailableError`."""

    async def end(self) -> None:
        """End it. Never raises."""


class Claims(Protocol):
    """The part of `ClaimTable` that the deliverer uses. Every method raises `UnavailableError`."""

    async def begin_session(self) -> Claiming:
        """Begin a session."""

    async def free_lost(self, seconds: float) -> int:
        """Let the leases of sessions that are gone end in `seconds`."""


class Outcomes(Protocol):
    """The part of `OutcomeTable` that the deliverer uses. Every method raises `UnavailableError`."""

    async def delivered(self, claimed: ClaimedDelivery, answer: str) -> bool:
        """Write that the target took it."""

    async def failed(
        self,
        claimed: ClaimedDelivery,
        answer: str,
        *,
        pause: float,
        probe_pause: float,
        target_pause: float = 0.0,
        give_up: bool = False,
        disable: bool = False,
    ) -> bool | None:
        """Write that the try failed."""


class Sending(Protocol):
    """The part of `Sender` that the deliverer uses."""

    async def send(self, claimed: ClaimedDelivery) -> Answer:
        """Try a delivery once. Never raises."""

    async def close_old(self) -> None:
        """Close connections that were kept and not used lately. Never raises."""

"""The rows of `tests.support.fakes.webhooks`, and what its methods have in common."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from dexexec.clock import Clock
from dexexec.domain.webhook import ClaimedDelivery, Delivery, DeliveryState, NewWebhook, Webhook
from dexexec.store.webhooks import GIVE_UP_AFTER, EventStream, OrderEvents
from dexexec.webhook_errors import WebhookDisabledError

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@dataclass(slots=True, kw_only=True)
class WebhookState:
    new: NewWebhook
    url: str
    statuses: frozenset[Any]
    secret: str
    created_at: datetime
    position: str
    planned_until: datetime
    former: tuple[str, datetime] | None = None
    disabled_at: datetime | None = None
    disabled_why: str = ""
    removed: bool = False
    replay: str | None = None
    replay_requested_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    last_failure_at: datetime | None = None
    failing_days: int = 0
    paused_until: datetime | None = None

    @property
    def failed_for(self) -> timedelta:
        """From the first to the last of the failures since the last success."""
        if self.failing_since is None or self.last_failure_at is None:
            return timedelta()
        return self.last_failure_at - self.failing_since


@dataclass(slots=True, kw_only=True)
class DeliveryRow:
    id: int
    webhook: UUID
    order_id: UUID
    seq: int
    type: str
    payload: str
    planned_at: datetime
    next_at: datetime
    give_up_at: datetime
    tries: int = 0
    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    answer: str = ""
    lease: str | None = None
    lease_until: datetime | None = None
    holder: int | None = None

    @property
    def state(self) -> DeliveryState:
        if self.delivered_at is not None:
            return DeliveryState.DELIVERED
        return DeliveryState.WAITING if self.failed_at is None else DeliveryState.FAILED

    @property
    def waits(self) -> bool:
        return self.state is DeliveryState.WAITING

    def again(self, now: datetime) -> None:
        self.delivered_at = self.failed_at = self.lease = self.lease_until = None
        self.tries = 0
        self.planned_at = self.next_at = now
        self.give_up_at = now + GIVE_UP_AFTER


@dataclass(slots=True)
class MemoryWebhookRows:
    """The rows. `ended_keys` are owners whose keys are not valid."""

    stream: EventStream
    orders: OrderEvents
    clock: Clock
    ended_keys: set[int] = field(default_factory=set)
    hooks: dict[UUID, WebhookState] = field(default_factory=dict)
    rows: dict[tuple[UUID, UUID, int], DeliveryRow] = field(default_factory=dict)
    sessions: list[Any] = field(default_factory=list)
    _last: datetime = LONG_AGO
    _ids: Any = field(default_factory=lambda: count(1))

    @property
    def now(self) -> datetime:
        """The time of the rows. Each is later than the one before, as with the clock of Postgres."""
        self._last = max(self._last + TICK, datetime.fromtimestamp(self.clock.unix_ms() / 1000, UTC))
        return self._last

    def add(self, webhook: UUID, order_id: UUID, seq: int, kind: str, payload: str) -> DeliveryRow:
        """A new delivery."""
        row = DeliveryRow(
            id=next(self._ids),
            webhook=webhook,
            order_id=order_id,
            seq=seq,
            type=kind,
            payload=payload,
            planned_at=self.now,
            next_at=self.now,
            give_up_at=self.now + GIVE_UP_AFTER,
        )
        self.rows[webhook, order_id, seq] = row
        return row

    def of(self, webhook: UUID) -> list[DeliveryRow]:
        """The deliveries of a webhook."""
        return [row for row in self.rows.values() if row.webhook == webhook]

    def leased(self, row: DeliveryRow) -> bool:
        """Whether it is in flight."""
        return row.lease_until is not None and row.lease_until > self.now

    def is_first(self, row: DeliveryRow) -> bool:
        """Whether nothing of its order waits before it."""
        before = [each for each in self.of(row.webhook) if each.order_id == row.order_id and each.seq < row.seq]
        return not any(each.waits for each in before)

    def held(self, claimed: ClaimedDelivery) -> DeliveryRow | None:
        """The row of a claim that is still valid."""
        row = self.rows.get((claimed.webhook, claimed.order_id, claimed.seq))
        return row if row is not None and row.lease == claimed.lease else None

    def begin_anew(self, webhook: WebhookState) -> None:
        """Forget the failures."""
        webhook.failures, webhook.failing_days = 0, 0
        webhook.failing_since, webhook.paused_until = None, None

    def sees(self, webhook: WebhookState, owner: int | None) -> bool:
        """Whether it exists for this owner."""
        return not webhook.removed and owner in {None, webhook.new.owner}

    def find(self, webhook_id: UUID, owner: int | None) -> WebhookState | None:
        """A webhook of this owner."""
        found = self.hooks.get(webhook_id)
        return found if found is not None and self.sees(found, owner) else None

    def enabled(self, webhook_id: UUID, owner: int | None) -> WebhookState | None:
        """The same. Raises `WebhookDisabledError`."""
        found = self.find(webhook_id, owner)
        if found is not None and found.disabled_at is not None:
            raise WebhookDisabledError(f"{found.new.name} is disabled, since {found.disabled_why}: enable it first")
        return found

    def shown(self, webhook: WebhookState) -> Webhook:
        """As the real one reads it."""
        states = [row.state for row in self.of(webhook.new.id)]
        return Webhook(
            id=webhook.new.id,
            owner=webhook.new.owner,
            all_orders=webhook.new.all_orders,
            name=webhook.new.name,
            url=webhook.url,
            statuses=webhook.statuses,
            created_at=webhook.created_at,
            disabled_at=webhook.disabled_at,
            disabled_why=webhook.disabled_why,
            failing_since=webhook.failing_since,
            former_secret_until=webhook.former[1] if webhook.former else None,
            waiting=states.count(DeliveryState.WAITING),
            failed=states.count(DeliveryState.FAILED),
        )


def shown_delivery(row: DeliveryRow) -> Delivery:
    """As the real one reads it."""
    return Delivery(
        id=row.id,
        webhook=row.webhook,
        order_id=row.order_id,
        seq=row.seq,
        type=row.type,
        state=row.state,
        tries=row.tries,
        planned_at=row.planned_at,
        next_at=row.next_at if row.waits else None,
        ended_at=row.delivered_at or row.failed_at,
        answer=row.answer,
    )

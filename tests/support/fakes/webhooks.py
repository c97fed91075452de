"""Webhooks and their deliveries without Postgres, on a clock that a test moves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from dexexec.domain.webhook import (
    MOST_WEBHOOKS,
    TEST,
    ClaimedDelivery,
    Delivery,
    DeliveryState,
    NewWebhook,
    PlannedDelivery,
    Webhook,
    WebhookChange,
    body_of,
    body_of_test,
    type_of,
)
from dexexec.errors import UnavailableError
from dexexec.store.webhook_claims import PROBE_AFTER
from dexexec.store.webhook_planning import DISABLE_AFTER_DAYS, PlannedWebhook
from dexexec.webhook_errors import TooManyWebhooksError, WebhookNameTakenError
from tests.support.fakes.webhook_rows import DeliveryRow, MemoryWebhookRows, WebhookState, shown_delivery


class MemoryWebhooks(MemoryWebhookRows):
    """`WebhookTable`, `PlanningTable` and `ClaimTable` in one. `ended_keys` are owners whose keys are not valid."""

    # As the doors

    async def create(self, new: NewWebhook) -> Webhook:
        """As the real one."""
        position = await self.stream.last_position()
        own = [each for each in self.hooks.values() if not each.removed and each.new.owner == new.owner]
        if len(own) >= MOST_WEBHOOKS:
            raise TooManyWebhooksError(f"there are {MOST_WEBHOOKS} already: remove one")
        if any(each.new.name == new.name for each in own):
            raise WebhookNameTakenError(f"choose another name than {new.name}, or remove that webhook")
        self.hooks[new.id] = WebhookState(
            new=new,
            url=new.url,
            statuses=new.statuses,
            secret=new.secret,
            created_at=self.now,
            position=position,
            planned_until=self.now,
        )
        return self.shown(self.hooks[new.id])

    async def webhooks(self, owner: int | None) -> list[Webhook]:
        """As the real one."""
        return [self.shown(each) for each in self.hooks.values() if self.sees(each, owner)]

    async def webhook(self, webhook_id: UUID, owner: int | None) -> Webhook | None:
        """As the real one."""
        found = self.find(webhook_id, owner)
        return None if found is None else self.shown(found)

    async def named(self, name: str, owner: int | None) -> list[Webhook]:
        """As the real one."""
        return [each for each in await self.webhooks(owner) if each.name == name]

    async def change(self, webhook_id: UUID, owner: int | None, change: WebhookChange) -> Webhook | None:
        """As the real one."""
        position = await self.stream.last_position()
        found = self.find(webhook_id, owner)
        if found is None:
            return None
        found.url = found.url if change.url is None else change.url
        found.statuses = found.statuses if change.statuses is None else change.statuses
        if change.enabled is False and found.disabled_at is None:
            found.disabled_at, found.disabled_why = self.now, "its owner disabled it"
        if change.enabled is True and found.disabled_at is not None:
            found.position, found.planned_until = position, self.now
            found.disabled_at, found.disabled_why = None, ""
        if change.enabled is True or change.url is not None:
            self.begin_anew(found)
        return self.shown(found)

    async def rotate(self, webhook_id: UUID, owner: int | None, secret: str, keep: timedelta) -> Webhook | None:
        """As the real one."""
        found = self.find(webhook_id, owner)
        if found is None:
            return None
        found.former = (found.secret, self.now + keep)
        found.secret = secret
        return self.shown(found)

    async def remove(self, webhook_id: UUID, owner: int | None) -> bool:
        """As the real one."""
        found = self.find(webhook_id, owner)
        if found is None:
            return False
        found.removed = True
        found.disabled_at = found.disabled_at or self.now
        return True

    async def deliveries(
        self, webhook_id: UUID, owner: int | None, state: DeliveryState | None, limit: int, before: int | None
    ) -> list[Delivery] | None:
        """As the real one."""
        if self.find(webhook_id, owner) is None:
            return None
        rows = [
            row for row in self.of(webhook_id) if state in {None, row.state} and (before is None or row.id < before)
        ]
        return [shown_delivery(row) for row in sorted(rows, key=lambda row: -row.id)[:limit]]

    async def delivery(self, delivery_id: int, owner: int | None) -> Delivery | None:
        """As the real one."""
        for row in self.rows.values():
            if row.id == delivery_id and self.find(row.webhook, owner):
                return shown_delivery(row)
        return None

    async def failed_count(self, owner: int | None) -> int:
        """As the real one."""
        rows = [row for row in self.rows.values() if self.find(row.webhook, owner)]
        return sum(row.state is DeliveryState.FAILED for row in rows)

    async def resend(
        self, webhook_id: UUID, owner: int | None, delivery_ids: Sequence[int] | None = None
    ) -> int | None:
        """As the real one."""
        found = self.enabled(webhook_id, owner)
        if found is None:
            return None
        found.paused_until = None
        rows = [row for row in self.of(webhook_id) if not row.waits]
        if delivery_ids is None:
            rows = [row for row in rows if row.state is DeliveryState.FAILED]
        else:
            rows = [row for row in rows if row.id in delivery_ids]
        for row in rows:
            row.again(self.now)
        return len(rows)

    async def replay_order(self, webhook_id: UUID, owner: int | None, order_id: UUID, from_seq: int) -> int | None:
        """As the real one."""
        owners = await self.orders.owners([order_id])
        events = (await self.orders.events_after([(order_id, from_seq - 1)])).get(order_id, [])
        found = self.enabled(webhook_id, owner)
        if found is None or order_id not in owners:
            return None
        if not found.new.all_orders and owners[order_id] != found.new.owner:
            return None
        found.paused_until = None
        again = 0
        for event in events:
            row = self.rows.get((webhook_id, order_id, event.seq))
            if row is None:
                self.add(webhook_id, order_id, event.seq, type_of(event.status), body_of(event))
            elif not row.waits:
                row.again(self.now)
                row.answer = ""
            else:
                continue
            again += 1
        return again

    async def replay_after(self, webhook_id: UUID, owner: int | None, position: str) -> bool:
        """As the real one."""
        await self.stream.read(position, 1)
        found = self.enabled(webhook_id, owner)
        if found is None:
            return False
        found.replay, found.replay_requested_at = position, self.now
        return True

    async def send_test(self, webhook_id: UUID, owner: int | None) -> Delivery | None:
        """As the real one."""
        found = self.enabled(webhook_id, owner)
        if found is None:
            return None
        row = self.add(webhook_id, uuid4(), 0, TEST, body_of_test(found.new.name, self.now))
        row.give_up_at = self.now
        found.paused_until = None
        return shown_delivery(row)

    # As the planner

    async def disable_invalid(self) -> list[tuple[str, str]]:
        """As the real one, but for expired keys."""
        disabled = []
        for each in self.hooks.values():
            why = ""
            if each.new.owner in self.ended_keys:
                why = "its API key was revoked"
            elif each.failing_days >= DISABLE_AFTER_DAYS and each.failed_for >= timedelta(days=DISABLE_AFTER_DAYS):
                why = f"every try failed for {DISABLE_AFTER_DAYS} days"
            if why and each.disabled_at is None:
                each.disabled_at, each.disabled_why = self.now, why
                disabled.append((each.new.name, why))
        return disabled

    async def active(self) -> list[PlannedWebhook]:
        """As the real one."""
        return [
            PlannedWebhook(
                id=each.new.id,
                owner=each.new.owner,
                all_orders=each.new.all_orders,
                statuses=each.statuses,
                position=each.position,
                planned_until=each.planned_until,
                replay_position=each.replay,
            )
            for each in self.hooks.values()
            if each.disabled_at is None
        ]

    async def known_until(self) -> datetime:
        """As the real one: here nothing stays open."""
        return self.now

    async def plan(
        self,
        webhooks: Sequence[UUID],
        former: str,
        position: str,
        deliveries: Sequence[PlannedDelivery],
        *,
        known_until: datetime | None,
    ) -> int:
        """As the real one."""
        moved = [self.hooks[i] for i in webhooks if self.hooks[i].position == former]
        moved = [each for each in moved if each.disabled_at is None]
        for each in moved:
            each.position = position
            each.planned_until = max(each.planned_until, known_until or each.planned_until)
        added = 0
        ids = {each.new.id for each in moved}
        for planned in deliveries:
            for webhook in ids & set(planned.webhooks):
                if (webhook, planned.order_id, planned.seq) not in self.rows:
                    self.add(webhook, planned.order_id, planned.seq, planned.type, planned.payload)
                    added += 1
        return added

    async def replay(
        self, webhook: UUID, former: str, position: str | None, deliveries: Sequence[PlannedDelivery]
    ) -> int:
        """As the real one."""
        found = self.hooks[webhook]
        if found.replay != former or found.disabled_at is not None or found.replay_requested_at is None:
            return 0
        found.replay = position
        again = 0
        for planned in deliveries:
            row = self.rows.get((webhook, planned.order_id, planned.seq))
            if row is None:
                self.add(webhook, planned.order_id, planned.seq, planned.type, planned.payload)
            elif (ended := row.delivered_at or row.failed_at) and ended < found.replay_requested_at:
                row.again(self.now)
                row.answer = ""
            else:
                continue
            again += 1
        return again

    async def expire(self) -> int:
        """As the real one."""
        expired = 0
        for row in self.rows.values():
            webhook = self.hooks[row.webhook]
            away = webhook.failing_since is not None and webhook.failing_since < self.now - timedelta(hours=1)
            away = away and (webhook.last_failure_at or self.now) > self.now - timedelta(hours=2)
            if row.waits and row.give_up_at < self.now and (away or webhook.disabled_at) and not self.leased(row):
                row.failed_at = self.now
                row.answer = row.answer or "not tried: every try of other deliveries failed"
                expired += 1
        return expired

    async def forget(self, days: int) -> int:
        """As the real one."""
        gone = [
            key
            for key, row in self.rows.items()
            if ((ended := row.delivered_at or row.failed_at) and ended < self.now - timedelta(days=days))
            or self.hooks[row.webhook].removed
        ]
        for key in gone:
            del self.rows[key]
        return len(gone)

    # As the deliverer

    async def begin_session(self) -> "MemorySession":
        """As the real one."""
        session = MemorySession(self, len(self.sessions))
        self.sessions.append(session)
        return session

    async def free_lost(self, seconds: float) -> int:
        """As the real one."""
        until = self.now + timedelta(seconds=seconds)
        lost = [row for row in self.rows.values() if row.lease_until is not None and row.lease_until > until]
        lost = [row for row in lost if row.holder is not None and self.sessions[row.holder].is_lost]
        for row in lost:
            row.lease_until = until
        return len(lost)

    def claim_for(
        self, holder: int, lease: str, *, seconds: float, limit: int, per_webhook: int, per_owner: int
    ) -> list[ClaimedDelivery]:
        """What a session claims."""
        chosen: list[DeliveryRow] = []
        for webhook in self.hooks.values():
            if webhook.disabled_at is not None or webhook.new.owner in self.ended_keys:
                continue
            if (webhook.paused_until or self.now) > self.now:
                continue
            probing = webhook.failures >= PROBE_AFTER
            rows = [row for row in self.of(webhook.new.id) if row.waits and row.next_at <= self.now]
            rows = [row for row in rows if not self.leased(row) and self.is_first(row)]
            rows.sort(key=lambda row: (row.tries, -row.id) if probing else (row.next_at, row.id))
            busy = sum(self.leased(row) for row in self.of(webhook.new.id))
            chosen += rows[: max(0, (1 if probing else per_webhook) - busy)]
        return [self._claim(row, holder, lease, seconds) for row in self._fair(chosen, per_owner)[:limit]]

    def _fair(self, rows: list[DeliveryRow], per_owner: int) -> list[DeliveryRow]:
        ranks: dict[int | None, int] = {}
        for row in self.rows.values():
            owner = self.hooks[row.webhook].new.owner
            ranks[owner] = ranks.get(owner, 0) + self.leased(row)
        ranked = []
        for row in sorted(rows, key=lambda row: (row.next_at, row.id)):
            owner = self.hooks[row.webhook].new.owner
            ranks[owner] = ranks.get(owner, 0) + 1
            if ranks[owner] <= per_owner:
                ranked.append((ranks[owner], row))
        return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]

    def _claim(self, row: DeliveryRow, holder: int, lease: str, seconds: float) -> ClaimedDelivery:
        webhook = self.hooks[row.webhook]
        row.holder = holder
        row.lease, row.lease_until = lease, self.now + timedelta(seconds=seconds)
        row.tries += 1
        former = webhook.former
        return ClaimedDelivery(
            id=row.id,
            webhook=row.webhook,
            name=webhook.new.name,
            owner=webhook.new.owner,
            url=webhook.url,
            secrets=(webhook.secret, former[0]) if former and former[1] > self.now else (webhook.secret,),
            order_id=row.order_id,
            seq=row.seq,
            type=row.type,
            payload=row.payload,
            tries=row.tries,
            failures=webhook.failures,
            lease=lease,
        )

    async def delivered(self, claimed: ClaimedDelivery, answer: str) -> bool:
        """As the real one."""
        row = self.held(claimed)
        if row is None:
            return False
        row.delivered_at, row.answer, row.lease, row.lease_until = self.now, answer, None, None
        if self.hooks[row.webhook].failures:
            self.begin_anew(self.hooks[row.webhook])
        return True

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
        """As the real one."""
        row = self.held(claimed)
        if row is None:
            return None
        now, webhook = self.now, self.hooks[row.webhook]
        row.lease, row.lease_until, row.answer = None, None, answer
        if row.give_up_at <= now or give_up:
            row.failed_at = now
        row.next_at = min(row.give_up_at, now + timedelta(seconds=pause))
        for later in self.of(row.webhook):
            if later.order_id == row.order_id and later.seq > row.seq and later.waits and row.waits:
                later.next_at = max(later.next_at, row.next_at)
        if claimed.is_test:
            if target_pause:
                until = now + timedelta(seconds=target_pause)
                webhook.paused_until = max(webhook.paused_until or until, until)
            return row.failed_at is not None
        if (webhook.paused_until or now) <= now or disable:
            webhook.failures += 1
            if not webhook.failing_days or (webhook.last_failure_at or now).date() != now.date():
                webhook.failing_days += 1
            webhook.last_failure_at = now
            webhook.failing_since = webhook.failing_since or now
            probe = probe_pause if webhook.failures >= PROBE_AFTER else 0
            webhook.paused_until = now + timedelta(seconds=max(target_pause, probe))
        if disable and webhook.disabled_at is None:
            webhook.disabled_at, webhook.disabled_why = now, answer
        return row.failed_at is not None


@dataclass(slots=True)
class MemorySession:
    """`ClaimSession`. A test that sets `is_lost` kills its process."""

    webhooks: MemoryWebhooks
    number: int
    is_lost: bool = False

    async def claim(
        self, lease: str, *, seconds: float, limit: int, per_webhook: int, per_owner: int
    ) -> list[ClaimedDelivery]:
        """As the real one."""
        if self.is_lost:
            raise UnavailableError("Postgres does not answer")
        return self.webhooks.claim_for(
            self.number, lease, seconds=seconds, limit=limit, per_webhook=per_webhook, per_owner=per_owner
        )

    async def end(self) -> None:
        """As the real one."""
        self.is_lost = True

"""Plans deliveries of events to webhooks, and clears up old ones: what the planner of the room `webhooks` writes.

The position of a webhook moves in the commit that adds its deliveries, so an event is planned exactly once, even if a
process dies in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dexexec.domain.status import Status
from dexexec.domain.webhook import PlannedDelivery
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row, fetch_rows, json_rows
from dexexec.store.webhook_rows import waiting
from dexexec.store.webhooks import AGAIN, GIVE_UP_AFTER

PAGE = 1_000
"""Deliveries that one statement clears up."""
DISABLE_AFTER_DAYS = 5
"""A webhook of which every try failed for so long is disabled: tries on so many calendar days, the last one so long
after the first. Days on which nothing was tried prove nothing."""

# A key that was revoked, or has expired, must not go on reading orders.
DISABLE = f"""
UPDATE webhooks w SET disabled_at = clock_timestamp(), disabled_why = n.why
FROM (
    SELECT w.id, CASE WHEN k.revoked_at IS NOT NULL THEN 'its API key was revoked'
                      WHEN k.expires_at <= clock_timestamp() THEN 'its API key has expired'
                      ELSE 'every try failed for {DISABLE_AFTER_DAYS} days' END AS why
    FROM webhooks w LEFT JOIN api_keys k ON k.id = w.owner
    WHERE w.disabled_at IS NULL
      AND (k.revoked_at IS NOT NULL OR k.expires_at <= clock_timestamp()
           OR w.failing_days >= {DISABLE_AFTER_DAYS}
              AND w.last_failure_at - w.failing_since >= interval '{DISABLE_AFTER_DAYS} days')
    FOR NO KEY UPDATE OF w SKIP LOCKED
) n WHERE w.id = n.id AND w.disabled_at IS NULL RETURNING w.name, w.disabled_why AS why
"""  # noqa: S608 - a constant
ACTIVE = """
SELECT w.id, w.owner, w.all_orders, w.statuses, w.position, w.planned_until, w.replay_position, w.replay_requested_at
FROM webhooks w WHERE w.disabled_at IS NULL ORDER BY w.id
"""
# Only transactions that have a number may have written an event.
KNOWN_UNTIL = """
SELECT coalesce(min(xact_start), clock_timestamp()) AS at
FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL
"""
# Only webhooks whose position has not moved meanwhile: of two planners at once, one plans a page.
PLAN = """
WITH locked AS MATERIALIZED (
    -- In one order, or two planners could wait for each other.
    SELECT w.id FROM webhooks w
    WHERE w.id = ANY(%(webhooks)s) AND w.position = %(former)s AND w.disabled_at IS NULL
    ORDER BY w.id FOR NO KEY UPDATE
), moved AS (
    UPDATE webhooks w SET position = %(position)s,
        planned_until = greatest(planned_until, %(known_until)s::timestamptz) -- which leaves out a NULL
    FROM locked l WHERE w.id = l.id RETURNING w.id
)
INSERT INTO webhook_deliveries (webhook, order_id, seq, type, payload, give_up_at)
SELECT m.id, r.order_id, r.seq, r.type, r.payload, clock_timestamp() + %(give_up_after)s
FROM ROWS FROM (json_to_recordset(%(rows)s::json)
    AS (webhooks uuid[], order_id uuid, seq int, type text, payload text)
) WITH ORDINALITY AS r(webhooks, order_id, seq, type, payload, n)
JOIN moved m ON m.id = ANY(r.webhooks)
ORDER BY r.n
ON CONFLICT (webhook, order_id, seq) DO NOTHING
"""
# What was delivered since the replay was requested is not sent again: it is none of the events that the client missed.
REPLAY = f"""
WITH moved AS (
    UPDATE webhooks w SET replay_position = %(position)s
    WHERE w.id = %(webhook)s AND w.replay_position = %(former)s AND w.disabled_at IS NULL
    RETURNING w.id, w.replay_requested_at
)
INSERT INTO webhook_deliveries AS d (webhook, order_id, seq, type, payload, give_up_at)
SELECT m.id, r.order_id, r.seq, r.type, r.payload, clock_timestamp() + %(give_up_after)s
FROM ROWS FROM (json_to_recordset(%(rows)s::json)
    AS (webhooks uuid[], order_id uuid, seq int, type text, payload text)
) WITH ORDINALITY AS r(webhooks, order_id, seq, type, payload, n)
CROSS JOIN moved m ORDER BY r.n
ON CONFLICT (webhook, order_id, seq) DO UPDATE SET {AGAIN}, answer = ''
WHERE coalesce(d.delivered_at, d.failed_at) < (SELECT replay_requested_at FROM moved)
"""  # noqa: S608
# Deliveries whose day has ended while their target fails end without a try of their own: there may be thousands, and
# the target is probed by one at a time. Where it does not fail, each has its last try. The last failure must be recent:
# after days without any process, a failure of before says nothing.
EXPIRE = f"""
UPDATE webhook_deliveries d SET failed_at = clock_timestamp(),
    answer = CASE WHEN d.answer <> '' THEN d.answer ELSE 'not tried: every try of other deliveries failed' END
WHERE d.id = ANY(ARRAY(
    SELECT d.id FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook
    WHERE {waiting("d")} AND d.give_up_at < clock_timestamp()
      AND (w.disabled_at IS NOT NULL OR w.failing_since < clock_timestamp() - interval '1 hour'
           AND w.last_failure_at > clock_timestamp() - interval '2 hours')
      AND (d.lease_until IS NULL OR d.lease_until < clock_timestamp())
    LIMIT {PAGE} FOR UPDATE OF d SKIP LOCKED))
"""  # noqa: S608
FORGET = f"""
DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY(
    SELECT id FROM webhook_deliveries
    WHERE coalesce(delivered_at, failed_at) < clock_timestamp() - %(days)s * interval '1 day'
      AND (delivered_at IS NOT NULL OR failed_at IS NOT NULL)
    ORDER BY coalesce(delivered_at, failed_at) LIMIT {PAGE} FOR UPDATE SKIP LOCKED))
"""  # noqa: S608
CLEAR = f"""
DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY(
    SELECT d.id FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook WHERE w.removed_at IS NOT NULL
    LIMIT {PAGE} FOR UPDATE OF d SKIP LOCKED))
"""  # noqa: S608
DROP = """
DELETE FROM webhooks WHERE id = ANY(ARRAY(
    SELECT w.id FROM webhooks w
    WHERE w.removed_at IS NOT NULL AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.webhook = w.id)
    FOR UPDATE SKIP LOCKED))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWebhook:
    """An enabled webhook as the planner sees it. Deliveries are planned of all events up to `position`, and of all that
    were committed before `planned_until`. `replay_position` is None unless events are planned again."""

    id: UUID
    owner: int | None
    all_orders: bool
    statuses: frozenset[Status]
    position: str
    planned_until: datetime
    replay_position: str | None

    def wants(self, status: Status, owner: int | None) -> bool:
        """Whether it gets an event with this status of an order of this owner."""
        return (self.all_orders or owner == self.owner) and (not self.statuses or status in self.statuses)


class PlanningTable:
    """The webhooks and deliveries as the planner writes them. Every method raises `UnavailableError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def disable_invalid(self) -> list[tuple[str, str]]:
        """Disable webhooks whose key is no longer valid, or that have failed for days: their names, and why."""
        async with self._database.connection() as connection:
            return [(row.name, row.why) for row in await fetch_rows(connection, DISABLE)]

    async def active(self) -> list[PlannedWebhook]:
        """Return the enabled webhooks."""
        async with self._database.connection() as connection:
            rows = await fetch_rows(connection, ACTIVE)
        return [
            PlannedWebhook(
                id=row.id,
                owner=row.owner,
                all_orders=row.all_orders,
                statuses=frozenset(Status(status) for status in row.statuses),
                position=row.position,
                planned_until=row.planned_until,
                replay_position=row.replay_position,
            )
            for row in rows
        ]

    async def known_until(self) -> datetime:
        """Return the time from which on events may have been written that cannot be read yet: now, or when the oldest
        open transaction began that may have written some."""
        async with self._database.connection() as connection:
            at: datetime = (await fetch_row(connection, KNOWN_UNTIL)).at
        return at

    async def plan(
        self,
        webhooks: Sequence[UUID],
        former: str,
        position: str,
        deliveries: Sequence[PlannedDelivery],
        *,
        known_until: datetime | None,
    ) -> int:
        """Add deliveries, and move webhooks from the position `former` to `position`, in one commit; those that are no
        longer at `former` are left out. All events that were written before `known_until` are planned then (None: more
        follow). Returns how many were added."""
        values: dict[str, object] = {
            "webhooks": list(webhooks),
            "former": former,
            "position": position,
            "rows": _rows(deliveries),
            "known_until": known_until,
            "give_up_after": GIVE_UP_AFTER,
        }
        return await self._change(PLAN, values)

    async def replay(
        self, webhook: UUID, former: str, position: str | None, deliveries: Sequence[PlannedDelivery]
    ) -> int:
        """Add deliveries again, also those that have ended, and move the replay to `position` (None: it is at its
        end). Returns how many wait again."""
        values = {
            "webhook": webhook,
            "former": former,
            "position": position,
            "rows": _rows(deliveries),
            "give_up_after": GIVE_UP_AFTER,
        }
        return await self._change(REPLAY, values)

    async def expire(self) -> int:
        """Give up on a page of deliveries whose day has ended while their target fails."""
        return await self._change(EXPIRE, {})

    async def forget(self, days: int) -> int:
        """Delete a page of deliveries that ended so many days ago, and of removed webhooks; returns how many."""
        forgotten = await self._change(FORGET, {"days": days})
        cleared = await self._change(CLEAR, {})
        if not cleared:
            await self._change(DROP, {})
        return max(forgotten, cleared)

    async def _change(self, statement: str, values: dict[str, object]) -> int:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement.encode(), values)
            return cursor.rowcount


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deliveries that wait and have failed (up to a limit), and the age in seconds of the oldest that is overdue."""

    waiting: int
    failed: int
    oldest_seconds: float


BACKLOG = f"""
SELECT (SELECT count(*) FROM (SELECT FROM webhook_deliveries d WHERE {waiting("d")} LIMIT 10000) w) AS waiting,
       (SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE failed_at IS NOT NULL LIMIT 10000) f) AS failed,
       coalesce((SELECT extract(epoch FROM clock_timestamp() - min(d.planned_at)) FROM webhook_deliveries d
                 JOIN webhooks w ON w.id = d.webhook
                 WHERE {waiting("d")} AND w.disabled_at IS NULL), 0)::float8 AS oldest_seconds
"""  # noqa: S608


async def read_backlog(database: Database) -> Backlog:
    """Count the deliveries that wait and that failed."""
    async with database.connection() as connection:
        row = await fetch_row(connection, BACKLOG.encode())
    return Backlog(int(row.waiting), int(row.failed), max(0.0, row.oldest_seconds))


def _rows(deliveries: Sequence[PlannedDelivery]) -> str:
    return json_rows(
        [
            {
                "webhooks": [str(webhook) for webhook in planned.webhooks],
                "order_id": str(planned.order_id),
                "seq": planned.seq,
                "type": planned.type,
                "payload": planned.payload,
            }
            for planned in deliveries
        ]
    )

"""Webhooks as their owners see them: made, changed and removed, with their deliveries read, sent again and replayed.

`owner` is the number of a key in every method here, and None means the webhooks of all keys. Every method raises
`UnavailableError`.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from psycopg.errors import UniqueViolation

from dexexec.clock import Clock
from dexexec.domain.event import Event
from dexexec.domain.webhook import (
    MOST_WEBHOOKS,
    TEST,
    Delivery,
    DeliveryState,
    NewWebhook,
    Webhook,
    WebhookChange,
    body_of,
    body_of_test,
    type_of,
)
from dexexec.store.database import Connection, Database
from dexexec.store.event_positions import EventPage
from dexexec.store.rows import fetch_row, fetch_rows, json_rows
from dexexec.store.webhook_rows import DELIVERY, STATES, WEBHOOK, read_delivery, read_webhook
from dexexec.webhook_errors import TooManyWebhooksError, WebhookDisabledError, WebhookNameTakenError

GIVE_UP_AFTER = timedelta(days=1)
"""How long a delivery is tried."""
OWNED = "(%(owner)s::int IS NULL OR w.owner = %(owner)s) AND w.removed_at IS NULL"

# One at a time for each owner, so that two at once do not exceed the number of webhooks.
LOCK_OWNER = "SELECT pg_advisory_xact_lock(hashtextextended('webhooks of ' || coalesce(%(owner)s::int, 0), 0))"
COUNT = """
SELECT count(*) AS n FROM webhooks w WHERE w.owner IS NOT DISTINCT FROM %(owner)s::int AND w.removed_at IS NULL
"""
CREATE = """
INSERT INTO webhooks (id, owner, all_orders, name, url, statuses, secret, position)
VALUES (%(id)s, %(owner)s, %(all_orders)s, %(name)s, %(url)s, %(statuses)s, %(secret)s, %(position)s)
"""
LIST = f"SELECT {WEBHOOK} FROM webhooks w WHERE {OWNED} ORDER BY w.created_at, w.id"  # noqa: S608
ONE = f"SELECT {WEBHOOK} FROM webhooks w WHERE w.id = %(id)s AND {OWNED}"  # noqa: S608
NAMED = f"SELECT {WEBHOOK} FROM webhooks w WHERE w.name = %(name)s AND {OWNED} ORDER BY w.created_at, w.id"  # noqa: S608
# Another address or a webhook that is enabled again gets a chance at once.
CHANGE = f"""
UPDATE webhooks w SET
    url = coalesce(%(url)s, url), statuses = coalesce(%(statuses)s, statuses),
    disabled_at = CASE %(enabled)s::bool WHEN true THEN NULL WHEN false THEN coalesce(disabled_at, clock_timestamp())
                  ELSE disabled_at END,
    disabled_why = CASE %(enabled)s::bool WHEN true THEN ''
                   WHEN false THEN CASE WHEN disabled_at IS NULL THEN 'its owner disabled it' ELSE disabled_why END
                   ELSE disabled_why END,
    position = CASE WHEN %(enabled)s::bool AND disabled_at IS NOT NULL THEN %(position)s ELSE position END,
    planned_until = CASE WHEN %(enabled)s::bool AND disabled_at IS NOT NULL THEN clock_timestamp()
                    ELSE planned_until END,
    failures = CASE WHEN %(begin)s THEN 0 ELSE failures END,
    failing_days = CASE WHEN %(begin)s THEN 0 ELSE failing_days END,
    failing_since = CASE WHEN %(begin)s THEN NULL ELSE failing_since END,
    paused_until = CASE WHEN %(begin)s THEN NULL ELSE paused_until END
WHERE w.id = %(id)s AND {OWNED} RETURNING w.id
"""  # noqa: S608
ROTATE = f"""
UPDATE webhooks w SET former_secret = secret, former_secret_until = clock_timestamp() + %(keep)s, secret = %(secret)s
WHERE w.id = %(id)s AND {OWNED} RETURNING w.id
"""  # noqa: S608
# Its deliveries may be many: they are deleted later, page by page. No secret stays behind meanwhile.
REMOVE = f"""
UPDATE webhooks w SET removed_at = clock_timestamp(), url = '', secret = '', former_secret = NULL,
    disabled_at = coalesce(disabled_at, clock_timestamp())
WHERE w.id = %(id)s AND {OWNED} RETURNING w.id
"""  # noqa: S608
KEY_VISIBLE = f"SELECT FROM webhooks w WHERE w.id = %(id)s AND {OWNED}"
ENABLED = f"""
SELECT w.name, w.owner, w.all_orders, w.disabled_at, w.disabled_why FROM webhooks w
WHERE w.id = %(id)s AND {OWNED} FOR NO KEY UPDATE
"""  # noqa: S608
DELIVERIES = f"""
SELECT {DELIVERY} FROM webhook_deliveries d
WHERE d.webhook = %(id)s AND d.id < coalesce(%(before)s, 9223372036854775807) AND {{}}
ORDER BY d.id DESC LIMIT %(limit)s
"""  # noqa: S608
DELIVERY_OF = f"""
SELECT {DELIVERY} FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook WHERE d.id = %(id)s AND {OWNED}
"""  # noqa: S608
AGAIN = """
delivered_at = NULL, failed_at = NULL, tries = 0, planned_at = clock_timestamp(), next_at = clock_timestamp(),
give_up_at = clock_timestamp() + %(give_up_after)s, lease = NULL, lease_until = NULL
"""
# A delivery that waits is tried by itself, and one that was delivered only if it is named.
RESEND = f"""
UPDATE webhook_deliveries d SET {AGAIN}
WHERE d.webhook = %(webhook)s AND (%(ids)s::bigint[] IS NULL AND d.failed_at IS NOT NULL
    OR d.id = ANY(%(ids)s) AND (d.failed_at IS NOT NULL OR d.delivered_at IS NOT NULL))
"""  # noqa: S608
RESUME = "UPDATE webhooks SET paused_until = NULL WHERE id = %(webhook)s"
REPLAY = f"""
INSERT INTO webhook_deliveries AS d (webhook, order_id, seq, type, payload, give_up_at)
SELECT %(webhook)s, r.order_id, r.seq, r.type, r.payload, clock_timestamp() + %(give_up_after)s
FROM json_to_recordset(%(rows)s::json) AS r(order_id uuid, seq int, type text, payload text) ORDER BY r.seq
ON CONFLICT (webhook, order_id, seq) DO UPDATE SET {AGAIN}, answer = ''
    WHERE d.delivered_at IS NOT NULL OR d.failed_at IS NOT NULL
"""  # noqa: S608
REPLAY_AFTER = """
UPDATE webhooks SET replay_position = %(position)s, replay_requested_at = clock_timestamp() WHERE id = %(webhook)s
"""
ADD_TEST = f"""
INSERT INTO webhook_deliveries AS d (webhook, order_id, seq, type, payload, give_up_at)
VALUES (%(webhook)s, %(order_id)s, 0, '{TEST}', %(payload)s, clock_timestamp()) RETURNING {DELIVERY}
"""  # noqa: S608
FAILED = f"""
SELECT count(*) AS n FROM (
    SELECT FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook
    WHERE {STATES[DeliveryState.FAILED]} AND {OWNED} LIMIT 10000) x
"""  # noqa: S608


class EventStream(Protocol):
    """The part of `event_positions.EventReader` that webhooks use."""

    async def read(self, after: str, limit: int, owner: int | None = None) -> EventPage:
        """The events behind a position. Raises `InvalidPositionError`, `PositionUnknownError`, `UnavailableError`."""

    async def last_position(self) -> str:
        """The position of the newest event. Raises `UnavailableError`."""


class OrderEvents(Protocol):
    """The part of `Store` that is used here."""

    async def events_after(self, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
        """The events above the given `seq`, for many orders."""

    async def owners(self, order_ids: Sequence[UUID]) -> dict[UUID, int | None]:
        """Whose each order is that exists."""


class WebhookTable:
    """`new_id` makes numbers for test messages."""

    def __init__(
        self, database: Database, stream: EventStream, orders: OrderEvents, *, new_id: Callable[[], UUID], clock: Clock
    ) -> None:
        self._database = database
        self._stream = stream
        self._orders = orders
        self._new_id = new_id
        self._clock = clock

    async def create(self, new: NewWebhook) -> Webhook:
        """Store a webhook. It gets every event that is committed after this has returned. Raises
        `WebhookNameTakenError` and `TooManyWebhooksError`."""
        values = {
            "id": new.id,
            "owner": new.owner,
            "all_orders": new.all_orders,
            "name": new.name,
            "url": new.url,
            "statuses": sorted(new.statuses),
            "secret": new.secret,
            "position": await self._stream.last_position(),
        }
        try:
            async with self._database.connection(passing=(UniqueViolation,)) as connection, connection.transaction():
                await connection.execute(LOCK_OWNER, values)
                if (await fetch_row(connection, COUNT, values)).n >= MOST_WEBHOOKS:
                    raise TooManyWebhooksError(f"there are {MOST_WEBHOOKS} already: remove one")
                await connection.execute(CREATE, values)
        except UniqueViolation:
            raise WebhookNameTakenError(f"choose another name than {new.name}, or remove that webhook") from None
        made = await self.webhook(new.id, new.owner)
        if made is None:
            raise WebhookNameTakenError(f"{new.name} was removed again at once")
        return made

    async def webhooks(self, owner: int | None) -> list[Webhook]:
        """Return all webhooks, the oldest first."""
        return [read_webhook(row) for row in await self._rows(LIST, {"owner": owner})]

    async def webhook(self, webhook_id: UUID, owner: int | None) -> Webhook | None:
        """Return one webhook."""
        rows = await self._rows(ONE, {"id": webhook_id, "owner": owner})
        return read_webhook(rows[0]) if rows else None

    async def named(self, name: str, owner: int | None) -> list[Webhook]:
        """Return the webhooks of a name: several keys may use the same."""
        return [read_webhook(row) for row in await self._rows(NAMED, {"name": name, "owner": owner})]

    async def change(self, webhook_id: UUID, owner: int | None, change: WebhookChange) -> Webhook | None:
        """Change a webhook and return it. One that is enabled again gets what is committed from then on, besides what
        was waiting for it."""
        values: dict[str, object] = {
            "id": webhook_id,
            "owner": owner,
            "url": change.url,
            "statuses": None if change.statuses is None else sorted(change.statuses),
            "enabled": change.enabled,
            "begin": change.enabled is True or change.url is not None,
            "position": await self._stream.last_position(),
        }
        changed = await self._rows(CHANGE, values)
        return await self.webhook(webhook_id, owner) if changed else None

    async def rotate(self, webhook_id: UUID, owner: int | None, secret: str, keep: timedelta) -> Webhook | None:
        """Give a webhook another secret. The former one signs beside it for `keep`."""
        changed = await self._rows(ROTATE, {"id": webhook_id, "owner": owner, "secret": secret, "keep": keep})
        return await self.webhook(webhook_id, owner) if changed else None

    async def remove(self, webhook_id: UUID, owner: int | None) -> bool:
        """Remove a webhook with all its deliveries. Returns whether there was one."""
        return bool(await self._rows(REMOVE, {"id": webhook_id, "owner": owner}))

    async def deliveries(
        self, webhook_id: UUID, owner: int | None, state: DeliveryState | None, limit: int, before: int | None
    ) -> list[Delivery] | None:
        """Return deliveries, the newest first, from below the id `before`; None if there is no such webhook."""
        values = {"id": webhook_id, "owner": owner, "before": before, "limit": limit}
        async with self._database.connection() as connection:
            if await fetch_row(connection, KEY_VISIBLE, values) is None:
                return None
            condition = "true" if state is None else STATES[state]
            rows = await fetch_rows(connection, DELIVERIES.format(condition).encode(), values)
        return [read_delivery(row) for row in rows]

    async def delivery(self, delivery_id: int, owner: int | None) -> Delivery | None:
        """Return one delivery."""
        rows = await self._rows(DELIVERY_OF, {"id": delivery_id, "owner": owner})
        return read_delivery(rows[0]) if rows else None

    async def failed_count(self, owner: int | None) -> int:
        """Count the failed deliveries, up to `MOST_COUNTED`."""
        return int((await self._rows(FAILED, {"owner": owner}))[0].n)

    async def resend(
        self, webhook_id: UUID, owner: int | None, delivery_ids: Sequence[int] | None = None
    ) -> int | None:
        """Let deliveries that have ended wait again: those given, or all that failed. Returns how many; None if there
        is no such webhook. Raises `WebhookDisabledError`."""
        async with self._database.connection() as connection, connection.transaction():
            if await self._enabled(connection, webhook_id, owner) is None:
                return None
            ids = None if delivery_ids is None else list(delivery_ids)
            values = {"webhook": webhook_id, "ids": ids, "give_up_after": GIVE_UP_AFTER}
            cursor = await connection.execute(RESEND.encode(), values)
            await connection.execute(RESUME, values)
            return cursor.rowcount

    async def replay_order(self, webhook_id: UUID, owner: int | None, order_id: UUID, from_seq: int) -> int | None:
        """Send the events of an order from `from_seq` on, also those that were delivered. Returns how many; None if
        there is no such webhook, or it gets no events of that order. Raises `WebhookDisabledError`."""
        owners = await self._orders.owners([order_id])
        events = (await self._orders.events_after([(order_id, from_seq - 1)])).get(order_id, [])
        async with self._database.connection() as connection, connection.transaction():
            webhook = await self._enabled(connection, webhook_id, owner)
            if webhook is None or order_id not in owners:
                return None
            if not webhook.all_orders and owners[order_id] != webhook.owner:
                return None
            rows = [
                {"order_id": str(order_id), "seq": event.seq, "type": type_of(event.status), "payload": body_of(event)}
                for event in events
            ]
            values = {"webhook": webhook_id, "rows": json_rows(rows), "give_up_after": GIVE_UP_AFTER}
            cursor = await connection.execute(REPLAY.encode(), values)
            await connection.execute(RESUME, values)
            return cursor.rowcount

    async def replay_after(self, webhook_id: UUID, owner: int | None, position: str) -> bool:
        """Send all events behind a position of the stream, also those that were delivered. Returns whether there is
        such a webhook. Raises `WebhookDisabledError`, `InvalidPositionError` and `PositionUnknownError`."""
        await self._stream.read(position, 1)
        async with self._database.connection() as connection, connection.transaction():
            if await self._enabled(connection, webhook_id, owner) is None:
                return False
            await connection.execute(REPLAY_AFTER, {"webhook": webhook_id, "position": position})
            return True

    async def send_test(self, webhook_id: UUID, owner: int | None) -> Delivery | None:
        """Add a test message, which is tried once. Raises `WebhookDisabledError`."""
        async with self._database.connection() as connection, connection.transaction():
            webhook = await self._enabled(connection, webhook_id, owner)
            if webhook is None:
                return None
            at = datetime.fromtimestamp(self._clock.unix_ms() / 1000, UTC)
            body = body_of_test(webhook.name, at)
            values = {"webhook": webhook_id, "order_id": self._new_id(), "payload": body}
            # At once, also while the target is left alone: somebody waits for the answer.
            await connection.execute(RESUME, values)
            return read_delivery(await fetch_row(connection, ADD_TEST.encode(), values))

    async def _enabled(self, connection: Connection, webhook_id: UUID, owner: int | None) -> Any:
        """The row of a webhook, which does not change until the transaction ends. Raises `WebhookDisabledError`."""
        row = await fetch_row(connection, ENABLED.encode(), {"id": webhook_id, "owner": owner})
        if row is not None and row.disabled_at is not None:
            raise WebhookDisabledError(f"{row.name} is disabled, since {row.disabled_why}: enable it first")
        return row

    async def _rows(self, statement: str, values: dict[str, object]) -> list[Any]:
        async with self._database.connection() as connection:
            return await fetch_rows(connection, statement.encode(), values)

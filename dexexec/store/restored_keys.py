"""Idempotency keys of orders that the record had lost and that were restored from the chain.

Only digests of key and body came back, from the orders' memos (docs/adr/0015). New orders are compared with them
(`store.orders`). Orders that were posted a second time, while the first one was missing, are ended here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import dict_row

from dexexec.domain.event import Event
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.recovered_orders import end_duplicate
from dexexec.domain.status import Status
from dexexec.store.database import Connection
from dexexec.store.rows import json_value

INSERT_KEY = """
INSERT INTO restored_keys (key_digest, body_digest, order_id)
VALUES (left(%(digest)s, 12), right(%(digest)s, 4), %(id)s) ON CONFLICT DO NOTHING
"""

# The lock waits for all statements that are storing orders with keys. A later one waits for this transaction and then
# reads `restored_keys` as of after it. So no order with such a key can be stored without being found here.
LOCK_KEYS = "LOCK TABLE idempotency_keys IN SHARE ROW EXCLUSIVE MODE"

DUPLICATES = """
SELECT o.id, o.status, o.version, o.owner, r.order_id AS original, clock_timestamp() AS at,
       EXISTS (SELECT FROM attempts a WHERE a.order_id = o.id AND a.outcome IS NULL) AS may_swap
FROM orders o CROSS JOIN installation
JOIN idempotency_keys k ON k.order_id = o.id
JOIN restored_keys r ON r.key_digest = left(key_digest(key_secret, k.key, k.body_hash), 12)
WHERE o.finished_at IS NULL AND o.id <> r.order_id
FOR UPDATE OF o
"""

# Costs are summed up by owner, from rows of their own.
ADOPT = """
WITH t AS (SELECT * FROM unnest(%(ids)s::uuid[], %(owners)s::int[]) AS t(id, owner)), live AS (
    UPDATE orders o SET owner = t.owner FROM t WHERE o.id = t.id AND o.owner IS NULL
), costs AS (
    UPDATE attempt_costs c SET owner = t.owner FROM t WHERE c.order_id = t.id AND c.owner IS NULL
)
UPDATE archived_orders o SET owner = t.owner FROM t WHERE o.id = t.id AND o.owner IS NULL
"""

END_DUPLICATE = """
WITH u AS (
    UPDATE orders SET status = %(status)s, version = version + 1, claim = claim + 1, claims = 0, worker = NULL,
                      failure_reason = %(reason)s, waiting = NULL, resting = false, due_at = %(at)s,
                      finished_at = %(at)s
    WHERE id = %(id)s
), k AS (
    DELETE FROM idempotency_keys WHERE order_id = %(id)s
)
INSERT INTO order_events (order_id, seq, status, at, detail, position)
VALUES (%(id)s, %(seq)s, %(status)s, %(at)s, %(detail)s::jsonb, event_position(%(id)s, %(seq)s))
"""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An order that was posted again with the key of `original`, which was restored from the chain. `ended`: it has
    failed for that reason; otherwise it may have swapped too."""

    order_id: UUID
    original: UUID
    ended: bool


async def keep(connection: Connection, key_digest: str, order_id: UUID) -> None:
    """Store that the key with this digest belongs to the order."""
    await connection.execute(INSERT_KEY, {"digest": key_digest, "id": order_id})


async def adopt(connection: Connection, owners: Mapping[UUID, int]) -> None:
    """Give orders that came back from the chain, which does not name their owners, to the keys that posted them."""
    if owners:
        await connection.execute(ADOPT, {"ids": list(owners), "owners": list(owners.values())})


async def end_duplicates(connection: Connection) -> tuple[list[Duplicate], list[Event]]:
    """Let orders fail that were posted again, unless they may swap already. Returns all of them, and the last events of
    those that failed. Runs in the caller's transaction."""
    await connection.execute(LOCK_KEYS)
    cursor = connection.cursor(row_factory=dict_row)
    duplicates: list[Duplicate] = []
    events: list[Event] = []
    rows = await (await cursor.execute(DUPLICATES)).fetchall()
    await adopt(connection, {row["original"]: row["owner"] for row in rows if row["owner"] is not None})
    for row in rows:
        duplicates.append(Duplicate(row["id"], row["original"], ended=not row["may_swap"]))
        if row["may_swap"]:
            continue
        status, detail = end_duplicate(Status(row["status"]), row["original"])
        event = Event(order_id=row["id"], seq=row["version"] + 1, status=status, at=row["at"], detail=detail)
        values = {"id": event.order_id, "seq": event.seq, "status": status, "at": event.at}
        values |= {"reason": FailureReason.DUPLICATE, "detail": json_value(detail)}
        await connection.execute(END_DUPLICATE, values)
        events.append(event)
    return duplicates, events

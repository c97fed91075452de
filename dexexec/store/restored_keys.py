"""Idempotency keys of orders that the record lost and that came back from the chain, after they had swapped.

Only a digest of the key and of the body came back with them, from their memos (docs/adr/0015). New orders are looked up
by it (`intake`); here it is kept, and orders end that were posted again while the record lacked the first one.
"""

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import dict_row

from dexexec.domain.event import Event
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.recovered_orders import end_duplicate
from dexexec.domain.status import Status
from dexexec.store.database import Connection, json_rows

INSERT_KEY = """
INSERT INTO restored_keys (key_digest, body_digest, order_id)
VALUES (left(%(digest)s, 12), right(%(digest)s, 4), %(id)s) ON CONFLICT DO NOTHING
"""

# Whoever stores an order with a key is waited for, and whoever comes later sees `restored_keys`: a statement that waits
# for a lock on a table reads the tables after the wait. So no order with such a key is stored that is not seen here.
LOCK_KEYS = "LOCK TABLE idempotency_keys IN SHARE ROW EXCLUSIVE MODE"

DUPLICATES = """
SELECT o.id, o.status, o.version, r.order_id AS original, clock_timestamp() AS at,
       EXISTS (SELECT FROM attempts a WHERE a.order_id = o.id AND a.outcome IS NULL) AS may_swap
FROM orders o CROSS JOIN installation
JOIN idempotency_keys k ON k.order_id = o.id
JOIN restored_keys r ON r.key_digest = left(key_digest(key_secret, k.key, k.body_hash), 12)
WHERE o.finished_at IS NULL AND o.id <> r.order_id
FOR UPDATE OF o
"""

END_DUPLICATE = """
WITH u AS (
    UPDATE orders SET status = %(status)s, version = version + 1, claim = claim + 1, claims = 0, worker = NULL,
                      failure_reason = %(reason)s, waiting = NULL, due_at = %(at)s, finished_at = %(at)s
    WHERE id = %(id)s
), k AS (
    DELETE FROM idempotency_keys WHERE order_id = %(id)s
)
INSERT INTO order_events (order_id, seq, status, at, detail)
VALUES (%(id)s, %(seq)s, %(status)s, %(at)s, %(detail)s::jsonb)
"""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An order that was posted again with the key of `original`, which came back from the chain. `ended`: it has failed
    for that; else it may have swapped as well."""

    order_id: UUID
    original: UUID
    ended: bool


async def keep(connection: Connection, key_digest: str, order_id: UUID) -> None:
    """The key with this digest belongs to the order."""
    await connection.execute(INSERT_KEY, {"digest": key_digest, "id": order_id})


async def end_duplicates(connection: Connection) -> tuple[list[Duplicate], list[Event]]:
    """Let the orders fail that were posted again, unless they may swap already; they, and their last events. In the
    caller's transaction."""
    await connection.execute(LOCK_KEYS)
    cursor = connection.cursor(row_factory=dict_row)
    duplicates: list[Duplicate] = []
    events: list[Event] = []
    for row in await (await cursor.execute(DUPLICATES)).fetchall():
        duplicates.append(Duplicate(row["id"], row["original"], ended=not row["may_swap"]))
        if row["may_swap"]:
            continue
        status, detail = end_duplicate(Status(row["status"]), row["original"])
        event = Event(order_id=row["id"], seq=row["version"] + 1, status=status, at=row["at"], detail=detail)
        values = {"id": event.order_id, "seq": event.seq, "status": status, "at": event.at}
        values |= {"reason": FailureReason.DUPLICATE, "detail": json_rows([detail])[1:-1]}
        await connection.execute(END_DUPLICATE, values)
        events.append(event)
    return duplicates, events

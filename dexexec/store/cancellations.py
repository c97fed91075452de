"""Cancels an order for its client. One statement decides the race with whatever else would happen to the order.

Below the API on an order's way, beside `step_writes`: either this raises the order's claim, and the worker's next step
is stale; or the worker has recorded an attempt first, and it is too late.
"""

from uuid import UUID

from psycopg.types.json import Jsonb

from dexexec.domain.cancellation import Cancelled, TooLate
from dexexec.domain.event import Detail, Event
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows

DETAIL: Detail = {"detail": "cancelled by the client"}
NOT_COMPARED = "the record is not compared with the chain yet: no order can be cancelled until then"

# A promoted standby may lack an attempt that was sent. Until the record is compared with the chain, `attempts` proves
# nothing, and no order may end without a swap (docs/adr/0015, 0026). An order that was stored after some wallet was
# compared in this Postgres cannot have lost anything: so the row of a wallet that is no longer used, and therefore
# never compared again, blocks only orders that are older.
COMPARED = """
(SELECT (i.identity = record_identity() OR EXISTS (SELECT FROM chain_comparisons))
        AND NOT EXISTS (SELECT FROM chain_comparisons c
                        WHERE c.pending IS NOT NULL OR coalesce(c.identity, i.identity) <> record_identity())
     OR o.created_at > (SELECT max(compared_at) FROM chain_comparisons WHERE identity = record_identity())
 FROM installation i)
"""
# A worker records an attempt under the same row lock before it sends anything. So if `attempts` is still 0 here,
# nothing was sent, and since the claim is raised nothing will be. An order that rests may have had attempts before it
# went back to rest, in any number over weeks: it can be cancelled once each of them is proven to have had no effect
# (docs/adr/0026). `rejected`, of old records, is no proof. Comparing the count with the row's keeps the condition right
# for a row that was locked meanwhile: the subquery does not see an attempt that was recorded then, but the row does.
UNSIGNED = """
(o.status IN ('pending', 'waiting', 'routing', 'building')
 AND (o.attempts = 0 OR o.rested_xid IS NOT NULL AND o.attempts = (
     SELECT count(*) FROM attempts p WHERE p.order_id = o.id AND p.outcome IN ('failed', 'expired', 'unsent'))))
"""
OWNED = "(%(owner)s::int IS NULL OR o.owner = %(owner)s)"
"""The orders that a caller sees: all, or those of its key."""
CANCEL_SET = """
status = 'cancelled', version = o.version + 1, claim = o.claim + 1, claims = 0, worker = NULL, waiting = NULL,
failure_reason = NULL, resting = false, finished_at = now.at
"""
CANCEL = f"""
WITH u AS (
    UPDATE orders o SET {CANCEL_SET}
    FROM (SELECT clock_timestamp() AS at) now
    WHERE o.id = %(id)s AND o.ended IS NULL AND {OWNED} AND {UNSIGNED} AND {COMPARED}
    RETURNING o.id, o.version, o.type, now.at
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail, position)
    SELECT id, version, 'cancelled', at, %(detail)s, event_position(id, version) FROM u
)
SELECT version, type, at FROM u
"""  # noqa: S608 - both parts are constants
STATE = f"""
SELECT o.status, o.version, o.finished_at IS NOT NULL AS ended, {UNSIGNED} AS unsigned, {COMPARED} AS compared,
       a.n, a.venue, a.signature, a.outcome
FROM orders o LEFT JOIN LATERAL (
    SELECT n, venue, signature, outcome FROM attempts WHERE order_id = o.id ORDER BY n DESC LIMIT 1
) a ON true
WHERE o.id = %(id)s AND {OWNED}
UNION ALL
SELECT status, version, true, false, true, (tries -> -1 ->> 'n')::int, tries -> -1 ->> 'venue',
       tries -> -1 ->> 'signature', tries -> -1 ->> 'outcome'
FROM archived_orders o WHERE id = %(id)s AND {OWNED}
"""  # noqa: S608


async def cancel(
    database: Database, order_id: UUID, owner: int | None = None
) -> tuple[Cancelled | TooLate | None, Event | None]:
    """Cancel the order, if nothing that was signed for it can land: the answer (None: `owner`, or none, has no
    such order) and the new event.

    Raises `UnavailableError` while the record is not compared with the chain.
    """
    values = {"id": order_id, "owner": owner, "detail": Jsonb(dict(DETAIL))}
    async with database.connection() as connection:
        while True:
            for row in await fetch_rows(connection, CANCEL, values):
                event = Event(
                    order_id=order_id,
                    seq=row.version,
                    status=Status.CANCELLED,
                    at=row.at,
                    detail=DETAIL,
                    kind=row.type,
                )
                return Cancelled(order_id=order_id, seq=row.version), event
            rows = await fetch_rows(connection, STATE, values)
            if not rows:
                return None, None
            row = rows[0]
            if not (row.unsigned and row.compared):
                break
            # Between the two statements its attempt was proven to have had no effect.
    status = Status(row.status)
    if status is Status.CANCELLED:
        return Cancelled(order_id=order_id, seq=row.version, repeated=True), None
    if row.unsigned:
        raise UnavailableError(NOT_COMPARED)
    attempt: dict[str, object] | None = None
    if row.signature is not None:
        attempt = {
            "attempt": row.n,
            "venue": row.venue,
            "txHash": row.signature,
            "outcome": row.outcome or Outcome.OPEN.value,
        }
    return TooLate(order_id=order_id, status=status, ended=row.ended, attempt=attempt), None

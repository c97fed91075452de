"""Cancels the orders of slices whose recurring order has ended: what was signed goes on, and nothing else is bought.

Called after the commit that ended the parent, by whatever ended it, and by its follow-up if that process died first.
"""

from collections.abc import Sequence
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.store.cancellations import CANCEL_SET, COMPARED, UNSIGNED
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_rows

# As a client's cancel of each of them. Their parents have ended before this statement began, and a slice is only made
# under the lock of a parent that has not, so it sees all of them.
CANCEL = f"""
WITH u AS (
    UPDATE orders o SET {CANCEL_SET}
    FROM (SELECT clock_timestamp() AS at) now
    WHERE o.parent = ANY(%(parents)s) AND o.terms ? 'slice' AND o.finished_at IS NULL AND {UNSIGNED}
      AND EXISTS (SELECT FROM orders p WHERE p.id = o.parent AND p.finished_at IS NOT NULL) AND {COMPARED}
    RETURNING o.id, o.parent, o.version, o.type, now.at
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail, position)
    SELECT id, version, 'cancelled', at, jsonb_build_object('detail', %(detail)s::text, 'parentId', parent),
           event_position(id, version)
    FROM u
)
SELECT id, parent, version, type, at FROM u
"""  # noqa: S608 - constants
DETAIL = "cancelled, since its recurring order has ended"


async def cancel_slices(database: Database, parents: Sequence[UUID]) -> list[Event]:
    """Cancel the orders of these orders' slices for which nothing was signed; returns their events."""
    async with database.connection() as connection:
        return await cancel_slices_in(connection, parents)


async def cancel_slices_in(connection: Connection, parents: Sequence[UUID]) -> list[Event]:
    """The same in the caller's transaction."""
    rows = await fetch_rows(connection, CANCEL, {"parents": list(parents), "detail": DETAIL})
    return [
        Event(
            order_id=row.id,
            seq=row.version,
            status=Status.CANCELLED,
            at=row.at,
            detail={"detail": DETAIL, "parentId": str(row.parent)},
            kind=row.type,
        )
        for row in rows
    ]

"""What the oracle writes of orders that rest on: high-water marks, and why it does not trigger them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from dexexec.domain.event import Detail, Event
from dexexec.store.database import Database
from dexexec.store.resting import waiting_events
from dexexec.store.rows import fetch_rows, json_rows

# A mark only rises, so of two leaders for a moment neither can lower it. No index has this column, and it is not part
# of what clients see as the order's version. The version is compared since the amount may have been changed: the rate
# of a smaller one, as the mark of a larger one, would look like a fall.
RAISE = """
UPDATE orders o SET high_water = greatest(o.high_water, t.rate)
FROM unnest(%s::uuid[], %s::int[], %s::numeric[]) AS t(id, version, rate)
WHERE o.id = t.id AND o.version = t.version AND o.resting AND (o.high_water IS NULL OR o.high_water < t.rate)
"""

# The event raises the version, and a trigger must name the version: as a change by `rested_xid`, every leader reads it.
NOTE = """
WITH t AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS t(id uuid, version int, detail jsonb)
), free AS (
    SELECT o.id FROM orders o JOIN t ON t.id = o.id AND t.version = o.version
    WHERE o.resting AND o.finished_at IS NULL ORDER BY o.id FOR UPDATE OF o SKIP LOCKED
), u AS (
    UPDATE orders o SET version = o.version + 1, rested_xid = pg_current_xact_id()
    FROM t JOIN free USING (id), (SELECT clock_timestamp() AS at) now
    WHERE o.id = t.id
    RETURNING o.id, o.version, now.at, t.detail
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail) SELECT id, version, 'waiting', at, detail FROM u
)
SELECT id, version, at FROM u
"""


@dataclass(frozen=True, slots=True)
class HighWater:
    """The best rate that a trailing stop has seen, as it was at `version`: base units received per base unit spent."""

    order_id: UUID
    version: int
    rate: Decimal


@dataclass(frozen=True, slots=True)
class RestingNote:
    """Why an order that was read at `version` rests on."""

    order_id: UUID
    version: int
    detail: Detail


async def raise_high_water(database: Database, marks: Sequence[HighWater]) -> None:
    """Raise the marks of those orders that still rest at their version, in one commit."""
    ids, versions, rates = ([getattr(mark, name) for mark in marks] for name in ("order_id", "version", "rate"))
    async with database.connection() as connection:
        await connection.execute(RAISE, (ids, versions, rates))


async def note(database: Database, notes: Sequence[RestingNote]) -> list[Event]:
    """Add an event to each order that still rests at its version, in one commit; returns the events."""
    rows: list[dict[str, object]] = [
        {"id": item.order_id, "version": item.version, "detail": item.detail} for item in notes
    ]
    async with database.connection() as connection:
        written = await fetch_rows(connection, NOTE, {"rows": json_rows(rows)})
    return waiting_events({item.order_id: item.detail for item in notes}, written)

"""Cancels all orders that a client selects, in bounded statements: 100,000 resting orders must not be one commit.

Each page is decided like a single cancel (`cancellations`), row by row. The walk ends when one look at all orders of
the selection finds none that can be cancelled, so an order that goes from one state to another meanwhile is not missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from psycopg.types.json import Jsonb

from dexexec.domain.cancellation import Selection
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.store.cancellations import CANCEL_SET, COMPARED, DETAIL, OWNED, UNSIGNED
from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows

PAGE = 500
"""Orders in one commit: some 50 ms of Postgres' time. New orders and steps wait for no longer."""
LAST_ID = UUID(int=2**128 - 1)

# Orders that come after the request are not meant by it, and the walk would never end while clients go on posting.
BEGIN = "SELECT clock_timestamp() AS at"

_MATCHES = f"""
(%(input_mint)s::text IS NULL OR o.input_mint = %(input_mint)s AND o.output_mint = %(output_mint)s)
AND (%(tag)s::text IS NULL OR o.tag = %(tag)s) AND (%(all_open)s OR o.rested_xid IS NOT NULL)
AND {OWNED}
"""
_BEFORE = "(o.created_at, o.id) < (%(at)s, %(id)s)"

# Both branches read a partial index, newest first. One snapshot sees each order in exactly one of them.
_CANDIDATES = f"""
SELECT id, created_at FROM (
    (SELECT o.id, o.created_at FROM orders o
     WHERE o.resting AND {_BEFORE} AND {_MATCHES} AND {UNSIGNED} AND {COMPARED}
     ORDER BY o.created_at DESC, o.id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT o.id, o.created_at FROM orders o
     WHERE o.finished_at IS NULL AND NOT o.resting AND {_BEFORE} AND {_MATCHES} AND {UNSIGNED} AND {COMPARED}
     ORDER BY o.created_at DESC, o.id DESC LIMIT %(limit)s)
) either ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608 - constants

# Each row of the answer is a candidate; without a version it was locked or changed at that moment.
#
# Locked rows are skipped: a worker's batch of steps locks many rows as well, in another order, and two statements that
# wait for each other's rows would both be delayed until Postgres aborts one. `locked` repeats the conditions, since
# Postgres evaluates them again for a row that has changed before it was locked.
_PAGE = """
WITH candidates AS MATERIALIZED ({candidates}), locked AS MATERIALIZED (
    SELECT o.id FROM orders o JOIN candidates USING (id)
    WHERE o.ended IS NULL AND {unsigned}
    FOR UPDATE OF o {skip}
), u AS (
    UPDATE orders o SET {set}
    FROM locked, (SELECT clock_timestamp() AS at) now
    WHERE o.id = locked.id
    RETURNING o.id, o.version, o.type, now.at
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail, position)
    SELECT id, version, 'cancelled', at, %(detail)s, event_position(id, version) FROM u
)
SELECT c.id, c.created_at, u.version, u.type, u.at FROM candidates c LEFT JOIN u USING (id)
ORDER BY c.created_at DESC, c.id DESC
"""
CANCEL_PAGE = _PAGE.format(candidates=_CANDIDATES, unsigned=UNSIGNED, set=CANCEL_SET, skip="SKIP LOCKED")
# For a single order, which holds no other lock while it waits.
CANCEL_ONE = _PAGE.format(candidates=_CANDIDATES, unsigned=UNSIGNED, set=CANCEL_SET, skip="")

# A confirmed order has swapped; it is not counted as one that still may.
LEFT = f"""
SELECT count(*) FILTER (WHERE NOT unsigned) AS too_late,
       count(*) FILTER (WHERE unsigned AND compared IS NOT TRUE) AS uncompared,
       count(*) FILTER (WHERE unsigned AND compared) AS remaining
FROM (
    SELECT {UNSIGNED} AS unsigned, {COMPARED} AS compared FROM orders o
    WHERE o.resting AND {_BEFORE} AND {_MATCHES}
    UNION ALL
    SELECT {UNSIGNED}, {COMPARED} FROM orders o
    WHERE o.finished_at IS NULL AND NOT o.resting AND o.status <> 'confirmed' AND {_BEFORE} AND {_MATCHES}
) left_over
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Orders of a selection that were not cancelled: something is signed for them; the record is not compared with the
    chain; or what was signed for them was proven to have had no effect since the last page."""

    too_late: int
    uncompared: int
    remaining: int


@dataclass(frozen=True, slots=True)
class _Position:
    """Orders behind it, newest first, were not looked at yet."""

    at: datetime
    id: UUID


class MassCancellation:
    """One request of a client: `next_page` cancels, `left` counts what was left alone."""

    def __init__(self, database: Database, selection: Selection, begun_at: datetime) -> None:
        self._database = database
        pair = selection.pair
        self._values = {
            "input_mint": pair.input_mint if pair else None,
            "output_mint": pair.output_mint if pair else None,
            "tag": selection.tag,
            "owner": selection.owner,
            "all_open": selection.all_open,
            "detail": Jsonb(dict(DETAIL)),
        }
        self._start = self._position = _Position(begun_at, LAST_ID)

    @classmethod
    async def begin(cls, database: Database, selection: Selection) -> Self:
        """Begin one for the orders that exist now."""
        async with database.connection() as connection:
            [row] = await fetch_rows(connection, BEGIN, {})
        return cls(database, selection, row.at)

    async def next_page(self) -> list[Event] | None:
        """Cancel up to `PAGE` orders in one commit and return their events; None when no order is left to cancel."""
        position = self._position
        rows = await self._cancel(CANCEL_PAGE, position, PAGE)
        if position == self._start and not rows:
            return None
        # After the last page from the start again: orders may have come back to rest behind the walk.
        full = len(rows) == PAGE
        self._position = _Position(rows[-1].created_at, rows[-1].id) if full else self._start
        # Whatever holds all of a page is waited for on one row, with no other lock held.
        if position == self._start and all(row.version is None for row in rows):
            rows = await self._cancel(CANCEL_ONE, position, 1)
        return [
            Event(
                order_id=row.id,
                seq=row.version,
                status=Status.CANCELLED,
                at=row.at,
                detail=DETAIL,
                kind=row.type,
            )
            for row in rows
            if row.version is not None
        ]

    async def left(self) -> Left:
        """Count the orders that were left alone."""
        async with self._database.connection() as connection:
            [row] = await fetch_rows(connection, LEFT, self._at(self._start))
        return Left(too_late=row.too_late, uncompared=row.uncompared, remaining=row.remaining)

    async def _cancel(self, statement: str, position: _Position, limit: int) -> Sequence[Any]:
        async with self._database.connection() as connection:
            # Not prepared: a generic plan could read the whole list for a rare tag.
            return await fetch_rows(connection, statement, self._at(position) | {"limit": limit}, prepare=False)

    def _at(self, position: _Position) -> dict[str, object]:
        return self._values | {"at": position.at, "id": position.id}

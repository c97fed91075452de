"""Follows up orders that ended: what their end means for the other orders of their group, and for their bracket.

Found by an index over ended rows, so that nothing that ends an order has to remember it. Each follow-up is one
transaction with `followed_up_at`: it happens once, and after a crash it happens then (docs/adr/0027).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from dexexec.domain.bracket_exits import FilledEntry, exits_of
from dexexec.domain.event import Event
from dexexec.domain.oco import filled_detail
from dexexec.domain.order import Side
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms
from dexexec.domain.token import Tokens
from dexexec.store import child_orders, oco_groups, parents, slice_cancellations
from dexexec.store.cancellations import COMPARED
from dexexec.store.claims import OPEN_ATTEMPT, Unreadable
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_row, fetch_rows

FROM_THE_START = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
MOST_CANCELLED = 500
"""How many orders of a group one transaction cancels; the next one goes on."""

Place = tuple[datetime, UUID]

ENDED = """
SELECT id, finished_at, oco_group FROM orders
WHERE finished_at IS NOT NULL AND followed_up_at IS NULL
  AND (oco_group IS NOT NULL OR parent IS NOT NULL OR terms ? 'bracket' OR type = 'recurring')
  AND finished_at >= %(since)s AND (finished_at, id) > (%(since)s, %(after)s)
ORDER BY finished_at, id LIMIT %(limit)s
"""

# SKIP LOCKED: another process follows this order up at this moment.
TAKE = """
SELECT id, status, side, input_mint, output_mint, slippage_bps, max_price_impact_bps, client, tag, dry_run, terms,
       parent, oco_group, amount_in, amount_out, failure_reason, type
FROM orders WHERE id = %(id)s AND finished_at IS NOT NULL AND followed_up_at IS NULL FOR UPDATE SKIP LOCKED
"""

DONE = "UPDATE orders SET followed_up_at = clock_timestamp() WHERE id = %(id)s"

FILL = """
INSERT INTO oco_groups (name, dry_run, filled_by) VALUES (%(group)s, %(dry_run)s, %(id)s)
ON CONFLICT (name, dry_run) DO UPDATE SET name = excluded.name RETURNING filled_by
"""

# An order whose swap may still land keeps its way: it cannot be cancelled. Without SKIP LOCKED this could wait for a
# worker that holds one of these rows and waits for another one; an order that is skipped is cancelled in the next turn.
# No attempt can be added meanwhile, since the group is locked, and the claim is raised, so that its worker stops.
_CANCEL = """
), u AS (
    UPDATE orders o SET status = 'cancelled', version = o.version + 1, claim = o.claim + 1, claims = 0, worker = NULL,
                        waiting = NULL, failure_reason = 'group-filled', resting = false, set_aside_at = NULL,
                        due_at = now.at, finished_at = now.at
    FROM m, (SELECT clock_timestamp() AS at) now WHERE o.id = m.id
    RETURNING o.id, o.version, o.type, now.at, m.detail
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail, position)
    SELECT id, version, 'cancelled', at, detail, event_position(id, version) FROM u
)
SELECT id, version, type, at, detail FROM u
"""
_CANCELLABLE = f"""
o.finished_at IS NULL AND o.status IN ('pending', 'waiting', 'routing', 'building')
AND NOT {OPEN_ATTEMPT} AND {COMPARED}
"""
CANCEL_OTHERS = f"""
WITH m AS (
    SELECT o.id, %(detail)s::jsonb AS detail FROM orders o
    WHERE o.oco_group = %(group)s AND o.dry_run = %(dry_run)s AND o.id <> %(id)s AND {_CANCELLABLE}
    ORDER BY o.id LIMIT {MOST_CANCELLED} FOR UPDATE OF o SKIP LOCKED
{_CANCEL}"""  # noqa: S608
OTHERS = """
SELECT count(*) FILTER (WHERE finished_at IS NULL) AS alive,
       array_agg(id) FILTER (WHERE status IN ('confirmed', 'simulated')) AS filled
FROM orders WHERE oco_group = %(group)s AND dry_run = %(dry_run)s AND id <> %(id)s
"""

JOINING = """
SELECT id, oco_group FROM orders
WHERE oco_group IS NOT NULL AND joined_at IS NULL AND finished_at IS NULL AND created_at > '-infinity'
ORDER BY created_at LIMIT %(limit)s
"""
CANCEL_LATE = f"""
WITH m AS (
    SELECT o.id, jsonb_build_object('reason', 'group-filled', 'filledBy', f.filled_by, 'detail', format(
               'order %%s of the group "%%s" was filled before', f.filled_by,
               substring(f.name FROM '[^/]*$'))) AS detail
    FROM orders o CROSS JOIN LATERAL (
        SELECT name, filled_by FROM oco_groups WHERE name = o.oco_group AND dry_run = o.dry_run OFFSET 0
    ) f
    WHERE o.id = ANY(%(ids)s) AND {_CANCELLABLE}
    ORDER BY o.id FOR UPDATE OF o SKIP LOCKED
{_CANCEL}"""  # noqa: S608
JOINED = """
WITH m AS (
    SELECT o.id FROM orders o
    WHERE o.id = ANY(%(ids)s) AND o.finished_at IS NULL AND o.joined_at IS NULL
      AND (SELECT true FROM oco_groups f WHERE f.name = o.oco_group AND f.dry_run = o.dry_run LIMIT 1) IS NULL
    ORDER BY o.id FOR UPDATE SKIP LOCKED
)
UPDATE orders o SET joined_at = clock_timestamp() FROM m WHERE o.id = m.id RETURNING o.id
"""


@dataclass(frozen=True, slots=True)
class EndedOrder:
    """An order that ended and has not been followed up."""

    id: UUID
    finished_at: datetime
    group: str | None


@dataclass(slots=True, kw_only=True)
class FollowUp:
    """What a follow-up did. `events` are committed. `armed` are the orders of a bracket that were made now.
    `also_filled`: other orders of the group that were filled as well, which must never be. `done`: nothing is left."""

    events: list[Event] = field(default_factory=list)
    cancelled: list[UUID] = field(default_factory=list)
    armed: list[UUID] = field(default_factory=list)
    also_filled: list[UUID] = field(default_factory=list)
    unknown_mints: list[str] = field(default_factory=list)
    done: bool = True


async def ended(database: Database, after: Place, limit: int) -> list[EndedOrder]:
    """Return orders that ended and were not followed up, in the order in which they ended, from behind `after`."""
    values = {"since": after[0], "after": after[1], "limit": limit}
    async with database.connection() as connection:
        return [
            EndedOrder(row.id, row.finished_at, row.oco_group) for row in await fetch_rows(connection, ENDED, values)
        ]


async def follow_up(database: Database, order: EndedOrder, tokens: Tokens, unreadable: Unreadable) -> FollowUp:
    """Do what the end of this order means for others, in one commit. `tokens` have the decimals of its bracket's
    pair. An order that this version cannot read is passed to `unreadable`, and nothing is written."""
    try:
        return await _follow_up(database, order, tokens)
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        unreadable(order.id, error)  # a newer version may have written it: the others must not wait for it
        return FollowUp(done=False)


async def _follow_up(database: Database, order: EndedOrder, tokens: Tokens) -> FollowUp:
    result = FollowUp()
    async with database.connection() as connection, connection.transaction():
        # The group's lock before any row of an order: a step takes them in the same order.
        if order.group is not None:
            await oco_groups.lock(connection, [order.group])
        row = await fetch_row(connection, TAKE, {"id": order.id})
        if row is None:  # another process was faster
            return result
        if row.status in (Status.CONFIRMED, Status.SIMULATED):
            if row.oco_group is not None:
                await _fill_group(connection, row, result)
            if row.terms is not None and "bracket" in row.terms:
                await _arm(connection, row, tokens, result)
        if result.done:
            if row.type == OrderType.RECURRING:
                # What ended it has done this after its commit, unless its process died in between.
                result.events += await slice_cancellations.cancel_slices_in(connection, [row.id])
            if row.parent is not None:
                result.events += await parents.child_ended(connection, row, tokens)
            await connection.execute(DONE, {"id": order.id})
    return result


async def _fill_group(connection: Connection, row: Any, result: FollowUp) -> None:
    """Cancel the other orders of the group."""
    values = {"id": row.id, "group": row.oco_group, "dry_run": row.dry_run}
    first = await fetch_row(connection, FILL, values)
    detail = filled_detail(row.oco_group, first.filled_by)
    result.events += await _cancelled(connection, CANCEL_OTHERS, values | {"detail": Jsonb(dict(detail))})
    result.cancelled += [event.order_id for event in result.events]
    others = await fetch_row(connection, OTHERS, values)
    result.also_filled += others.filled or []
    # An order whose swap may still land, or whose row was locked, is looked at again.
    result.done = others.alive == 0


async def _arm(connection: Connection, row: Any, tokens: Tokens, result: FollowUp) -> None:
    """Make the orders of the bracket, for the amount that was received."""
    terms = Terms.of(row.terms)
    first, second = tokens.get(row.input_mint), tokens.get(row.output_mint)
    if first is None or second is None:
        # Without its decimals no amount can be written. The bracket is armed when the token is configured again.
        result.unknown_mints += [mint for mint in (row.input_mint, row.output_mint) if tokens.get(mint) is None]
        result.done = False
        return
    if terms.bracket is None or not row.amount_in or not row.amount_out:
        return
    entry = FilledEntry(
        id=row.id,
        side=Side(row.side),
        input=first,
        output=second,
        amount_in=int(row.amount_in),
        amount_out=int(row.amount_out),
        slippage_bps=row.slippage_bps,
        max_price_impact_bps=row.max_price_impact_bps,
        client=row.client,
        tag=row.tag,
        dry_run=row.dry_run,
    )
    events = await child_orders.insert(connection, exits_of(entry, terms.bracket))
    result.events += events
    result.armed += dict.fromkeys(event.order_id for event in events)


async def join(database: Database, limit: int) -> tuple[int, list[Event]]:
    """Check new orders of groups: cancel those whose group has been filled before they came. Returns how many are
    settled by that, and the new events. The others are looked at again: their rows were locked, or the record is not
    compared with the chain yet."""
    async with database.connection() as connection, connection.transaction():
        rows = await fetch_rows(connection, JOINING, {"limit": limit})
        if not rows:
            return 0, []
        await oco_groups.lock(connection, [row.oco_group for row in rows])
        ids = [row.id for row in rows]
        # In this order, each in a snapshot after the locks: an order that is joined is seen by whoever fills the group.
        events = await _cancelled(connection, CANCEL_LATE, {"ids": ids})
        joined = await fetch_rows(connection, JOINED, {"ids": ids})
    return len(joined) + len(events), events


async def _cancelled(connection: Connection, statement: str, values: dict[str, object]) -> list[Event]:
    return [
        Event(
            order_id=row.id,
            seq=row.version,
            status=Status.CANCELLED,
            at=row.at,
            detail=row.detail,
            kind=row.type,
        )
        for row in await fetch_rows(connection, statement, values)
    ]

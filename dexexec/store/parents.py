"""Recurring orders and the orders of their slices: reads a parent under its lock, and writes what was decided for it.

`dexexec.domain.recurring_order` decides. Beside `slices`, which makes the orders, and `follow_ups`, which finds those
that have ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from dexexec.domain.bound import Bound
from dexexec.domain.event import Event
from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.domain.recurring_order import Change, EndedSlice, RecurringOrder, end_slice
from dexexec.domain.slice_progress import Progress
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms
from dexexec.domain.token import Tokens
from dexexec.store.database import Connection
from dexexec.store.rows import fetch_row, fetch_rows, json_rows

COLUMNS = """
    o.id, o.version, o.created_at, o.side, o.mode, o.amount, o.amount_base, o.input_mint, o.output_mint, o.slippage_bps,
    o.client, o.terms, o.min_out, o.max_in, o.bound_open, o.max_price_impact_bps, o.tag, o.dry_run, o.progress,
    o.wake_at, o.finished_at, clock_timestamp() AS now
"""
LOCK = f"SELECT {COLUMNS} FROM orders o WHERE o.id = %(id)s AND o.type = 'recurring' FOR UPDATE OF o"  # noqa: S608

# The rows are locked by the caller, so their versions have not changed.
WRITE = """
WITH t AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json)
    AS t(id uuid, version int, steps int, status text, progress jsonb, wake_at timestamptz, final bool, reason text,
         amount_in numeric, amount_out numeric)
), u AS (
    UPDATE orders o SET
        version = o.version + t.steps, status = t.status, progress = t.progress, waiting = NULL,
        wake_at = t.wake_at, resting = NOT t.final, failure_reason = coalesce(t.reason, o.failure_reason),
        amount_in = coalesce(t.amount_in, o.amount_in), amount_out = coalesce(t.amount_out, o.amount_out),
        due_at = CASE WHEN t.final THEN now.at ELSE o.due_at END, finished_at = CASE WHEN t.final THEN now.at END,
        finalized_at = CASE WHEN t.final AND t.status = 'confirmed' THEN now.at END
    FROM t, (SELECT clock_timestamp() AS at) now
    WHERE o.id = t.id AND o.version = t.version AND o.finished_at IS NULL
    RETURNING o.id, t.version AS base, now.at
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail, position)
    SELECT u.id, u.base + e.step, e.status, u.at, e.detail, event_position(u.id, u.base + e.step)
    FROM json_to_recordset(%(events)s::json) AS e(id uuid, step int, status text, detail jsonb) JOIN u USING (id)
)
SELECT id, at FROM u
"""

# A parent that was cancelled has no more events. What its signed orders still fill counts all the same.
COUNT = """
UPDATE orders SET progress = %(progress)s,
                  amount_in = coalesce(%(amount_in)s::numeric, amount_in),
                  amount_out = coalesce(%(amount_out)s::numeric, amount_out)
WHERE id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Parent:
    """A recurring order under its lock. `now` is the time of Postgres. `ended`: it takes no more events."""

    order: RecurringOrder
    version: int
    wake_at: datetime | None
    now: datetime
    ended: bool


def read(row: Any, tokens: Tokens) -> Parent:
    """The parent in a row of `COLUMNS`. Raises `LookupError`, `TypeError` and `ValueError` for one that this version
    cannot read."""
    terms = Terms.of(row.terms)
    if terms.recurring is None:
        raise ValueError("the order has no schedule")
    first, second = tokens.get(row.input_mint), tokens.get(row.output_mint)
    order = RecurringOrder(
        id=row.id,
        created_at=row.created_at,
        side=Side(row.side),
        mode=Mode(row.mode),
        amount=row.amount,
        amount_base=int(row.amount_base),
        input_mint=row.input_mint,
        output_mint=row.output_mint,
        slippage_bps=row.slippage_bps,
        client=row.client,
        recurring=terms.recurring,
        progress=Progress.of(row.progress),
        expires_at=terms.expires_at,
        bound=None if row.min_out is None or row.max_in is None else Bound(int(row.min_out), int(row.max_in)),
        bound_open=row.bound_open,
        max_price_impact_bps=row.max_price_impact_bps,
        tag=row.tag,
        dry_run=row.dry_run,
        decimals=(first.decimals, second.decimals) if first and second else None,
    )
    return Parent(order, row.version, row.wake_at, row.now, ended=row.finished_at is not None)


async def write(connection: Connection, changes: Sequence[tuple[Parent, Change]]) -> list[Event]:
    """Write changes of parents that the transaction has locked; returns their events."""
    rows = [_row(parent, change) for parent, change in changes]
    events = [
        {"id": parent.order.id, "step": step, "status": status, "detail": detail}
        for parent, change in changes
        for step, (status, detail) in enumerate(change.events, 1)
    ]
    values = {"rows": json_rows(rows), "events": json_rows(events)}
    times: dict[UUID, datetime] = {row.id: row.at for row in await fetch_rows(connection, WRITE, values)}
    return [
        Event(
            order_id=parent.order.id,
            seq=seq,
            status=status,
            at=times[parent.order.id],
            detail=detail,
            kind=OrderType.RECURRING.value,
        )
        for parent, change in changes
        if parent.order.id in times
        for seq, (status, detail) in enumerate(change.events, parent.version + 1)
    ]


def _row(parent: Parent, change: Change) -> dict[str, object]:
    return {
        "id": parent.order.id,
        "version": parent.version,
        "steps": len(change.events),
        "status": change.events[-1][0] if change.events else Status.WAITING,
        "progress": change.progress.detail(),
        "wake_at": change.wake_at,
        "final": change.final,
        "reason": change.reason,
        **_sums(change.progress),
    }


def _sums(progress: Progress) -> dict[str, object]:
    """The sums of the fills; nothing before the first one."""
    return {
        "amount_in": str(progress.amount_in) if progress.filled else None,
        "amount_out": str(progress.amount_out) if progress.filled else None,
    }


async def child_ended(connection: Connection, child: Any, tokens: Tokens) -> list[Event]:
    """Count an order that has ended in its parent, if that is a recurring order. `child` is its row. To be called once
    for each order, in the transaction that sets its `followed_up_at`; returns the parent's events."""
    row = await fetch_row(connection, LOCK, {"id": child.parent})
    if row is None or child.terms is None or "slice" not in child.terms:
        return []
    parent = read(row, tokens)
    is_filled = child.status in (Status.CONFIRMED, Status.SIMULATED)
    ended = EndedSlice(
        id=child.id,
        number=int(child.terms["slice"]["number"]),
        status=Status(child.status),
        amount_in=int(child.amount_in) if is_filled and child.amount_in is not None else None,
        amount_out=int(child.amount_out) if is_filled and child.amount_out is not None else None,
        reason=child.failure_reason,
    )
    change = end_slice(parent.order, ended, parent.wake_at)
    if not parent.ended:
        return await write(connection, [(parent, change)])
    values = {"id": parent.order.id, "progress": Jsonb(change.progress.detail()), **_sums(change.progress)}
    await connection.execute(COUNT, values)
    return []

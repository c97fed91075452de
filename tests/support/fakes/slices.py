"""What `dexexec.store.slices`, `parents` and `slice_cancellations` do to the rows, in memory. Each function is one
transaction."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.recurring_order import Change, EndedSlice, RecurringOrder, end_slice, take_turn
from dexexec.domain.slice_progress import Progress
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import Tokens
from dexexec.store.slice_cancellations import DETAIL
from dexexec.store.slices import PAGE
from tests.support.fakes.rows import SECOND, OrderRow, moment, us_of

if TYPE_CHECKING:
    from tests.support.fakes.database import MemoryDatabase

FILLED = {Status.CONFIRMED, Status.SIMULATED}


def make_due(database: "MemoryDatabase", tokens: Tokens) -> tuple[list[UUID] | None, list[Event]]:
    """Make the slices that are due: the new orders, or None if no recurring order was due; and the events."""
    now = database.now()
    stopped = any((row.stopped_at or 0) > now - 30 * SECOND for row in database.comparisons.values())
    due = [row for row in database.orders.values() if _is_due(row, now) and not stopped]
    made: list[UUID] = []
    events: list[Event] = []
    for row in sorted(due, key=lambda row: row.wake_at or 0)[:PAGE]:
        change = take_turn(_parent(row, tokens), moment(now))
        events += _write(database, row, change)
        child = change.child
        if child is not None and child.id in database.orders:
            # It came back from the chain: with its parent, its end has its consequences.
            database.orders[child.id].new = child
        elif child is not None:
            events += database.create(child, float(child.deadline_ms))[1]
        made += [child.id] if child is not None else []
    return (made if due else None), events


def _is_due(row: OrderRow, now: int) -> bool:
    return row.new.type is OrderType.RECURRING and row.resting and row.wake_at is not None and row.wake_at <= now


def _parent(row: OrderRow, tokens: Tokens) -> RecurringOrder:
    new = row.new
    first, second = tokens.get(new.input_mint), tokens.get(new.output_mint)
    assert new.terms is not None
    assert new.terms.recurring is not None
    return RecurringOrder(
        id=new.id,
        created_at=moment(row.created_at),
        side=new.side,
        mode=new.mode,
        amount=new.amount,
        amount_base=new.amount_base,
        input_mint=new.input_mint,
        output_mint=new.output_mint,
        slippage_bps=new.slippage_bps,
        client=new.client,
        recurring=new.terms.recurring,
        progress=row.progress or Progress(),
        expires_at=new.terms.expires_at,
        bound=new.bound,
        bound_open=new.bound_open,
        max_price_impact_bps=new.max_price_impact_bps,
        tag=new.tag,
        dry_run=new.dry_run,
        decimals=(first.decimals, second.decimals) if first and second else None,
    )


def _write(database: "MemoryDatabase", row: OrderRow, change: Change) -> list[Event]:
    row.progress = change.progress
    row.wake_at = us_of(change.wake_at) if change.wake_at else None
    events = [_event(database, row, status, detail) for status, detail in change.events]
    if change.progress.filled:
        row.amount_in, row.amount_out = change.progress.amount_in, change.progress.amount_out
    if change.final:
        row.resting, row.finished_at = False, database.now()
        row.due_at = row.finished_at
        row.failure_reason = change.reason or row.failure_reason
        row.finalized_at = row.finished_at if row.status is Status.CONFIRMED else None
    return events


def _event(database: "MemoryDatabase", row: OrderRow, status: Status, detail: object) -> Event:
    assert isinstance(detail, dict)
    row.status = status
    row.version += 1
    event = Event(order_id=row.new.id, seq=row.version, status=status, at=moment(database.now()), detail=detail)
    row.events.append(event)
    row.claim_of.append(row.claim)
    return event


def child_ended(database: "MemoryDatabase", row: OrderRow, tokens: Tokens) -> list[Event]:
    """Count an order that has ended in its parent, if that is a recurring order."""
    parent = database.orders.get(row.new.parent) if row.new.parent is not None else None
    place = row.new.terms.slice if row.new.terms is not None else None
    if parent is None or place is None:
        return []
    filled = row.status in FILLED
    ended = EndedSlice(
        id=row.new.id,
        number=place.number,
        status=row.status,
        amount_in=row.amount_in if filled else None,
        amount_out=row.amount_out if filled else None,
        reason=row.failure_reason,
    )
    wake_at = moment(parent.wake_at) if parent.wake_at is not None else None
    change = end_slice(_parent(parent, tokens), ended, wake_at)
    if parent.finished_at is None:
        return _write(database, parent, change)
    parent.progress = change.progress
    if change.progress.filled:
        parent.amount_in, parent.amount_out = change.progress.amount_in, change.progress.amount_out
    return []


def cancel_slices(
    database: "MemoryDatabase", parents: Sequence[UUID], unsigned: Callable[[OrderRow], bool]
) -> list[Event]:
    """Cancel the orders of these orders' slices for which nothing was signed."""
    events = []
    for row in database.orders.values():
        parent = row.new.parent
        if (
            parent is None
            or parent not in parents
            or row.new.terms is None
            or row.new.terms.slice is None
            or row.finished_at is not None
        ):
            continue
        if database.orders[parent].finished_at is None or not unsigned(row) or not database.compared(row.created_at):
            continue
        row.claim += 1
        row.claims, row.worker, row.waiting, row.failure_reason, row.resting = 0, None, None, None, False
        row.finished_at = database.now()
        events.append(_event(database, row, Status.CANCELLED, {"detail": DETAIL, "parentId": str(parent)}))
    return events

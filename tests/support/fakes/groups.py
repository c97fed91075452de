"""What `dexexec.store.oco_groups` and `dexexec.store.follow_ups` do to the rows, in memory. Each function is one
commit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dexexec.domain.bracket_exits import FilledEntry, exits_of
from dexexec.domain.event import Event
from dexexec.domain.oco import GroupHeld, filled_detail
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import Tokens
from dexexec.store import EndedOrder, FollowUp, Step
from dexexec.store.follow_ups import Place
from dexexec.store.oco_groups import ALSO_FILLED
from tests.support.fakes import slices
from tests.support.fakes.rows import OrderRow, moment, us_of

if TYPE_CHECKING:
    from tests.support.fakes.database import MemoryDatabase

FILLED = (Status.CONFIRMED, Status.SIMULATED)
CANCELLABLE = (Status.PENDING, Status.WAITING, Status.ROUTING, Status.BUILDING)


def others(database: "MemoryDatabase", row: OrderRow) -> list[OrderRow]:
    """The other orders of its group."""
    group, dry_run = row.new.oco_group, row.new.dry_run
    rows = database.orders.values()
    return [one for one in rows if one is not row and (one.new.oco_group, one.new.dry_run) == (group, dry_run)]


def held(database: "MemoryDatabase", row: OrderRow, lookups: int) -> GroupHeld | None:
    """Why the order may not be swapped now."""
    group = row.new.oco_group
    if group is None:
        return None
    rest = others(database, row)
    filled_by = database.filled_groups.get((group, row.new.dry_run))
    filled = [one.new.id for one in rest if one.finished_at is not None and one.status in FILLED]
    if filled_by not in (None, row.new.id) or filled:
        return GroupHeld(group, filled_by or filled[0], filled=True)
    for one in rest:
        if one.finished_at is None and (one.open_attempt is not None or one.status is Status.SUBMITTED):
            return GroupHeld(group, one.new.id, filled=one.status is Status.CONFIRMED)
    return GroupHeld(group, None) if sum(len(one.attempts) for one in rest) > lookups else None


def signatures(database: "MemoryDatabase", row: OrderRow) -> tuple[str, ...]:
    """Of the attempts of the other orders of its group."""
    if row.new.oco_group is None:
        return ()
    return tuple(one.attempt.signed.signature for other in others(database, row) for one in other.attempts)


def reported(database: "MemoryDatabase", row: OrderRow, step: Step) -> tuple[tuple[Status, Mapping[str, object]], ...]:
    """The events of a step, with what else filled the group."""
    if not step.swapped or row.new.oco_group is None:
        return step.events
    found = held(database, row, 10**9)
    if found is None or not found.filled:
        return step.events
    status, detail = step.events[-1]
    return *step.events[:-1], (status, {**detail, ALSO_FILLED: [str(found.order_id)]})


def ended(database: "MemoryDatabase", after: Place, limit: int) -> list[EndedOrder]:
    """Orders to follow up, in the order in which they ended."""
    behind = (us_of(after[0]), after[1])
    found = sorted(
        (row.finished_at, order_id)
        for order_id, row in database.orders.items()
        if row.finished_at is not None and not row.followed_up and _concerns_others(row)
    )
    places = [(at, order_id) for at, order_id in found if (at, order_id) > behind][:limit]
    return [EndedOrder(order_id, moment(at), database.orders[order_id].new.oco_group) for at, order_id in places]


def _concerns_others(row: OrderRow) -> bool:
    bracket = row.new.terms is not None and row.new.terms.bracket is not None
    recurring = row.new.type is OrderType.RECURRING
    return row.new.oco_group is not None or row.new.parent is not None or bracket or recurring


def follow_up(database: "MemoryDatabase", order: EndedOrder, tokens: Tokens) -> FollowUp:
    """Do what its end means for others."""
    row, result = database.orders[order.id], FollowUp()
    if row.followed_up:
        return result
    if row.status in FILLED:
        if row.new.oco_group is not None:
            _fill_group(database, row, result)
        if row.new.terms is not None and row.new.terms.bracket is not None:
            _arm(database, row, tokens, result)
    if result.done:
        result.events += database.cancel_slices([row.new.id])
        result.events += slices.child_ended(database, row, tokens)
    row.followed_up = result.done
    return result


def _fill_group(database: "MemoryDatabase", row: OrderRow, result: FollowUp) -> None:
    group = row.new.oco_group
    assert group is not None
    filled_by = database.filled_groups.setdefault((group, row.new.dry_run), row.new.id)
    for one in others(database, row):
        if _may_be_cancelled(database, one):
            result.events.append(_cancel(database, one, filled_detail(group, filled_by)))
            result.cancelled.append(one.new.id)
    result.also_filled += [one.new.id for one in others(database, row) if one.status in FILLED]
    result.done = all(one.finished_at is not None for one in others(database, row))


def _may_be_cancelled(database: "MemoryDatabase", row: OrderRow) -> bool:
    free = row.finished_at is None and row.status in CANCELLABLE and row.open_attempt is None
    return free and database.compared(row.created_at)


def _cancel(database: "MemoryDatabase", row: OrderRow, detail: Mapping[str, object]) -> Event:
    row.claim += 1
    row.claims, row.worker, row.waiting, row.failure_reason, row.resting = 0, None, None, "group-filled", False
    row.status, row.finished_at = Status.CANCELLED, database.now()
    row.version += 1
    at = moment(row.finished_at)
    event = Event(order_id=row.new.id, seq=row.version, status=row.status, at=at, detail=dict(detail))
    row.events.append(event)
    row.claim_of.append(row.claim)
    return event


def _arm(database: "MemoryDatabase", row: OrderRow, tokens: Tokens, result: FollowUp) -> None:
    new = row.new
    first, second = tokens.get(new.input_mint), tokens.get(new.output_mint)
    if first is None or second is None:
        result.unknown_mints += [mint for mint in (new.input_mint, new.output_mint) if tokens.get(mint) is None]
        result.done = False
        return
    assert new.terms is not None
    if new.terms.bracket is None or not row.amount_in or not row.amount_out:
        return
    entry = FilledEntry(
        id=new.id,
        side=new.side,
        input=first,
        output=second,
        amount_in=row.amount_in,
        amount_out=row.amount_out,
        slippage_bps=new.slippage_bps,
        max_price_impact_bps=new.max_price_impact_bps,
        client=new.client,
        tag=new.tag,
        dry_run=new.dry_run,
    )
    for child in exits_of(entry, new.terms.bracket):
        known = database.orders.get(child.id)
        if known is not None and known.new.parent is None:
            # It came back from the chain, which does not know whose exit it is.
            known.new = replace(known.new, parent=child.parent, oco_group=child.oco_group, tag=child.tag)
        if known is None:
            _, events = database.create(child, float(child.deadline_ms))
            result.events += events
            result.armed.append(child.id)


def join(database: "MemoryDatabase", limit: int) -> tuple[int, list[Event]]:
    """Cancel new orders whose group was filled before."""
    rows = [row for row in database.orders.values() if row.new.oco_group and not row.joined and row.finished_at is None]
    events = []
    settled = 0
    for row in rows[:limit]:
        group = row.new.oco_group
        filled_by = database.filled_groups.get((group or "", row.new.dry_run))
        if filled_by is None:
            row.joined = True
            settled += 1
        elif _may_be_cancelled(database, row):
            events.append(_cancel(database, row, filled_detail(group or "", filled_by, before=True)))
    return settled + len(events), events


def wake(database: "MemoryDatabase", group: str, landed: Sequence[str]) -> None:
    """Make resting orders of the group due that have one of these attempts."""
    for row in database.orders.values():
        has_landed = any(one.attempt.signed.signature in landed for one in row.attempts)
        if row.new.oco_group == group and row.resting and has_landed:
            row.resting, row.due_at = False, database.now()

"""A recurring order as its record has it, and what happens to it: a turn of its schedule, and the end of a slice.

Pure: `store.slices` and `store.parents` read the order under its row lock, and write the `Change` that is decided here.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from dexexec.domain.bound import Bound, bound_of
from dexexec.domain.child_id import child_id
from dexexec.domain.event import Detail, timestamp
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.quote import Mode
from dexexec.domain.rate import price_at, shown
from dexexec.domain.recurring import Plan, Recurring, Schedule, Slice, in_tokens, least_of, most_of, plan, share
from dexexec.domain.slice_progress import Progress
from dexexec.domain.status import Status, Trigger, advance
from dexexec.domain.terms import Terms
from dexexec.domain.wait_reason import WaitsFor


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringOrder:
    """A recurring order. `decimals` are those of the pair's input and output mint, None if one of the tokens is not
    configured any more; only prices for people need them."""

    id: UUID
    created_at: datetime
    side: Side
    mode: Mode
    amount: Decimal
    amount_base: int
    input_mint: str
    output_mint: str
    slippage_bps: int
    client: str
    recurring: Recurring
    progress: Progress
    expires_at: datetime | None = None
    bound: Bound | None = None
    bound_open: bool = True
    max_price_impact_bps: int | None = None
    tag: str | None = None
    dry_run: bool = False
    decimals: tuple[int, int] | None = None

    @property
    def schedule(self) -> Schedule:
        """When its slices are due."""
        return Schedule.of(self.recurring, self.created_at, self.expires_at)

    def price(self, amount_in: int, amount_out: int) -> str | None:
        """The price of a swap of these amounts; None without decimals or amounts."""
        if self.decimals is None or not amount_in or not amount_out:
            return None
        rate = Fraction(amount_out, amount_in)
        return shown(price_at(rate, self.side, input_decimals=self.decimals[0], output_decimals=self.decimals[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSlice:
    """An order of a slice that has ended. The amounts are those of its fill, None without one."""

    id: UUID
    number: int
    status: Status
    amount_in: int | None
    amount_out: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be written: the progress, the order's events, when to look again, and the order of a new slice.
    `final`: the order ends with the last event, for `reason` if it was not filled."""

    progress: Progress
    events: tuple[tuple[Status, Detail], ...] = ()
    wake_at: datetime | None = None
    child: NewOrder | None = None
    final: bool = False
    reason: str | None = None


def take_turn(order: RecurringOrder, now: datetime) -> Change:
    """What is due `now`: slices that are left out, one that is made, or the end of the order."""
    step = plan(order.schedule, order.progress.next_slice, order.progress.made_at, now)
    progress = order.progress
    details: list[Detail] = []
    if step.skipped:
        progress = replace(progress.with_skipped(len(step.skipped)), expired=progress.expired or step.expired)
        details.append({**_next(order, progress, step.wake_at), **_skipped(order, step)})
    child = None
    if step.make is not None:
        progress = progress.with_made(now)
        child = slice_order(order, step.make)
        details.append({**_next(order, progress, step.wake_at), **_made(order, child, step.make, now)})
    waiting = tuple((advance(Status.WAITING, Trigger.WAIT), detail) for detail in details)
    return _ended_or(order, Change(progress=progress, events=waiting, wake_at=step.wake_at, child=child))


def end_slice(order: RecurringOrder, ended: EndedSlice, wake_at: datetime | None) -> Change:
    """What the end of a slice's order means for its parent, which looks at its schedule again at `wake_at`."""
    if ended.amount_in is not None and ended.amount_out is not None:
        progress = order.progress.with_fill(
            ended.amount_in, ended.amount_out, simulated=ended.status is Status.SIMULATED
        )
        fill: Detail = {
            "sliceAmountIn": str(ended.amount_in),
            "sliceAmountOut": str(ended.amount_out),
            "slicePrice": order.price(ended.amount_in, ended.amount_out),
        }
    else:
        progress = order.progress.without_fill(ended.reason)
        fill = {"sliceReason": ended.reason} if ended.reason else {}
    progress = replace(progress, average_price=order.price(progress.amount_in, progress.amount_out))
    detail = {
        "slice": ended.number,
        "of": order.recurring.slices,
        "childId": str(ended.id),
        "childStatus": ended.status.value,
        **fill,
        **progress.shown(),
        **_next(order, progress, wake_at),
    }
    detail["detail"] = f"slice {ended.number} of {order.recurring.slices} is {ended.status}; {detail['detail']}"
    waiting = ((advance(Status.WAITING, Trigger.WAIT), detail),)
    return _ended_or(order, Change(progress=progress, events=waiting, wake_at=wake_at))


def slice_order(order: RecurringOrder, number: int) -> NewOrder:
    """The order of a slice: a market order for its part of the amount, with its part of the bound."""
    slices = order.recurring.slices
    part = share(order.amount_base, slices, number)
    exact_in = order.mode is Mode.EXACT_IN
    bound = None
    if order.bound is not None:
        if exact_in:
            worst = least_of(order.bound.min_out, part, order.amount_base)
        else:
            worst = most_of(order.bound.max_in, part, order.amount_base)
        bound = bound_of(order.mode, part, worst)
    best = order.recurring.best_other
    if best is not None:
        best = most_of(best, part, order.amount_base) if exact_in else least_of(best, part, order.amount_base)
    return NewOrder(
        id=child_id(order.id, str(number)),
        side=order.side,
        amount=in_tokens(part, order.amount, order.amount_base),
        amount_base=part,
        mode=order.mode,
        input_mint=order.input_mint,
        output_mint=order.output_mint,
        slippage_bps=order.slippage_bps,
        deadline_ms=order.recurring.deadline_seconds * 1000,
        client=order.client,
        bound=bound,
        bound_open=order.bound_open,
        max_price_impact_bps=order.max_price_impact_bps,
        terms=Terms(slice=Slice(number, slices, best)),
        tag=order.tag,
        dry_run=order.dry_run,
        parent=order.id,
    )


def _made(order: RecurringOrder, child: NewOrder, number: int, now: datetime) -> Detail:
    late = now - order.schedule.due_at(number)
    following = _until(order, number + 1)
    return {
        "slice": number,
        "of": order.recurring.slices,
        "childId": str(child.id),
        "sliceAmount": format(child.amount, "f"),
        "lateMs": late // timedelta(milliseconds=1),
        "detail": f"slice {number} of {order.recurring.slices} is made as an order of its own{following}",
    }


def _skipped(order: RecurringOrder, step: Plan) -> Detail:
    first, last = step.skipped[0], step.skipped[-1]
    what = f"slice {first} is" if first == last else f"slices {first} to {last} are"
    why = "since the order has expired" if step.expired else "since the next one was due before it could be made"
    return {
        "skipped": {"from": first, "to": last},
        "of": order.recurring.slices,
        "detail": f"{what} left out, {why}{'' if step.expired else _until(order, last + 1)}",
    }


def _until(order: RecurringOrder, number: int) -> str:
    if number > order.recurring.slices:
        return ""
    return f"; slice {number} is due at {timestamp(order.schedule.due_at(number))}"


def _next(order: RecurringOrder, progress: Progress, wake_at: datetime | None) -> dict[str, object]:
    """What the order waits for after an event."""
    if wake_at is None or progress.next_slice > order.recurring.slices:
        return {"waitsFor": WaitsFor.SLICES, "detail": "it waits for the end of the slices that were made"}
    due = timestamp(order.schedule.due_at(progress.next_slice))
    detail = f"slice {progress.next_slice} is due at {due}"
    return {"waitsFor": WaitsFor.TIME, "nextSliceAt": due, "detail": detail}


def _ended_or(order: RecurringOrder, change: Change) -> Change:
    """The change, with the order's end if nothing is left."""
    progress = change.progress
    if not progress.is_over(order.recurring.slices):
        return change
    reason = None
    counts = f"{progress.filled} of {order.recurring.slices} slices were filled"
    detail: dict[str, object] = {**progress.shown(), "detail": counts}
    if progress.filled:
        trigger = Trigger.SIMULATE if progress.simulated else Trigger.COMPLETE
        detail |= {
            "price": progress.average_price,
            "amountIn": str(progress.amount_in),
            "amountOut": str(progress.amount_out),
            "finalized": True,
        }
    else:
        trigger = Trigger.EXPIRE if progress.expired else Trigger.FAIL
        fallback = FailureReason.DEADLINE if progress.expired else FailureReason.NO_SLICE_FILLED
        reason = progress.last_reason or fallback.value
        detail |= {"reason": reason, "detail": f"none of its {order.recurring.slices} slices was filled"}
    end = (advance(Status.WAITING, trigger), detail)
    return replace(change, events=(*change.events, end), wake_at=None, final=True, reason=reason)

"""What happens to a recurring order: its slices as orders, their ends, and its own end with sums and average price."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.child_id import child_id
from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.domain.recurring import Missed, Recurring
from dexexec.domain.recurring_order import EndedSlice, RecurringOrder, end_slice, slice_order, take_turn
from dexexec.domain.slice_progress import Progress
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import USDC, WSOL

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ORDER = RecurringOrder(
    id=UUID(int=7),
    created_at=NOON,
    side=Side.BUY,
    mode=Mode.EXACT_IN,
    amount=Decimal("0.01"),
    amount_base=10_000_000,
    input_mint=WSOL,
    output_mint=USDC,
    slippage_bps=50,
    client="10.0.0.1",
    recurring=Recurring(slices=3, every=5 * MINUTE, missed=Missed.SKIP, deadline_seconds=30),
    progress=Progress(),
    bound=Bound(1_400_000, 10_000_000),
    bound_open=False,
    tag="dca",
    decimals=(9, 6),
)


def ended(number: int, status: Status, reason: str | None = None, **amounts: int) -> EndedSlice:
    return EndedSlice(
        id=child_id(ORDER.id, str(number)),
        number=number,
        status=status,
        amount_in=amounts.get("amount_in"),
        amount_out=amounts.get("amount_out"),
        reason=reason,
    )


def after(order: RecurringOrder, *slices: EndedSlice) -> RecurringOrder:
    for one in slices:
        order = replace(order, progress=end_slice(order, one, None).progress)
    return order


ALL_MADE = replace(ORDER, progress=Progress(next_slice=4, made=3, made_at=NOON))


def test_a_turn_makes_a_slice_as_a_market_order_and_reports_when_the_next_is_due() -> None:
    change = take_turn(ORDER, NOON + timedelta(seconds=1))
    assert change.child is not None
    assert (change.child.type, change.child.parent, change.child.tag) == (OrderType.MARKET, ORDER.id, "dca")
    assert (change.child.amount, change.child.amount_base) == (Decimal("0.003333333"), 3_333_333)
    assert (change.child.deadline_ms, change.child.idempotency_key) == (30_000, None)
    assert change.wake_at == NOON + 5 * MINUTE
    [(status, detail)] = change.events
    assert status is Status.WAITING
    assert detail == {
        "slice": 1,
        "of": 3,
        "childId": str(child_id(ORDER.id, "1")),
        "sliceAmount": "0.003333333",
        "lateMs": 1000,
        "waitsFor": "time",
        "nextSliceAt": "2026-01-31T12:05:00.000Z",
        "detail": "slice 1 of 3 is made as an order of its own; slice 2 is due at 2026-01-31T12:05:00.000Z",
    }


def test_a_turn_may_leave_slices_out_and_make_one() -> None:
    change = take_turn(ORDER, NOON + 11 * MINUTE)
    assert [detail.get("skipped", detail.get("slice")) for _, detail in change.events] == [{"from": 1, "to": 2}, 3]
    assert change.progress == Progress(next_slice=4, made=1, skipped=2, made_at=NOON + 11 * MINUTE)
    assert change.wake_at is None
    assert change.events[-1][1]["waitsFor"] == "slices"
    assert not change.final


@pytest.mark.parametrize(
    ("mode", "bound", "best", "expected_bound", "expected_best"),
    [
        (Mode.EXACT_IN, Bound(1_400_000, 10_000_000), 1_600_000, Bound(466_667, 3_333_333), 533_333),
        (Mode.EXACT_OUT, Bound(10_000_000, 1_600_000), 1_400_000, Bound(3_333_333, 533_333), 466_667),
    ],
)
def test_a_slice_has_its_part_of_both_ends_of_the_range_and_no_more(
    mode: Mode, bound: Bound, best: int, expected_bound: Bound, expected_best: int
) -> None:
    order = replace(ORDER, mode=mode, bound=bound, recurring=replace(ORDER.recurring, best_other=best))
    child = slice_order(order, 1)
    assert child.bound == expected_bound
    assert child.terms is not None
    assert child.terms.slice is not None
    assert child.terms.slice.best_other == expected_best


def test_without_a_range_a_slice_has_no_bound_of_its_own() -> None:
    child = slice_order(replace(ORDER, bound=None, bound_open=True), 1)
    assert (child.bound, child.bound_open) == (None, True)


def test_the_sums_are_exact_and_the_average_price_is_their_quotient() -> None:
    change = end_slice(ALL_MADE, ended(1, Status.CONFIRMED, amount_in=3_333_333, amount_out=500_000), None)
    [(status, detail)] = change.events
    assert status is Status.WAITING
    assert detail["slicePrice"] == "150.000015"
    assert (detail["endedSlices"], detail["filledSlices"], detail["averagePrice"]) == (1, 1, "150.000015")
    assert detail["childStatus"] == "confirmed"
    two = after(
        ALL_MADE,
        ended(1, Status.CONFIRMED, amount_in=4, amount_out=1),
        ended(2, Status.CONFIRMED, amount_in=6, amount_out=4),
    )
    assert (two.progress.amount_in, two.progress.amount_out, two.progress.average_price) == (10, 5, "500")


def test_for_a_sell_the_price_is_what_was_paid_for_what_was_received() -> None:
    sell = replace(ALL_MADE, side=Side.SELL)
    change = end_slice(sell, ended(1, Status.CONFIRMED, amount_in=450_000, amount_out=3_000_000), None)
    assert change.progress.average_price == "150"


def test_a_slice_without_a_fill_never_ends_the_order_while_others_are_left() -> None:
    change = end_slice(ORDER, ended(1, Status.EXPIRED, "slippage"), NOON + 5 * MINUTE)
    assert not change.final
    assert change.wake_at == NOON + 5 * MINUTE
    assert change.events[0][1]["sliceReason"] == "slippage"
    assert change.events[0][1]["detail"] == "slice 1 of 3 is expired; slice 1 is due at 2026-01-31T12:00:00.000Z"


def test_with_one_fill_among_the_slices_the_order_ends_as_confirmed() -> None:
    order = after(ALL_MADE, ended(1, Status.EXPIRED, "slippage"), ended(2, Status.CANCELLED))
    change = end_slice(order, ended(3, Status.CONFIRMED, amount_in=3_333_334, amount_out=500_000), None)
    status, detail = change.events[-1]
    assert (change.final, status, change.reason) == (True, Status.CONFIRMED, None)
    assert (detail["amountIn"], detail["amountOut"], detail["finalized"]) == ("3333334", "500000", True)
    assert detail["detail"] == "1 of 3 slices were filled"


def test_a_dry_run_ends_as_simulated() -> None:
    order = after(ALL_MADE, *(ended(n, Status.SIMULATED, amount_in=3, amount_out=500_000) for n in (1, 2)))
    change = end_slice(order, ended(3, Status.FAILED, "no-route"), None)
    assert change.events[-1][0] is Status.SIMULATED


def test_without_a_fill_the_order_fails_for_the_last_reason() -> None:
    order = after(ALL_MADE, ended(1, Status.FAILED, "no-route"), ended(2, Status.EXPIRED, "slippage"))
    change = end_slice(order, ended(3, Status.CANCELLED), None)
    status, detail = change.events[-1]
    assert (status, change.reason, detail["reason"]) == (Status.FAILED, "slippage", "slippage")
    missed = take_turn(ORDER, NOON + timedelta(days=1))
    assert (missed.final, missed.events[-1][0], missed.reason) == (True, Status.FAILED, "no-slice-filled")


def test_an_order_whose_expiry_left_all_slices_out_expires() -> None:
    change = take_turn(replace(ORDER, expires_at=NOON), NOON)
    assert (change.final, change.events[-1][0], change.reason) == (True, Status.EXPIRED, "deadline")
    assert change.events[0][1]["detail"] == "slices 1 to 3 are left out, since the order has expired"


def test_an_expired_order_waits_for_the_slices_that_were_made() -> None:
    order = replace(ORDER, expires_at=NOON + MINUTE, progress=Progress(next_slice=2, made=1, made_at=NOON))
    change = take_turn(order, NOON + MINUTE)
    assert (change.final, change.child, change.wake_at) == (False, None, None)
    assert change.progress.skipped == 2


def test_without_the_decimals_of_a_token_there_is_no_price_and_everything_else() -> None:
    change = end_slice(replace(ALL_MADE, decimals=None), ended(1, Status.CONFIRMED, amount_in=4, amount_out=1), None)
    assert change.progress.average_price is None
    assert change.progress.amount_in == 4

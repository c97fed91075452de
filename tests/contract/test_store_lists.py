"""The list of orders by each of its filters, and how many there are; see `test_store_port.py`."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dexexec.domain.cancellation import Pair
from dexexec.domain.order_filter import ALL_ORDERS, OrderFilter, OrderTotals
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import USDC, WSOL
from dexexec.store import Store
from tests.support.limit_orders import limit_order
from tests.support.parts import new_order
from tests.support.prepared_orders import Open, claimed_by, step, submitted

OTHER = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Orders of each kind, in the order of their times."""

    pending: UUID
    resting: UUID
    sent: UUID
    failed: UUID
    dry: UUID


async def prepared(store: Store) -> Listed:
    pending = new_order()
    resting = replace(limit_order(), tag="grid", oco_group="exit", owner=1)
    sent = replace(new_order(), input_mint=OTHER, output_mint=USDC, wallet="desk-2")
    failed = replace(new_order(), tag="grid", owner=2)
    dry = replace(new_order(), dry_run=True)
    for order in (pending, resting, sent, failed, dry):
        await store.create(order)
    worker = await store.begin("w", 20)
    await submitted(store, await claimed_by(store, worker, sent.id), "sent")
    ended = (Status.FAILED, {"reason": "no-route"})
    claimed = await claimed_by(store, worker, failed.id)
    assert await store.advance(step(claimed, 1, ended, final=True, reason="no-route"))
    await worker.end()
    return Listed(pending=pending.id, resting=resting.id, sent=sent.id, failed=failed.id, dry=dry.id)


async def ids(store: Store, wanted: OrderFilter) -> list[UUID]:
    """The ids of a list, read page by page."""
    found: list[UUID] = []
    cursor: Any = None
    while page := await store.orders(2, cursor, wanted):
        cursor = page[-1]["_cursor"]
        found += [UUID(str(row["orderId"])) for row in page]
    return found


def some(*statuses: Status) -> OrderFilter:
    return OrderFilter(statuses=frozenset(statuses))


async def test_each_filter_finds_its_orders_newest_first_on_pages_of_any_size(stores: Open) -> None:
    async with stores() as store:
        at = await prepared(store)
        [venue] = {row["venue"] for row in await store.orders(9, None) if row["orderId"] == str(at.sent)}
        assert isinstance(venue, str)
        expected: list[tuple[OrderFilter, list[UUID]]] = [
            (ALL_ORDERS, [at.dry, at.failed, at.sent, at.resting, at.pending]),
            (some(Status.WAITING), [at.resting]),
            (some(Status.PENDING), [at.dry, at.pending]),
            (some(Status.PENDING, Status.FAILED, Status.WAITING), [at.dry, at.failed, at.resting, at.pending]),
            (some(Status.CONFIRMED, Status.CANCELLED), []),
            (OrderFilter(venue=venue), [at.sent]),
            (OrderFilter(venue=venue, statuses=frozenset({Status.SUBMITTED})), [at.sent]),
            (OrderFilter(venue=venue, statuses=frozenset({Status.FAILED})), []),
            (OrderFilter(reason="no-route"), [at.failed]),
            (OrderFilter(reason="no-route", statuses=frozenset({Status.PENDING})), []),
            (OrderFilter(reason="slippage"), []),
            (OrderFilter(pair=Pair(WSOL, USDC)), [at.dry, at.failed, at.resting, at.pending]),
            (OrderFilter(pair=Pair(OTHER, USDC)), [at.sent]),
            (OrderFilter(pair=Pair(USDC, OTHER)), []),
            (OrderFilter(type=OrderType.LIMIT), [at.resting]),
            (OrderFilter(type=OrderType.MARKET), [at.dry, at.failed, at.sent, at.pending]),
            (OrderFilter(type=OrderType.MARKET, dry_run=False), [at.failed, at.sent, at.pending]),
            (OrderFilter(dry_run=True), [at.dry]),
            (OrderFilter(dry_run=False), [at.failed, at.sent, at.resting, at.pending]),
            (OrderFilter(tag="grid"), [at.failed, at.resting]),
            (OrderFilter(tag="grid", type=OrderType.LIMIT), [at.resting]),
            (OrderFilter(oco_group="exit"), [at.resting]),
            (OrderFilter(wallet="desk-2"), [at.sent]),
            (OrderFilter(parent=at.resting), []),
            (OrderFilter(owners=(1,)), [at.resting]),
            (OrderFilter(owners=(2, 1)), [at.failed, at.resting]),
            (OrderFilter(owners=(3,)), []),
            (OrderFilter(owners=(1,), tag="grid", statuses=frozenset({Status.FAILED})), []),
        ]
        for wanted, found in expected:
            assert await ids(store, wanted) == found, wanted
            totals = await store.order_totals(wanted)
            assert (totals.orders, totals.at_least) == (len(found), False), wanted


async def test_a_time_includes_its_beginning_and_not_its_end(stores: Open) -> None:
    async with stores() as store:
        at = await prepared(store)
        times: dict[UUID, datetime] = {}
        for row in await store.orders(9, None):
            cursor: Any = row["_cursor"]
            times[UUID(str(row["orderId"]))] = cursor.created_at
        sent = times[at.sent]
        assert await ids(store, OrderFilter(since=sent)) == [at.dry, at.failed, at.sent]
        assert await ids(store, OrderFilter(until=sent)) == [at.resting, at.pending]
        assert await ids(store, OrderFilter(since=sent, until=sent + timedelta(microseconds=1))) == [at.sent]
        assert await ids(store, OrderFilter(since=sent, until=times[at.failed], dry_run=False)) == [at.sent]
        assert await ids(store, OrderFilter(since=times[at.dry] + timedelta(microseconds=1))) == []


async def test_totals_count_by_status(stores: Open) -> None:
    async with stores() as store:
        await prepared(store)
        by_status = {Status.PENDING: 2, Status.WAITING: 1, Status.SUBMITTED: 1, Status.FAILED: 1}
        assert await store.order_totals(ALL_ORDERS) == OrderTotals(by_status=by_status, at_least=False)
        by_status = {Status.WAITING: 1, Status.FAILED: 1}
        assert await store.order_totals(OrderFilter(tag="grid")) == OrderTotals(by_status=by_status, at_least=False)

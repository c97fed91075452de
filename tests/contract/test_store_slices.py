"""Recurring orders: their slices are made once, count once, and end with them."""

import asyncio
from datetime import timedelta
from uuid import UUID

from dexexec.domain.child_id import child_id
from dexexec.domain.event import Event
from dexexec.domain.recurring import Missed
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.store import Store, Triggering
from tests.support.prepared_orders import Open, claimed_by, submitted
from tests.support.recurring_orders import TOKENS, fail, fill, follow_up, land, recurring_order, set_back

HOUR = timedelta(hours=1)


async def with_slices(store: Store, slices: int) -> UUID:
    """An order of which every slice is made."""
    order = recurring_order(slices=slices, missed=Missed.CATCH_UP)
    await store.create(order)
    for _ in range(slices):
        assert await store.make_slices(TOKENS)
        await set_back(store, order.id, HOUR)
    return order.id


def last(announced: list[Event], order_id: UUID) -> Event:
    return [event for event in announced if event.order_id == order_id][-1]


async def test_a_slice_is_an_order_of_its_own_and_an_event_of_its_parent(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order = recurring_order()
        await store.create(order)
        assert await store.make_slices(TOKENS) == [child_id(order.id, "1")]
        assert await store.make_slices(TOKENS) is None
        assert [(event.order_id, event.seq, event.status) for event in announced] == [
            (order.id, 1, Status.PENDING),
            (order.id, 2, Status.WAITING),
            (order.id, 3, Status.WAITING),
            (child_id(order.id, "1"), 1, Status.PENDING),
        ]
        assert announced[2].detail["childId"] == str(child_id(order.id, "1"))
        worker = await store.begin("w", 20)
        child = (await claimed_by(store, worker, child_id(order.id, "1"))).order
        assert (child.type, child.parent, child.amount_base) == (OrderType.MARKET, order.id, 1_000_000)
        await worker.end()


async def test_a_recurring_order_is_never_executed_itself(stores: Open) -> None:
    async with stores() as store:
        order = recurring_order()
        await store.create(order)
        assert await store.trigger([Triggering(order_id=order.id, version=2, detail={"detail": "wrong"})]) == []
        assert await store.wake() == []
        worker = await store.begin("w", 20)
        assert await store.claim(worker.id, [order.id]) == []
        await worker.end()


async def test_of_many_that_make_slices_at_once_one_makes_each(stores: Open) -> None:
    async with stores() as store:
        orders = [recurring_order(slices=2) for _ in range(10)]
        for order in orders:
            await store.create(order)
        turns = await asyncio.gather(*(store.make_slices(TOKENS) for _ in range(6)))
        made = [child for turn in turns for child in turn or ()]
        assert sorted(made) == sorted(child_id(order.id, "1") for order in orders)


async def test_missed_slices_are_left_out_or_caught_up(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        skips, catches_up = (recurring_order(slices=20, missed=missed) for missed in Missed)
        for order in (skips, catches_up):
            await store.create(order)
        await store.make_slices(TOKENS)
        for order in (skips, catches_up):
            await set_back(store, order.id, HOUR)
        made = await store.make_slices(TOKENS)
        assert sorted(made or ()) == sorted([child_id(skips.id, "13"), child_id(catches_up.id, "2")])
        skipped = [event.detail["skipped"] for event in announced if "skipped" in event.detail]
        assert skipped == [{"from": 2, "to": 12}]


async def test_the_last_end_of_a_slice_ends_the_order_with_the_sums(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        parent = await with_slices(store, 3)
        await fill(store, parent, 1, 4_000_000, 600_000)
        await fail(store, parent, 2)
        await follow_up(store)
        assert last(announced, parent).detail["endedSlices"] == 2
        assert last(announced, parent).detail["waitsFor"] == "slices"
        await fill(store, parent, 3, 4_000_000, 604_000)
        await follow_up(store)
        await follow_up(store)
        end = last(announced, parent)
        assert (end.status, end.final) == (Status.CONFIRMED, True)
        assert (end.detail["amountIn"], end.detail["amountOut"], end.detail["price"]) == ("8000000", "1204000", "150.5")
        assert [event.seq for event in announced if event.order_id == parent] == [*range(1, end.seq + 1)]


async def test_a_cancel_ends_what_was_not_signed(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        parent = await with_slices(store, 2)
        worker = await store.begin("w", 20)
        signed = await claimed_by(store, worker, child_id(parent, "1"))
        await submitted(store, signed, "sent")
        await store.cancel(parent)
        assert last(announced, parent).status is Status.CANCELLED
        assert last(announced, child_id(parent, "1")).status is Status.SUBMITTED
        assert last(announced, child_id(parent, "2")).status is Status.CANCELLED
        assert await store.make_slices(TOKENS) is None
        await land(store, child_id(parent, "1"), signed, 4_000_000, 600_000)
        await follow_up(store)
        assert last(announced, parent).status is Status.CANCELLED
        answer = await store.order(parent)
        assert answer is not None
        assert (answer["amountIn"], answer["amountOut"]) == ("4000000", "600000")
        await worker.end()

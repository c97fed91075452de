"""Recurring orders on a real Postgres: each slice is made once, although processes die, and its end counts once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.child_id import child_id
from dexexec.domain.event import Event, timestamp
from dexexec.domain.recurring import Missed
from dexexec.domain.status import Status
from dexexec.store import Address, Store
from tests.support.parts import new_order, open_store
from tests.support.prepared_orders import claimed_by
from tests.support.recurring_orders import (
    MINUTE,
    TOKENS,
    execute,
    fill,
    follow_up,
    recurring_order,
    set_back,
    slices_of,
)

HOUR = timedelta(hours=1)


class Died(BaseException):
    """The process ends here."""


async def answer_of(store: Store, order_id: UUID) -> dict[str, Any]:
    answer: Any = await store.order(order_id)
    return dict(answer)


async def made(store: Store) -> list[UUID]:
    """All slices that are due now are made."""
    ids: list[UUID] = []
    while (turn := await store.make_slices(TOKENS)) is not None:
        ids += turn
    return ids


async def test_a_recurring_order_rests_and_its_first_slice_is_due_at_once(database_address: Address) -> None:
    announced: list[Event] = []
    async with open_store(database_address, announced.extend) as store:
        order = recurring_order(tag="dca", max_price_impact_bps=50)
        await store.create(order)
        assert [(event.status, event.detail.get("waitsFor")) for event in announced] == [
            (Status.PENDING, None),
            (Status.WAITING, "time"),
        ]
        [child] = await made(store)
        assert child == child_id(order.id, "1")
        parent = await answer_of(store, order.id)
        assert (parent["status"], parent["madeSlices"], parent["endedSlices"]) == ("waiting", 1, 0)
        assert parent["waitingFor"]["reason"] == "time"
        assert parent["events"][-1]["slice"] == 1
        assert parent["events"][-1]["childId"] == str(child)
        assert parent["events"][-1]["nextSliceAt"] == parent["nextSliceAt"]
        [listed] = parent["children"]
        assert (listed["orderId"], listed["slice"], listed["status"]) == (str(child), 1, "pending")
        slice_order = await answer_of(store, child)
        assert (slice_order["type"], slice_order["amount"], slice_order["parentId"]) == (
            "market",
            "0.001",
            str(order.id),
        )
        assert (slice_order["tag"], slice_order["maxPriceImpactBps"]) == ("dca", 50)
        assert slice_order["slice"] == {"number": 1, "of": 12}
        assert [event["status"] for event in slice_order["events"]] == ["pending"]
        assert slice_order["waitingFor"]["reason"] == "worker"
        assert await made(store) == [], "the next slice is due in five minutes"
        stored = [(event.order_id, event.seq, event.status) for event in announced[2:]]
        assert stored == [(order.id, 3, Status.WAITING), (child, 1, Status.PENDING)]


async def test_until_its_start_an_order_waits_without_an_event(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = recurring_order(start_in=HOUR)
        await store.create(order)
        assert await made(store) == []
        answer = await answer_of(store, order.id)
        assert order.terms is not None
        assert order.terms.recurring is not None
        assert order.terms.recurring.start_at is not None
        assert answer["nextSliceAt"] == answer["startAt"] == timestamp(order.terms.recurring.start_at)
        assert (answer["seq"], answer["waitingFor"]["reason"]) == (2, "time")
        [[wakes]] = await execute(store, "SELECT wake_at FROM orders WHERE id = %(id)s", id=order.id)
        assert timestamp(wakes) == answer["startAt"]


async def test_the_slices_are_the_whole_amount_and_the_whole_bound(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = recurring_order(
            slices=7, missed=Missed.CATCH_UP, every=timedelta(seconds=1), bound=Bound(1_000_001, 12_000_000),
            bound_open=False, best_other=2_000_000,
        )  # fmt: skip
        await store.create(order)
        for _ in range(7):
            await set_back(store, order.id, MINUTE)
            await made(store)
        worker = await store.begin("w", 20)
        claimed = [(await claimed_by(store, worker, child_id(order.id, str(number)))).order for number in range(1, 8)]
        await worker.end()
    assert sum(one.amount_base for one in claimed) == order.amount_base
    assert sum(one.amount for one in claimed) == order.amount
    for one in claimed:
        assert one.bound is not None
        assert one.bound.max_in == one.amount_base
        assert 0 <= one.bound.min_out - Decimal(1_000_001) * one.amount_base / order.amount_base < 1
        assert one.terms is not None
        assert one.terms.slice is not None
        assert one.terms.slice.best_other is not None
        assert 0 <= Decimal(2_000_000) * one.amount_base / order.amount_base - one.terms.slice.best_other < 1
        assert not one.bound_open


async def test_promise_24_after_an_outage_skip_leaves_the_missed_slices_out(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = recurring_order(slices=20, missed=Missed.SKIP)
        await store.create(order)
        await made(store)
        await set_back(store, order.id, HOUR)
        assert await made(store) == [child_id(order.id, "13")]
        parent = await answer_of(store, order.id)
        assert (parent["madeSlices"], parent["skippedSlices"]) == (2, 11)
        skipped = next(event for event in parent["events"] if "skipped" in event)
        assert skipped["skipped"] == {"from": 2, "to": 12}
        assert skipped["detail"].startswith("slices 2 to 12 are left out, since the next one was due")
        assert await made(store) == []


async def test_promise_24_after_an_outage_catch_up_makes_the_missed_slices_one_by_one(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store:
        order = recurring_order(slices=20, missed=Missed.CATCH_UP)
        await store.create(order)
        await made(store)
        await set_back(store, order.id, HOUR)
        numbers = []
        for _ in range(12):
            assert len(await made(store)) == 1
            assert await made(store) == [], "not all at once"
            numbers.append((await slices_of(store, order.id))[-1]["slice"])
            await set_back(store, order.id, timedelta(seconds=30))
        assert numbers == [*range(2, 14)]
        # Six more minutes have passed meanwhile: one more slice is due, and the rest is on time again.
        assert len(await made(store)) == 1
        await set_back(store, order.id, timedelta(seconds=30))
        assert await made(store) == []
        assert (await answer_of(store, order.id))["skippedSlices"] == 0


async def test_promise_24_of_many_leaders_at_once_each_slice_is_made_once(database_address: Address) -> None:
    async with open_store(database_address) as first, open_store(database_address) as second:
        orders = [recurring_order(slices=5, missed=Missed.CATCH_UP) for _ in range(30)]
        for order in orders:
            await first.create(order)
        found: list[UUID] = []
        for _ in range(5):
            turns = await asyncio.gather(*(made(store) for store in (first, second) for _ in range(3)))
            found += [child for turn in turns for child in turn]
            for order in orders:
                await set_back(first, order.id, HOUR)
        assert sorted(found) == sorted(child_id(order.id, str(number)) for order in orders for number in range(1, 6))
        [[children]] = await execute(first, "SELECT count(*) FROM orders WHERE parent IS NOT NULL")
        [[events]] = await execute(first, "SELECT count(*) FROM order_events WHERE detail ? 'childId'")
        assert (children, events) == (150, 150)


@pytest.mark.parametrize("dies_at", ["child_orders.insert", "parents.write"])
async def test_promise_24_a_death_between_the_slice_and_its_record_leaves_neither(
    database_address: Address, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    async with open_store(database_address) as store:
        order = recurring_order()
        await store.create(order)

        async def dies(*_: object) -> Sequence[Event]:
            raise Died

        with monkeypatch.context() as patched:
            patched.setattr(f"dexexec.store.slices.{dies_at}", dies)
            with pytest.raises(Died):
                await store.make_slices(TOKENS)
        assert (await answer_of(store, order.id))["madeSlices"] == 0
        assert await slices_of(store, order.id) == []
        assert await made(store) == [child_id(order.id, "1")]


async def test_promise_24_a_slice_that_came_back_from_the_chain_is_not_made_again(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = recurring_order()
        await store.create(order)
        # The record lost the slice and the parent's progress, and the comparison with the chain restored the slice.
        await store.create(new_order(order_id=child_id(order.id, "1"), amount="0.001"))
        await made(store)
        [child] = await slices_of(store, order.id)
        assert child["orderId"] == str(child_id(order.id, "1"))
        [[events]] = await execute(
            store, "SELECT count(*) FROM order_events WHERE order_id = %(id)s", id=child_id(order.id, "1")
        )
        assert events == 1, "it keeps its own history"
        await fill(store, order.id, 1, 1_000_000, 150_000)
        await follow_up(store)
        assert (await answer_of(store, order.id))["filledSlices"] == 1


async def test_an_order_that_cannot_be_read_does_not_stop_the_others(database_address: Address) -> None:
    async with open_store(database_address) as store:
        broken, sound = recurring_order(), recurring_order()
        await store.create(broken)
        await store.create(sound)
        await execute(store, "UPDATE orders SET terms = terms - 'every' WHERE id = %(id)s", id=broken.id)
        assert await made(store) == [child_id(sound.id, "1")]


async def test_nothing_is_made_while_the_record_is_compared_with_the_chain(database_address: Address) -> None:
    async with open_store(database_address) as store:
        await store.create(recurring_order())
        await execute(
            store,
            "INSERT INTO chain_comparisons (genesis, wallet, stopped_at) VALUES ('g', 'w', clock_timestamp())",
        )
        assert await made(store) == []
        await execute(store, "UPDATE chain_comparisons SET stopped_at = NULL")
        assert len(await made(store)) == 1


async def test_an_expired_order_makes_no_more_slices_and_ends(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = recurring_order(expires_in=timedelta(minutes=-1))
        await store.create(order)
        assert await made(store) == []
        parent = await answer_of(store, order.id)
        assert (parent["status"], parent["failureReason"]) == ("expired", "deadline")
        assert parent["events"][-1]["final"]
        assert parent["skippedSlices"] == 12
        assert parent["finishedAt"]
        assert parent["waitingFor"] is None


async def test_an_order_whose_slices_were_all_missed_fails(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = recurring_order(slices=2)
        await store.create(order)
        await set_back(store, order.id, HOUR)
        assert await made(store) == []
        parent = await answer_of(store, order.id)
        assert (parent["status"], parent["failureReason"]) == ("failed", "no-slice-filled")

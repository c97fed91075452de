"""The ends of slices on a real Postgres: each counts once in its order, which ends when nothing is left."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dexexec.api.explanation import explain
from dexexec.config.settings import Settings
from dexexec.domain.cancellation import Cancelled, Selection
from dexexec.domain.child_id import child_id
from dexexec.domain.event import Event
from dexexec.domain.recurring import Missed
from dexexec.domain.status import Status
from dexexec.intake.amending import Amending
from dexexec.intake.order_body import BodyReader
from dexexec.store import Address, Store
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.parts import open_store
from tests.support.prepared_orders import claimed_by, submitted
from tests.support.recurring_orders import (
    TOKENS,
    execute,
    fail,
    fill,
    follow_up,
    land,
    recurring_order,
    set_back,
    simulate,
    slices_of,
)

HOUR = timedelta(hours=1)
EXPIRE = """
UPDATE orders SET terms = terms || jsonb_build_object('expiresAt', %(at)s::text) WHERE id = %(id)s
"""


async def with_slices(store: Store, slices: int, **about: Any) -> UUID:
    """An order of which every slice is made."""
    order = recurring_order(slices=slices, missed=Missed.CATCH_UP, **about)
    await store.create(order)
    for _ in range(slices):
        assert await store.make_slices(TOKENS)
        await set_back(store, order.id, HOUR)
    return order.id


async def answer_of(store: Store, order_id: UUID) -> dict[str, Any]:
    answer: Any = await store.order(order_id)
    return dict(answer)


async def test_each_end_is_an_event_with_sums_and_the_last_one_ends_the_order(database_address: Address) -> None:
    announced: list[Event] = []
    async with open_store(database_address, announced.extend) as store:
        parent = await with_slices(store, 3)
        await fill(store, parent, 1, 4_000_000, 600_000)
        await fail(store, parent, 2)
        await follow_up(store)
        answer = await answer_of(store, parent)
        assert (answer["status"], answer["endedSlices"], answer["filledSlices"]) == ("waiting", 2, 1)
        assert (answer["amountIn"], answer["amountOut"], answer["averagePrice"]) == ("4000000", "600000", "150")
        assert answer["waitingFor"]["reason"] == "slices"
        [by_slice] = [event for event in answer["events"] if event.get("sliceReason")]
        assert (by_slice["slice"], by_slice["childStatus"], by_slice["sliceReason"]) == (2, "expired", "slippage")
        await fill(store, parent, 3, 4_000_000, 604_000)
        await follow_up(store)
        answer = await answer_of(store, parent)
        assert (answer["status"], answer["endedSlices"], answer["filledSlices"]) == ("confirmed", 3, 2)
        assert (answer["amountIn"], answer["amountOut"], answer["averagePrice"]) == ("8000000", "1204000", "150.5")
        assert (answer["fill"]["price"], answer["fill"]["finalized"]) == ("150.5", True)
        assert answer["finishedAt"] == answer["finalizedAt"] == answer["events"][-1]["at"]
        assert answer["events"][-1]["final"]
        assert [child["status"] for child in answer["children"]] == ["confirmed", "expired", "confirmed"]
        seqs = [event.seq for event in announced if event.order_id == parent]
        assert seqs == [*range(1, answer["seq"] + 1)], "each event is announced once, in order"


@pytest.mark.parametrize("status", [Status.CONFIRMED, Status.SIMULATED, Status.FAILED])
async def test_every_end_can_be_explained(database_address: Address, status: Status) -> None:
    async with open_store(database_address) as store:
        parent = await with_slices(store, 2, dry_run=status is Status.SIMULATED)
        for number in (1, 2):
            if status is Status.CONFIRMED:
                await fill(store, parent, number, 4_000_000, 600_000)
            elif status is Status.SIMULATED:
                await simulate(store, parent, number, 4_000_000, 600_000)
            else:
                await fail(store, parent, number)
            await follow_up(store)
        answer = await answer_of(store, parent)
        assert answer["status"] == status
        explained = explain(answer, TOKENS)
        assert str(answer["averagePrice"] or "slippage") in str(explained)


async def test_an_order_without_a_fill_ends_with_the_last_reason(database_address: Address) -> None:
    async with open_store(database_address) as store:
        parent = await with_slices(store, 2)
        await fail(store, parent, 1, "slippage")
        await fail(store, parent, 2, "no-route")
        await follow_up(store)
        answer = await answer_of(store, parent)
        assert (answer["status"], answer["failureReason"]) == ("failed", "no-route")
        assert (answer["amountIn"], answer["averagePrice"]) == (None, None)


async def test_promise_24_an_end_counts_once_however_many_follow_it_up(database_address: Address) -> None:
    async with open_store(database_address) as first, open_store(database_address) as second:
        parent = await with_slices(first, 3)
        for number in (1, 2, 3):
            await fill(first, parent, number, 4_000_000, 600_000)
        await asyncio.gather(*(follow_up(store) for store in (first, second) for _ in range(4)))
        answer = await answer_of(first, parent)
        assert (answer["status"], answer["endedSlices"], answer["amountOut"]) == ("confirmed", 3, "1800000")
        assert [event["seq"] for event in answer["events"]] == [*range(1, answer["seq"] + 1)]


async def test_promise_24_a_cancel_stops_what_is_left_and_what_was_signed_still_counts(
    database_address: Address,
) -> None:
    announced: list[Event] = []
    async with open_store(database_address, announced.extend) as store:
        parent = await with_slices(store, 4)
        await fill(store, parent, 1, 4_000_000, 600_000)
        await follow_up(store)
        worker = await store.begin("w", 20)
        signed = await claimed_by(store, worker, child_id(parent, "2"))
        await submitted(store, signed, "sent")
        held = await claimed_by(store, worker, child_id(parent, "3"))
        assert isinstance(await store.cancel(parent), Cancelled)
        statuses = [child["status"] for child in await slices_of(store, parent)]
        assert statuses == ["confirmed", "submitted", "cancelled", "cancelled"]
        cancelled = [event for event in announced if event.status is Status.CANCELLED]
        assert {event.order_id for event in cancelled} == {parent, child_id(parent, "3"), child_id(parent, "4")}
        assert await store.make_slices(TOKENS) is None
        assert (await store.held(worker.id)).keys() == {child_id(parent, "2")}, "its worker writes nothing more"
        assert held.order.id == child_id(parent, "3")
        await land(store, child_id(parent, "2"), signed, 4_000_000, 604_000)
        await follow_up(store)
        answer = await answer_of(store, parent)
        assert (answer["status"], answer["events"][-1]["status"]) == ("cancelled", "cancelled")
        assert (answer["endedSlices"], answer["filledSlices"]) == (4, 2)
        assert (answer["amountIn"], answer["amountOut"], answer["averagePrice"]) == ("8000000", "1204000", "150.5")
        await worker.end()


async def test_a_process_that_dies_after_a_cancel_leaves_the_rest_to_the_follow_up(database_address: Address) -> None:
    async with open_store(database_address) as store:
        parent = await with_slices(store, 2)
        # The commit that cancels the order is the last thing that its process did.
        await execute(
            store,
            "UPDATE orders SET status = 'cancelled', resting = false, finished_at = now() WHERE id = %(id)s",
            id=parent,
        )
        assert [child["status"] for child in await slices_of(store, parent)] == ["pending", "pending"]
        await follow_up(store)
        await follow_up(store)
        assert [child["status"] for child in await slices_of(store, parent)] == ["cancelled", "cancelled"]
        assert (await answer_of(store, parent))["endedSlices"] == 2


async def test_cancelling_all_orders_cancels_the_slices_as_well(database_address: Address) -> None:
    async with open_store(database_address) as store:
        parent = await with_slices(store, 2)
        await store.cancel_all(Selection())
        assert (await answer_of(store, parent))["status"] == "cancelled"
        assert [child["status"] for child in await slices_of(store, parent)] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("attempt", range(3))
async def test_promise_24_of_a_cancel_and_a_slice_at_once_nothing_is_left_to_be_bought(
    database_address: Address, attempt: int
) -> None:
    async with open_store(database_address) as store:
        order = recurring_order()
        await store.create(order)
        await asyncio.gather(store.cancel(order.id), *(store.make_slices(TOKENS) for _ in range(attempt + 1)))
        assert (await answer_of(store, order.id))["status"] == "cancelled"
        assert all(child["status"] == "cancelled" for child in await slices_of(store, order.id))


async def test_the_expiry_leaves_out_the_rest_and_the_fills_count(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = recurring_order(expires_in=timedelta(minutes=7))
        await store.create(order)
        assert await store.make_slices(TOKENS)
        await fill(store, order.id, 1, 1_000_000, 150_000)
        await follow_up(store)
        # The client brings the expiry forward: the order looks at it at once, and not when the next slice is due.
        soon = datetime.now(UTC) + timedelta(seconds=1)
        amending = Amending(store, BodyReader(Settings(_env_file=None)))
        await amending.amend(order.id, json.dumps({"expiresAt": soon.isoformat()}).encode(), None)
        assert await store.make_slices(TOKENS) == []
        await execute(store, EXPIRE, at=(soon - timedelta(minutes=1)).isoformat(), id=order.id)
        await set_back(store, order.id, timedelta(seconds=1))
        assert await store.make_slices(TOKENS) == []
        answer = await answer_of(store, order.id)
        assert (answer["status"], answer["skippedSlices"], answer["filledSlices"]) == ("confirmed", 11, 1)
        assert answer["events"][-1]["detail"] == "1 of 12 slices were filled"


async def test_an_archived_order_and_its_slices_read_as_they_did_before(database_address: Address) -> None:
    async with open_store(database_address) as store, open_retention(database_address) as retention:
        parent = await with_slices(store, 2)
        await fill(store, parent, 1, 4_000_000, 600_000)
        await fill(store, parent, 2, 4_000_000, 600_000)
        await follow_up(store)
        await follow_up(store)  # the order itself has ended by the first one
        setup = ArchiveSetup(database_address, store)
        for order in (parent, child_id(parent, "1"), child_id(parent, "2")):
            setup.age(2, order)
        before = await answer_of(store, parent)
        assert await retention.round()
        assert setup.count("archived_orders") == 3
        assert await answer_of(store, parent) == before


async def test_a_cancelled_order_stays_until_its_slices_have_ended(database_address: Address) -> None:
    async with open_store(database_address) as store, open_retention(database_address) as retention:
        parent = await with_slices(store, 2)
        worker = await store.begin("w", 20)
        signed = await claimed_by(store, worker, child_id(parent, "1"))
        await submitted(store, signed, "sent")
        await store.cancel(parent)
        await follow_up(store)
        setup = ArchiveSetup(database_address, store)
        setup.age(2, parent)
        assert await retention.round()
        assert (parent,) not in setup.sql("SELECT id FROM archived_orders")
        await land(store, child_id(parent, "1"), signed, 4_000_000, 600_000)
        await follow_up(store)
        assert (await answer_of(store, parent))["filledSlices"] == 1
        assert await retention.round()
        assert (parent,) in setup.sql("SELECT id FROM archived_orders")
        await worker.end()

"""Cancelling an order: until something is signed, and never both cancelled and swapped."""

import asyncio
from uuid import uuid4

import pytest

from dexexec.domain.cancellation import Cancelled, TooLate
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.store import Claimed, Store
from tests.support.prepared_orders import ROUTED, Open, OpenRecord, attempt, claimed_by, one_order, step


async def test_an_order_that_no_worker_has_is_cancelled_with_its_event_and_ends(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order_id = await one_order(store)
        assert await store.cancel(order_id) == Cancelled(order_id=order_id, seq=2)
        [*_, event] = announced
        assert (event.order_id, event.seq, event.status, event.final) == (order_id, 2, Status.CANCELLED, True)
        found = await store.order(order_id)
        assert found is not None
        assert (found["status"], found["seq"], found["failureReason"]) == ("cancelled", 2, None)
        worker = await store.begin("w", 20)
        assert await store.claim(worker.id, [order_id]) == [], "nothing is left to do"
        await worker.end()


async def test_cancelling_again_gives_the_same_answer_and_no_second_event(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        await store.cancel(order_id)
        assert await store.cancel(order_id) == Cancelled(order_id=order_id, seq=2, repeated=True)
        assert (await store.versions([order_id])) == {order_id: 2}


async def test_an_unknown_order_is_absent(stores: Open) -> None:
    async with stores() as store:
        assert await store.cancel(uuid4()) is None


async def test_promise_10_a_worker_whose_order_was_cancelled_writes_nothing_more(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order_id)
        assert await store.cancel(order_id) == Cancelled(order_id=order_id, seq=2)
        assert await store.advance(step(claimed, 1, *ROUTED)) is None
        assert await _submit(store, claimed) is None, "nothing is signed for it, so nothing is sent"
        assert await store.held(worker.id) == {}
        await worker.end()


async def test_promise_3_once_something_is_signed_it_is_too_late_and_the_order_goes_on(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order_id)
        assert await _submit(store, claimed) is not None
        late = await store.cancel(order_id)
        assert isinstance(late, TooLate)
        assert late.status is Status.SUBMITTED
        assert late.attempt is not None
        assert (late.attempt["attempt"], late.attempt["outcome"]) == (1, "open")
        assert (await store.held(worker.id)).keys() == {order_id}
        await worker.end()


async def test_promise_3_of_a_cancel_and_an_attempt_at_the_same_time_one_wins(stores: Open) -> None:
    async with stores() as store:
        winners = set()
        for _ in range(20):
            order_id = await one_order(store)
            worker = await store.begin("w", 20)
            claimed = await claimed_by(store, worker, order_id)
            answer, events = await asyncio.gather(store.cancel(order_id), _submit(store, claimed))
            assert isinstance(answer, Cancelled) == (events is None)
            assert isinstance(answer, TooLate) == (events is not None)
            winners.add(type(answer))
            await worker.end()
        assert winners <= {Cancelled, TooLate}


async def test_promise_3_nothing_is_cancelled_in_a_record_that_is_not_compared_with_the_chain(
    records: OpenRecord,
) -> None:
    async with records() as record:
        order_id = await one_order(record.store)
        await record.moves_to_another_database()
        with pytest.raises(UnavailableError, match="not compared"):
            await record.store.cancel(order_id)
        assert await record.store.versions([order_id]) == {order_id: 1}


async def test_a_wallet_that_is_no_longer_compared_blocks_only_orders_from_before_the_last_comparison(
    records: OpenRecord,
) -> None:
    async with records() as record:
        older = await one_order(record.store)
        await record.moves_to_another_database()
        await record.comparisons.stopped("genesis", "unused wallet")
        state = await record.comparisons.state("genesis", "wallet")
        assert await record.comparisons.compared("genesis", "wallet", state.identity)
        with pytest.raises(UnavailableError, match="not compared"):
            await record.store.cancel(older)
        newer = await one_order(record.store)
        assert isinstance(await record.store.cancel(newer), Cancelled)


async def _submit(store: Store, claimed: Claimed) -> list[Event] | None:
    """Record an attempt, as a worker does before it sends."""
    events = (*ROUTED, (Status.SUBMITTED, {}))
    new = attempt(1, f"signature of {claimed.order.id}")
    return await store.advance(step(claimed, 1, *events, venue="here", attempt=new))

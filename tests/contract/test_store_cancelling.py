"""Cancelling orders: until something is signed that can land, and never both cancelled and swapped."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from dexexec.domain.cancellation import Cancelled, CancelledAll, Pair, Selection, TooLate
from dexexec.domain.event import Event
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import PartlyCancelledError, UnavailableError
from dexexec.store import Claimed, Resolution, Store, Triggering, WorkerSession
from dexexec.store.resting import BEFORE_ALL
from tests.support.limit_orders import limit_order
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


# Orders that rest


async def test_an_order_that_rests_again_is_cancelled_although_attempts_of_it_had_no_effect(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        order_id = await one_resting_order(store)
        version = await tried_in_vain(store, worker, order_id, 1, Outcome.EXPIRED, then=Status.WAITING)
        version = await tried_in_vain(store, worker, order_id, 2, Outcome.FAILED, then=Status.WAITING)
        assert await store.cancel(order_id) == Cancelled(order_id=order_id, seq=version + 1)
        assert await store.rested_page(BEFORE_ALL) == []
        await worker.end()


async def test_a_triggered_order_between_two_rounds_is_cancelled_although_attempts_of_it_had_no_effect(
    stores: Open,
) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        order_id = await one_resting_order(store)
        version = await tried_in_vain(store, worker, order_id, 1, Outcome.EXPIRED, then=Status.ROUTING)
        assert await store.cancel(order_id) == Cancelled(order_id=order_id, seq=version + 1)
        assert await store.claim(worker.id, [order_id]) == []
        await worker.end()


async def test_promise_3_a_refusal_is_no_proof_that_an_order_can_be_cancelled(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        order_id = await one_resting_order(store)
        await tried_in_vain(store, worker, order_id, 1, Outcome.REJECTED, then=Status.WAITING)
        late = await store.cancel(order_id)
        assert isinstance(late, TooLate)
        assert late.attempt is not None
        assert (late.ended, late.attempt["outcome"]) == (False, "rejected")
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=0, too_late=1)
        await worker.end()


async def test_promise_3_an_order_that_rested_is_too_late_to_cancel_while_an_attempt_is_open(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        order_id = await one_resting_order(store)
        await tried_in_vain(store, worker, order_id, 1, Outcome.EXPIRED, then=Status.WAITING)
        claimed = await triggered(store, worker, order_id)
        events = (*ROUTED, (Status.SUBMITTED, {}))
        new = attempt(2, f"second of {order_id}")
        assert await store.advance(step(claimed, claimed.order.version, *events, venue="here", attempt=new))
        late = await store.cancel(order_id)
        assert isinstance(late, TooLate)
        assert late.attempt is not None
        assert (late.attempt["attempt"], late.attempt["outcome"]) == (2, "open")
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=0, too_late=1)
        await worker.end()


async def test_an_order_that_never_rests_is_too_late_to_cancel_after_any_attempt(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        order_id = await one_order(store)
        await tried_in_vain(store, worker, order_id, 1, Outcome.EXPIRED, then=Status.ROUTING)
        assert isinstance(await store.cancel(order_id), TooLate)
        assert await store.cancel_all(Selection(all_open=True)) == CancelledAll(cancelled=0, too_late=1)
        await worker.end()


# Many orders


async def test_all_resting_orders_of_a_pair_and_tag_are_cancelled_with_their_events(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        grid = [await one_resting_order(store, tag="grid") for _ in range(3)]
        back = await one_resting_order(store, tag="grid", input_mint=USDC, output_mint=WSOL)
        other = await one_resting_order(store)
        executed_at_once = await one_order(store)
        announced.clear()
        selection = Selection(pair=Pair(WSOL, USDC), tag="grid")
        assert await store.cancel_all(selection) == CancelledAll(cancelled=3, too_late=0)
        assert {(e.order_id, e.seq, e.status) for e in announced} == {(i, 3, Status.CANCELLED) for i in grid}
        assert await store.cancel_all(selection) == CancelledAll(cancelled=0, too_late=0)
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=2, too_late=0)
        assert await store.cancel_all(Selection(all_open=True)) == CancelledAll(cancelled=1, too_late=0)
        shown = [(await store.order(one) or {})["status"] for one in (back, other, executed_at_once)]
        assert shown == ["cancelled"] * 3


async def test_a_triggered_order_is_cancelled_with_those_that_rest(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        order_id = await one_resting_order(store)
        claimed = await triggered(store, worker, order_id)
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=1, too_late=0)
        assert await store.advance(step(claimed, claimed.order.version, *ROUTED)) is None
        await worker.end()


async def test_promise_3_many_are_not_cancelled_either_before_the_record_is_compared(records: OpenRecord) -> None:
    async with records() as record:
        await one_resting_order(record.store)
        await record.moves_to_another_database()
        with pytest.raises(PartlyCancelledError, match="not compared") as caught:
            await record.store.cancel_all(Selection())
        assert caught.value.about == {"cancelled": 0}


async def one_resting_order(store: Store, **changes: Any) -> UUID:
    """A new limit order that rests until it is cancelled."""
    return (await store.create(limit_order(**changes))).order_id


async def triggered(store: Store, worker: WorkerSession, order_id: UUID) -> Claimed:
    """A resting order, triggered and claimed."""
    [found] = [one for one in await store.rested_page(BEFORE_ALL) if one.id == order_id]
    assert await store.trigger([Triggering(order_id=order_id, version=found.version, detail={})]) == [order_id]
    return await claimed_by(store, worker, order_id)


async def tried_in_vain(
    store: Store, worker: WorkerSession, order_id: UUID, n: int, outcome: Outcome, *, then: Status
) -> int:
    """An attempt of an order, proven to have had no effect; the order waits again, or is routed. Its version."""
    rests = any(one.id == order_id for one in await store.rested_page(BEFORE_ALL))
    claimed = await (triggered(store, worker, order_id) if rests else claimed_by(store, worker, order_id))
    version = claimed.order.version
    sent = (*ROUTED, (Status.SUBMITTED, {}))
    new = attempt(n, f"{n} of {order_id}")
    assert await store.advance(step(claimed, version, *sent, venue="here", attempt=new))
    back: dict[str, Any] = {"rest_ms": 0.0} if then is Status.WAITING else {"resume_in_ms": 0.0}
    resolution = Resolution(n, outcome, {})
    assert await store.advance(step(claimed, version + 3, (then, {}), resolution=resolution, **back))
    return version + 4

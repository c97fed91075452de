"""Promise 26 in the store: for an owner who is halted no attempt is recorded, at any step of a worker."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.cancellation import Cancelled
from dexexec.domain.event import Detail, Event
from dexexec.domain.halt import EVERYBODY
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.operator_errors import HaltedError
from dexexec.store import Claimed, Resolution, Store, WorkerSession
from tests.support.halting import halt, resume
from tests.support.parts import new_order
from tests.support.prepared_orders import ROUTED, Open, attempt, claimed_by, step
from tests.support.waiting import until

MINE, OTHERS = 1, 2
SUBMIT: tuple[tuple[Status, Detail], ...] = (*ROUTED, (Status.SUBMITTED, {}))
HALTED: Detail = {"reason": "halted", "detail": "signing is halted", "waitsFor": "halt"}


async def claimed_of(store: Store, worker: WorkerSession, owner: int | None) -> Claimed:
    """A new order of that key, claimed."""
    order_id = (await store.create(replace(new_order(), owner=owner))).order_id
    return await claimed_by(store, worker, order_id)


async def submit(store: Store, claimed: Claimed) -> list[Event] | None:
    """Record an attempt, as a worker does before it sends."""
    new = attempt(1, f"signature of {claimed.order.id}")
    return await store.advance(
        step(claimed, claimed.order.version, *SUBMIT, venue="here", attempt=new, owner=claimed.order.owner)
    )


async def status_of(store: Store, order_id: UUID) -> str:
    """The order's status."""
    order = await store.order(order_id)
    assert order is not None
    return str(order["status"])


@pytest.mark.parametrize("owner", [MINE, None])
async def test_promise_26_while_everybody_is_halted_nothing_is_recorded_for_any_order(
    stores: Open, owner: int | None
) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        worker = await store.begin("w", 20)
        claimed = await claimed_of(store, worker, owner)
        begun = await halt(store, EVERYBODY, "the desk is closed")
        assert await store.halts() == [begun]
        reported = len(announced)
        with pytest.raises(HaltedError, match=r"signing is halted for this service since .*: the desk is closed"):
            await submit(store, claimed)
        assert len(announced) == reported
        assert await store.versions([claimed.order.id]) == {claimed.order.id: 1}, "nothing was written"
        assert await resume(store, EVERYBODY)
        assert await submit(store, claimed), "under the same claim"
        assert await store.halts() == []
        assert not await resume(store, EVERYBODY)
        await worker.end()


async def test_promise_26_the_halt_of_a_key_stops_its_orders_only(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        own, other, nobodys = [await claimed_of(store, worker, owner) for owner in (MINE, OTHERS, None)]
        await halt(store, MINE, "")
        with pytest.raises(HaltedError, match="signing is halted for this key since"):
            await submit(store, own)
        assert await submit(store, other)
        assert await submit(store, nobodys)
        await halt(store, EVERYBODY, "all")
        with pytest.raises(HaltedError, match="for this service"):
            await submit(store, own)
        await resume(store, EVERYBODY)
        with pytest.raises(HaltedError, match="for this key"):
            await submit(store, own)
        await worker.end()


async def test_promise_26_what_was_recorded_before_is_settled_and_what_waits_can_be_cancelled(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        signed, waits = [await claimed_of(store, worker, MINE) for _ in range(2)]
        assert await submit(store, signed)
        await halt(store, MINE, "")
        final = Resolution(1, Outcome.LANDED, {"slot": 7, "finalized": True})
        assert await store.advance(step(signed, 4, (Status.CONFIRMED, {}), resolution=final, final=True))
        assert await store.advance(step(waits, 1, (Status.WAITING, HALTED), resume_in_ms=60_000))
        shown = await store.order(waits.order.id)
        assert shown is not None
        waiting: Any = shown["waitingFor"]
        assert (waiting["reason"], waiting["detail"]) == ("halt", HALTED["detail"])
        assert isinstance(await store.cancel(waits.order.id), Cancelled)
        await worker.end()


async def test_what_waits_for_the_end_of_a_halt_is_due_at_its_end_and_nothing_else_is(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        own, other, retries = [await claimed_of(store, worker, owner) for owner in (MINE, OTHERS, MINE)]
        for owner in (MINE, OTHERS):
            await halt(store, owner, "")
        for claimed in (own, other):
            assert await store.advance(step(claimed, 1, (Status.WAITING, HALTED), resume_in_ms=60_000))
        assert await store.advance(step(retries, 1, (Status.ROUTING, {"retryInMs": 60_000}), resume_in_ms=60_000))
        everyone = [claimed.order.id for claimed in (own, other, retries)]
        assert await store.claim(worker.id, everyone) == []
        await resume(store, MINE)
        taken = await until(lambda: store.claim(worker.id, everyone))
        assert [claimed.order.id for claimed in taken] == [own.order.id]
        await worker.end()


async def test_a_halt_that_is_repeated_keeps_its_time_and_takes_the_new_reason(stores: Open) -> None:
    async with stores() as store:
        first = await halt(store, EVERYBODY, "one")
        second = await halt(store, EVERYBODY, "two")
        assert second == replace(first, reason="two")
        assert await store.halts() == [second]

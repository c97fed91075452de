"""Confirmed orders, taken a page at a time: each by one watcher for one look, by the next one if that look fails."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.execution.sweeper import THE_BEGINNING
from dexexec.store import ConfirmedPage, Release, Resolution, Store, WorkerSession
from tests.support.prepared_orders import HOUR_MS, NIL_ID, Open, claimed_by, drop, one_order, step, submitted

FILL = Fill(10, 20, 5_000, 77)
SEEN = Resolution(1, None, {"slot": 77, "finalized": False})
FINAL = Resolution(1, Outcome.LANDED, {"slot": 77, "finalized": True})
SOON, LATER = ConfirmedPage(next_look_ms=0), ConfirmedPage(next_look_ms=HOUR_MS)
END = (Status.CONFIRMED, {"finalized": True})


async def confirmed(store: Store, worker: WorkerSession, rest_ms: float = 0, **where: str) -> UUID:
    """An order whose swap is confirmed and due for a look after `rest_ms`: version 5."""
    claimed = await claimed_by(store, worker, await one_order(store))
    await submitted(store, claimed, f"signature of {claimed.order.id}", **where)
    seen: Any = step(claimed, 4, (Status.CONFIRMED, {}), fill=FILL, resolution=SEEN, resume_in_ms=rest_ms)
    assert await store.advance(seen)
    return claimed.order.id


async def taken(store: Store, worker: WorkerSession, page: ConfirmedPage = SOON) -> list[UUID]:
    return [one.order.id for one in await store.take_confirmed(worker.id, page)]


async def test_a_confirmed_order_is_only_taken_by_the_watcher_and_only_when_it_is_due(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        due, rests = await confirmed(store, worker), await confirmed(store, worker, HOUR_MS)
        assert await store.idle(0, THE_BEGINNING, NIL_ID, 10) == [], "the sweeper does not put it on the queue"
        assert await store.claim(worker.id, [due, rests]) == [], "and an entry too many claims nothing"
        (one,) = await store.take_confirmed(worker.id, SOON)
        assert (one.order.id, one.order.status, one.order.version) == (due, Status.CONFIRMED, 5)
        assert one.attempt is not None
        assert (one.attempt.landed_slot, one.attempt.signed.signature) == (77, f"signature of {due}")
        await worker.end()


async def test_orders_that_have_not_landed_or_have_ended_are_not_taken(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        await submitted(store, await claimed_by(store, worker, await one_order(store)), "on its way")
        await one_order(store)
        ended = await confirmed(store, worker)
        (one,) = await store.take_confirmed(worker.id, SOON)
        assert await store.advance(step(one, 5, END, fill=FILL, resolution=FINAL, final=True))
        assert await taken(store, worker) == []
        view: Any = await store.order(ended)
        assert (view["status"], view["attempts"][0]["outcome"]) == ("confirmed", "landed")
        await worker.end()


async def test_promise_10_a_watcher_that_is_too_late_writes_nothing(stores: Open) -> None:
    """Nor does who had the order before it was confirmed."""
    async with stores() as store:
        worker, other = await store.begin("w", 20), await store.begin("o", 20)
        order_id = await confirmed(store, worker)
        (late,) = await store.take_confirmed(worker.id, SOON)
        (first,) = await store.take_confirmed(other.id, LATER)
        assert first.order.claim == late.order.claim + 1 == 3
        assert await store.advance(step(late, 5, END, fill=FILL, resolution=FINAL, final=True)) is None
        await store.release(Release(order_id, late.order.claim, blame=False, resume_in_ms=0))
        assert await taken(store, worker) == [], "it is not due"
        end = step(first, 5, END, fill=FILL, resolution=FINAL, final=True)
        answers = await asyncio.gather(store.advance(end), store.advance(end))
        assert sorted(answer is None for answer in answers) == [False, True], "it is told once"
        for each in (worker, other):
            await each.end()


async def test_an_impossible_slot_delays_no_other_order(stores: Open) -> None:
    """A node reported it, and the record has it."""
    async with stores() as store:
        worker = await store.begin("w", 20)
        odd, back, fine = [await confirmed(store, worker) for _ in range(3)]
        for one in [one for one in await store.take_confirmed(worker.id, SOON) if one.order.id != fine]:
            status = Status.CONFIRMED if one.order.id == odd else Status.SUBMITTED
            seen = Resolution(1, None, {"slot": 2**64 - 1})
            assert await store.advance(step(one, 5, (status, {}), resolution=seen, resume_in_ms=0))
        assert await taken(store, worker) == [odd, fine]
        assert [one.order.id for one in await store.claim(worker.id, [back])] == [back]
        await worker.end()


async def test_two_watchers_at_once_share_no_order_and_leave_none(stores: Open) -> None:
    async with stores() as one, stores() as two:
        workers = [await one.begin("w", 20), await two.begin("o", 20)]
        orders = {await confirmed(one, workers[0]) for _ in range(12)}
        page = ConfirmedPage(next_look_ms=HOUR_MS, limit=4)
        takes = (taken((one, two)[n % 2], workers[n % 2], page) for n in range(8))
        found = [order_id for some in await asyncio.gather(*takes) for order_id in some]
        while rest := await taken(one, workers[0], page):
            found += rest
        assert sorted(found) == sorted(orders)
        for each in workers:
            await each.end()


async def test_a_failed_lookup_is_repeated_when_the_order_is_due(stores: Open) -> None:
    async with stores() as store:
        dead, successor = await store.begin("dead", 20), await store.begin("successor", 20)
        order_id = await confirmed(store, dead)
        assert await taken(store, dead) == [order_id]
        await drop(dead)
        assert await taken(store, successor, LATER) == [order_id], "also before the dead worker is removed"
        assert await taken(store, successor) == []
        await successor.end()


async def test_pages_are_oldest_first_and_continue_after_the_last_order(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        orders = [await confirmed(store, worker) for _ in range(5)]
        first = await store.take_confirmed(worker.id, ConfirmedPage(next_look_ms=0, limit=3))
        assert [one.order.id for one in first] == orders[:3]
        last = first[-1].order
        behind = ConfirmedPage(next_look_ms=0, limit=3, behind=(last.created_at, last.id))
        assert await taken(store, worker, behind) == orders[3:]
        await worker.end()


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ({"network": "solana"}, ["solana", "of A", "of B"]),
        ({"network": "solana", "genesis": "A"}, ["solana", "of A"]),
        ({"network": "solana", "genesis": "A", "venues": ["here"]}, ["old", "solana", "of A"]),
        ({"network": "solana", "venues": ["there"]}, ["solana", "of A", "of B"]),
        ({"network": "localnet"}, []),
        ({}, ["old", "solana", "of A", "of B"]),
        ({"overdue_ms": HOUR_MS}, []),
    ],
)
async def test_only_orders_of_the_watched_network_are_taken(
    stores: Open, about: dict[str, Any], found: list[str]
) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        orders = {
            await confirmed(store, worker): "old",
            await confirmed(store, worker, network="solana"): "solana",
            await confirmed(store, worker, network="solana", genesis="A"): "of A",
            await confirmed(store, worker, network="solana", genesis="B"): "of B",
        }
        page = ConfirmedPage(next_look_ms=0, **about)
        assert [orders[order_id] for order_id in await taken(store, worker, page)] == found
        await worker.end()


async def test_a_worker_without_registration_or_valid_lease_takes_nothing(stores: Open) -> None:
    async with stores() as store:
        worker, over, gone = await store.begin("w", 20), await store.begin("over", -1), await store.begin("gone", 20)
        order_id = await confirmed(store, worker)
        await gone.end()
        for nobody in (over, gone):
            assert await taken(store, nobody) == []
        assert await taken(store, worker) == [order_id]
        for each in (worker, over):
            await each.end()


async def test_a_swap_that_the_chain_took_back_is_claimed_like_any_other_and_has_the_reason(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        order_id = await confirmed(store, worker)
        (one,) = await store.take_confirmed(worker.id, LATER)
        undone = (Status.SUBMITTED, {"reason": "un-confirmed", "detail": "a fork"})
        assert await store.advance(step(one, 5, undone, resolution=Resolution(1, None, {}), resume_in_ms=0))
        assert [i for i, _ in await store.idle(0, THE_BEGINNING, NIL_ID, 10)] == [order_id]
        assert await taken(store, worker) == []
        again = await claimed_by(store, worker, order_id)
        assert (again.cause, again.order.claims) == (("un-confirmed", "a fork"), 1)
        assert again.attempt is not None
        assert again.attempt.landed_slot is None
        await worker.end()

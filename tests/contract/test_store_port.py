"""What the engine relies on of its store, whether it is Postgres or the one in memory that simulations run on.

A store joins as a parameter of `stores`. It has a clock of its own: what takes time here takes none, or longer than a
test.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from dexexec.domain.event import Detail, Event
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap
from dexexec.errors import IdempotencyInFlightError, IdempotencyMismatchError
from dexexec.store import Address, Claimed, Created, Incarnation, NewAttempt, Release, Resolution, Step, Store
from dexexec.sweeper import THE_BEGINNING
from tests.fakes.database import MemoryDatabase
from tests.fakes.store import MemoryIncarnation, MemoryStore
from tests.parts import new_order, open_store
from tests.waiting import until

HOUR_MS = 3_600_000
NOBODY = UUID(int=0)
ROUTED: tuple[tuple[Status, Detail], ...] = ((Status.ROUTING, {"round": 1}), (Status.BUILDING, {"venue": "here"}))
Announce = Callable[[Sequence[Event]], None]
Open = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> Open:
    """Opens stores on one database."""
    if request.param == "memory":
        database = MemoryDatabase()

        @asynccontextmanager
        async def open_memory(announce: Announce = lambda _: None) -> AsyncIterator[Store]:
            yield MemoryStore(database, announce).port

        return open_memory
    address: Address = request.getfixturevalue("database_address")

    @asynccontextmanager
    async def open_postgres(announce: Announce = lambda _: None) -> AsyncIterator[Store]:
        async with open_store(address, announce) as store:
            yield store

    return open_postgres


async def drop(incarnation: Incarnation) -> None:
    """The process is gone without a word."""
    if isinstance(incarnation, MemoryIncarnation):
        incarnation.drop()
    else:
        await incarnation._connection.close()


async def one_order(store: Store, **about: Any) -> UUID:
    return (await store.create(new_order(**about))).order_id


async def claimed_by(store: Store, worker: Incarnation, order_id: UUID) -> Claimed:
    (claimed,) = await store.claim(worker.id, [order_id])
    return claimed


def step(claimed: Claimed, version: int, *events: tuple[Status, Detail], **more: Any) -> Step:
    return Step(claimed.order.id, claimed.order.claim, version, events, **more)


def attempt(n: int, signature: str) -> NewAttempt:
    return NewAttempt(n, "here", SignedSwap(signature, b"\x00bytes", 150), {"minOut": "1"})


async def submitted(store: Store, claimed: Claimed, signature: str) -> None:
    """Bring a fresh order to `submitted`: version 4, attempt 1."""
    assert await store.advance(step(claimed, 1, *ROUTED, venue="here", rounds=1))
    assert await store.advance(step(claimed, 3, (Status.SUBMITTED, {}), attempt=attempt(1, signature)))


# New orders


async def test_a_new_order_has_event_1_and_it_is_announced(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order = new_order()
        assert await store.create(order) == Created(order.id, replayed=False)
        events = (await store.events_after([(order.id, 0)]))[order.id]
        assert [(e.seq, e.status, e.detail["amount"]) for e in events] == [(1, Status.PENDING, "0.01")]
        assert announced == events
        assert await store.versions([order.id, uuid4()]) == {order.id: 1}


async def test_an_unknown_order_is_absent_and_one_with_nothing_new_is_empty(stores: Open) -> None:
    async with stores() as store:
        known, unknown = await one_order(store), uuid4()
        assert await store.events_after([(known, 1), (unknown, 0)]) == {known: []}
        assert await store.order(unknown) is None


async def test_a_key_is_one_order_whoever_repeats_it_and_another_body_is_refused(stores: Open) -> None:
    async with stores() as store:
        first = await store.create(new_order(key="k", body_hash=b"1"))
        again = await store.create(new_order(key="k", body_hash=b"1", client="10.0.0.9"))
        assert again == Created(first.order_id, replayed=True)
        with pytest.raises(IdempotencyMismatchError):
            await store.create(new_order(key="k", body_hash=b"2"))
        assert len(await store.orders(10, None, None)) == 1


async def test_a_key_posted_many_times_at_once_is_one_order(stores: Open) -> None:
    async with stores() as one, stores() as two:
        posts = ((one, two)[n % 2].create(new_order(key="k", body_hash=b"1")) for n in range(20))
        answers = await asyncio.gather(*posts, return_exceptions=True)
        accepted = {answer.order_id for answer in answers if isinstance(answer, Created)}
        assert len(accepted) == 1
        assert all(isinstance(answer, Created | IdempotencyInFlightError) for answer in answers)
        assert len(await one.orders(10, None, None)) == 1


async def test_the_list_is_newest_first_and_its_cursor_skips_and_repeats_nothing(stores: Open) -> None:
    async with stores() as store:
        ids = [str(await one_order(store)) for _ in range(5)]
        first = await store.orders(2, None, None)
        cursor: Any = first[-1]["_cursor"]
        rest = await store.orders(9, cursor, None)
        assert [row["orderId"] for row in first + rest] == ids[::-1]
        assert len(await store.orders(9, None, Status.PENDING)) == 5
        assert await store.orders(9, None, Status.FAILED) == []


# Claims


async def test_a_claim_shows_the_order_and_raises_its_number(stores: Open) -> None:
    async with stores() as store:
        order = new_order(deadline_ms=HOUR_MS)
        await store.create(order)
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order.id)
        seen = claimed.order
        assert (seen.id, seen.side, seen.amount, seen.amount_base) == (order.id, order.side, order.amount, 10_000_000)
        assert (seen.status, seen.version, seen.claim, seen.claims) == (Status.PENDING, 1, 1, 1)
        assert HOUR_MS - 60_000 < seen.deadline_in_ms <= HOUR_MS
        assert (claimed.attempt, claimed.signatures) == (None, ())
        await worker.end()


async def test_an_order_is_claimed_by_one_worker_only(stores: Open) -> None:
    async with stores() as store:
        ids = [await one_order(store) for _ in range(10)]
        workers = [await store.begin(f"w{n}", 20) for n in range(3)]
        claims = await asyncio.gather(*(store.claim(worker.id, ids) for worker in workers for _ in range(2)))
        assert sorted(claimed.order.id for batch in claims for claimed in batch) == sorted(ids)
        for worker in workers:
            await worker.end()


async def test_who_is_not_registered_or_whose_lease_is_over_claims_nothing(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        over = await store.begin("over", -1)
        assert await store.claim(over.id, [order_id]) == []
        assert await store.claim(over.id + 100, [order_id]) == []
        assert not await store.worker_seen()
        worker = await store.begin("w", 20)
        assert await store.worker_seen()
        assert await store.claim(worker.id, [uuid4(), order_id, order_id]) != []
        await worker.end()
        await over.end()


async def test_the_end_of_an_incarnation_frees_what_it_holds(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        await claimed_by(store, first, order_id)
        assert await store.claim(second.id, [order_id]) == []
        await first.end()
        assert (await claimed_by(store, second, order_id)).order.claim == 2
        await second.end()


async def test_the_end_of_a_lease_frees_what_it_holds_and_its_renewal_does_not(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        first, second = await store.begin("first", 0.5), await store.begin("second", 20)
        await claimed_by(store, first, order_id)
        assert await first.renew()
        assert await store.claim(second.id, [order_id]) == []

        async def taken_over() -> list[Claimed]:
            return await store.claim(second.id, [order_id])

        (claimed,) = await until(taken_over, pause=0.02)
        assert claimed.order.claim == 2
        for worker in (first, second):
            await worker.end()


async def test_the_dead_are_buried_and_the_living_are_not(stores: Open) -> None:
    async with stores() as store:
        held, orphan, free = [await one_order(store) for _ in range(3)]
        living, dying = await store.begin("living", 20), await store.begin("dying", 20)
        await claimed_by(store, living, held)
        await claimed_by(store, dying, orphan)
        assert await store.bury() == []
        await drop(dying)
        assert await until(store.bury) == ["dying"]
        assert [i for i, _ in await store.idle(0, THE_BEGINNING, NOBODY, 10)] == [orphan, free]
        assert await living.renew()
        late = await store.begin("late", -1)
        assert await store.bury() == ["late"]
        assert not await late.renew()
        for worker in (late, living):
            await worker.end()


async def test_claims_without_a_step_make_an_order_wait(stores: Open) -> None:
    async with stores() as store:
        order_id, worker = await one_order(store), await store.begin("w", 20)
        for n in range(1, 5):
            claimed = await claimed_by(store, worker, order_id)
            assert claimed.order.claims == n
            await store.release(Release(order_id, n, blame=True, resume_in_ms=0))
        assert await store.claim(worker.id, [order_id]) == [], "the fourth made it wait for half a second"
        await worker.end()


# Steps


async def test_a_step_under_a_stale_claim_writes_nothing(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        zombie, heir = await store.begin("zombie", 20), await store.begin("heir", 20)
        stale = await claimed_by(store, zombie, order_id)
        await zombie.end()
        fresh = await claimed_by(store, heir, order_id)
        assert await store.advance(step(stale, 1, *ROUTED)) is None
        await store.release(Release(order_id, stale.order.claim, blame=False, resume_in_ms=HOUR_MS))
        await store.set_aside(order_id, stale.order.claim)
        assert await store.versions([order_id]) == {order_id: 1}
        events = await store.advance(step(fresh, 1, *ROUTED))
        assert events is not None
        assert [(e.seq, e.status) for e in events] == [(2, Status.ROUTING), (3, Status.BUILDING)]
        await heir.end()


async def test_a_step_is_written_once_and_announced_once(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order_id, worker = await one_order(store), await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order_id)
        once = step(claimed, 1, *ROUTED)
        answers = await asyncio.gather(store.advance(once), store.advance(once))
        assert sorted(answer is None for answer in answers) == [False, True]
        assert await store.advance(replace(once, version=7)) is None
        assert await store.advance(replace(once, order_id=uuid4())) is None
        assert [e.seq for e in announced] == [1, 2, 3]
        assert (await store.events_after([(order_id, 1)]))[order_id] == announced[1:]
        await worker.end()


async def test_nothing_follows_a_final_step(stores: Open) -> None:
    async with stores() as store:
        order_id, worker = await one_order(store), await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order_id)
        assert await store.advance(step(claimed, 1, (Status.FAILED, {"reason": "x"}), final=True, reason="x"))
        assert await store.advance(step(claimed, 2, (Status.ROUTING, {}))) is None
        await worker.end()
        heir = await store.begin("heir", 20)
        assert await store.claim(heir.id, [order_id]) == []
        assert await store.idle(0, THE_BEGINNING, NOBODY, 10) == []
        view = await store.order(order_id)
        assert view is not None
        assert (view["status"], view["failureReason"]) == ("failed", "x")
        await heir.end()


async def test_a_step_that_gives_back_lets_the_order_rest_until_its_time(stores: Open) -> None:
    async with stores() as store:
        rests, moves, released = [await one_order(store) for _ in range(3)]
        worker, other = await store.begin("w", 20), await store.begin("other", 20)
        for order_id, pause in ((rests, HOUR_MS), (moves, 0)):
            claimed = await claimed_by(store, worker, order_id)
            assert await store.advance(step(claimed, 1, (Status.ROUTING, {}), rounds=1, resume_in_ms=pause))
        claimed = await claimed_by(store, worker, released)
        await store.release(Release(released, claimed.order.claim, blame=False, resume_in_ms=HOUR_MS))
        assert [i for i, _ in await store.idle(0, THE_BEGINNING, NOBODY, 10)] == [moves]
        (again,) = await store.claim(other.id, [rests, moves, released])
        assert (again.order.id, again.order.rounds, again.order.claims) == (moves, 1, 1)
        for one in (worker, other):
            await one.end()


# Attempts


async def test_the_open_attempt_and_all_signatures_come_with_the_next_claim(stores: Open) -> None:
    async with stores() as store:
        order_id, first = await one_order(store), await store.begin("first", 20)
        claimed = await claimed_by(store, first, order_id)
        await submitted(store, claimed, "one")
        gone = Resolution(1, "expired", {"heightSeen": 151})
        assert await store.advance(step(claimed, 4, (Status.ROUTING, {}), resolution=gone))
        assert await store.advance(step(claimed, 5, (Status.BUILDING, {})))
        assert await store.advance(step(claimed, 6, (Status.SUBMITTED, {}), attempt=attempt(2, "two")))
        await first.end()
        second = await store.begin("second", 20)
        resumed = await claimed_by(store, second, order_id)
        assert (resumed.order.status, resumed.order.version, resumed.order.attempts) == (Status.SUBMITTED, 7, 2)
        assert resumed.signatures == ("one", "two")
        assert resumed.attempt is not None
        assert (resumed.attempt.n, resumed.attempt.signed.signature) == (2, "two")
        assert (resumed.attempt.signed.payload, resumed.attempt.quoted) == (b"\x00bytes", {"minOut": "1"})
        assert resumed.attempt.landed_slot is None
        view = await store.order(order_id)
        assert view is not None
        attempts: Any = view["attempts"]
        assert [(a["txHash"], a["outcome"]) for a in attempts] == [("one", "expired"), ("two", "open")]
        await second.end()


async def test_a_second_open_attempt_is_refused_whole_and_others_are_written(stores: Open) -> None:
    async with stores() as store:
        order_id, bystander = await one_order(store), await one_order(store)
        worker = await store.begin("w", 20)
        claimed, other = [await claimed_by(store, worker, i) for i in (order_id, bystander)]
        await submitted(store, claimed, "a")
        refused, fine = await asyncio.gather(
            store.advance(step(claimed, 4, (Status.SUBMITTED, {}), attempt=attempt(2, "b"))),
            store.advance(step(other, 1, *ROUTED)),
            return_exceptions=True,
        )
        assert isinstance(refused, psycopg.errors.UniqueViolation)
        assert isinstance(fine, list)
        assert await store.versions([order_id]) == {order_id: 4}
        await worker.end()


async def test_two_open_attempts_never_share_a_signature_over_all_orders(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        one, two = [await claimed_by(store, worker, await one_order(store)) for _ in range(2)]
        await submitted(store, one, "same")
        with pytest.raises(psycopg.errors.UniqueViolation):
            await submitted(store, two, "same")
        await worker.end()


async def test_a_confirmed_swap_stays_open_until_it_is_final_and_its_fill_goes_when_it_is_taken_back(
    stores: Open,
) -> None:
    async with stores() as store:
        order_id, worker = await one_order(store), await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order_id)
        await submitted(store, claimed, "s")

        async def view() -> tuple[object, object, object]:
            found = await store.order(order_id)
            assert found is not None
            attempts: Any = found["attempts"]
            return found["status"], found["amountOut"], attempts[0]["outcome"]

        seen, fill = Resolution(1, None, {"slot": 77, "finalized": False}), Fill(10, 20, 5_000, 77)
        landed = step(claimed, 4, (Status.CONFIRMED, {}), fill=fill, resolution=seen, resume_in_ms=0)
        assert await store.advance(landed)
        assert await view() == ("confirmed", "20", "open")
        again = await claimed_by(store, worker, order_id)
        assert again.attempt is not None
        assert again.attempt.landed_slot == 77
        taken_back = step(again, 5, (Status.SUBMITTED, {}), resolution=Resolution(1, None, {}))
        assert await store.advance(taken_back)
        assert await view() == ("submitted", None, "open")
        final = Resolution(1, "landed", {"slot": 80, "finalized": True})
        last = step(again, 6, (Status.CONFIRMED, {"finalized": True}), final=True, fill=fill, resolution=final)
        assert await store.advance(last)
        assert await view() == ("confirmed", "20", "landed")
        await worker.end()


# What should be moving


async def test_idle_orders_come_oldest_first_behind_the_cursor_and_only_when_long_due(stores: Open) -> None:
    async with stores() as store:
        ids = [await one_order(store) for _ in range(5)]
        rows = await store.idle(0, THE_BEGINNING, NOBODY, 3)
        assert [i for i, _ in rows] == ids[:3]
        after, since = rows[-1]
        assert [i for i, _ in await store.idle(0, since, after, 3)] == ids[3:]
        assert await store.idle(0, since + timedelta(days=1), NOBODY, 3) == []
        assert await store.idle(HOUR_MS, THE_BEGINNING, NOBODY, 3) == []


async def test_an_order_that_is_set_aside_is_left_alone(stores: Open) -> None:
    async with stores() as store:
        order_id, worker = await one_order(store), await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order_id)
        await store.set_aside(order_id, claimed.order.claim)
        assert await store.idle(0, THE_BEGINNING, NOBODY, 3) == []
        assert await store.claim(worker.id, [order_id]) == []
        await worker.end()

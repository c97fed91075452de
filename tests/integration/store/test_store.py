"""The store on a real Postgres: what is durable when, who may write, and that nothing comes out of order."""

import asyncio
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest

from dexexec.clock import SystemClock
from dexexec.domain.event import Event
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap
from dexexec.errors import IdempotencyInFlightError, IdempotencyMismatchError, UnavailableError
from dexexec.execution.sweeper import THE_BEGINNING
from dexexec.store import (
    Address,
    Claimed,
    ConfirmedPage,
    Database,
    NewAttempt,
    Release,
    Resolution,
    Store,
    WorkerSession,
    claims,
    migrate,
)
from dexexec.store.migrate import migrations
from tests.support.parts import new_order, open_database, open_store, running
from tests.support.prepared_orders import ROUTED, claimed_by, step
from tests.support.waiting import until


async def claim_one(store: Store, order_id: UUID, name: str = "w") -> tuple[WorkerSession, Claimed]:
    session = await store.begin(name, 20)
    return session, await claimed_by(store, session, order_id)


async def test_migrations_apply_once_although_many_processes_start_together(empty_database: Address) -> None:
    databases = [Database(empty_database) for _ in range(4)]
    for database in databases:
        await database.open()
    applied = await asyncio.gather(*map(migrate, databases))
    assert sorted(map(len, applied)) == [0, 0, 0, len(migrations())]
    assert await migrate(databases[0]) == []
    for database in databases:
        await database.close()


async def test_an_unreadable_order_delays_no_other_order(database_address: Address) -> None:
    """A newer version, or a person, wrote a value into its row that this version cannot read."""
    unreadable: list[UUID] = []
    async with open_database(database_address) as database:
        store = Store(
            database, lambda _: None, SystemClock(), unreadable=lambda order_id, _: unreadable.append(order_id)
        )
        async with running(store.run()):
            worker = await store.begin("w", 20)
            ids = [(await store.create(new_order())).order_id for _ in range(4)]
            for n, one in enumerate(await store.claim(worker.id, ids[2:])):
                signed = NewAttempt(
                    n=1,
                    venue="here",
                    signed=SignedSwap(
                        signature=f"signature {n}", payload=b"bytes", last_valid_height=100, network="here"
                    ),
                    quoted={},
                )
                assert await store.advance(step(one, 1, *ROUTED, (Status.SUBMITTED, {}), attempt=signed))
                seen = Resolution(1, None, {"slot": 7})
                assert await store.advance(step(one, 4, (Status.CONFIRMED, {}), resolution=seen, resume_in_ms=0))
            async with database.connection() as connection:
                await connection.execute("UPDATE orders SET mode = 'iceberg' WHERE id = ANY(%s)", (ids[::2],))
            assert [one.order.id for one in await store.claim(worker.id, ids[:2])] == [ids[1]]
            page = ConfirmedPage(next_look_ms=0, network="here")
            assert [one.order.id for one in await store.take_confirmed(worker.id, page)] == [ids[3]]
            assert unreadable == ids[::2]
            await worker.end()


async def test_promise_1_an_order_and_its_first_event_are_durable_before_the_answer(database_address: Address) -> None:
    announced: list[Event] = []
    async with open_store(database_address, announced.extend) as store, open_store(database_address) as other:
        order = new_order()
        created = await store.create(order)
        assert created.order_id == order.id
        seen = await other.events_after([(order.id, 0)])
        assert [(e.seq, e.status) for e in seen[order.id]] == [(1, Status.PENDING)]
        assert announced == seen[order.id]


async def test_many_orders_at_once_share_commits_and_each_gets_its_own_answer(database_address: Address) -> None:
    async with open_store(database_address) as store:
        orders = [new_order() for _ in range(300)]
        created = await asyncio.gather(*map(store.create, orders))
        assert [c.order_id for c in created] == [o.id for o in orders]
        assert await store.versions([o.id for o in orders]) == {o.id: 1 for o in orders}


async def test_a_row_that_postgres_refuses_fails_alone(database_address: Address) -> None:
    async with open_store(database_address) as store:
        good, bad = [new_order() for _ in range(5)], new_order(client="a\x00b")
        results = await asyncio.gather(*map(store.create, [*good, bad]), return_exceptions=True)
        assert [isinstance(r, Exception) for r in results] == [False] * 5 + [True]
        assert set(await store.versions([o.id for o in good])) == {o.id for o in good}


async def test_promise_9_the_same_key_and_body_is_the_same_order_and_another_body_is_refused(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store:
        first = await store.create(new_order(key="k", body_hash=b"1"))
        again = await store.create(new_order(key="k", body_hash=b"1"))
        assert (again.order_id, again.replayed) == (first.order_id, True)
        elsewhere = await store.create(new_order(key="k", body_hash=b"1", client="10.0.0.9"))
        assert elsewhere.order_id == first.order_id, "also when it comes back from another address"
        with pytest.raises(IdempotencyMismatchError):
            await store.create(new_order(key="k", body_hash=b"2"))


async def test_promise_9_while_the_first_is_in_flight_the_second_is_refused(database_address: Address) -> None:
    async with open_store(database_address) as one, open_store(database_address) as two:
        orders = [new_order(key="k", body_hash=b"1") for _ in range(20)]
        stores = [one, two] * 10
        results = await asyncio.gather(
            *(s.create(o) for s, o in zip(stores, orders, strict=True)), return_exceptions=True
        )
        accepted = [r for r in results if not isinstance(r, BaseException)]
        assert len({r.order_id for r in accepted}) == 1
        assert all(isinstance(r, IdempotencyInFlightError) for r in results if isinstance(r, BaseException))
        assert len(await one.orders(100, None)) == 1


async def test_promise_10_a_worker_whose_claim_went_stale_writes_nothing(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = new_order()
        await store.create(order)
        zombie, stale = await claim_one(store, order.id, "zombie")
        await zombie.end()
        successor, fresh = await claim_one(store, order.id, "successor")
        assert fresh.order.claim == stale.order.claim + 1
        assert await store.advance(step(stale, 1, *ROUTED)) is None
        assert await store.versions([order.id]) == {order.id: 1}
        assert await store.advance(step(fresh, 1, *ROUTED)) is not None
        assert await store.claim(zombie.id, [order.id]) == [], "a buried worker claims nothing either"
        await successor.end()


async def test_promise_7_a_step_is_written_once_and_a_finished_order_never_changes(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = new_order()
        await store.create(order)
        worker, claimed = await claim_one(store, order.id)
        assert await store.advance(step(claimed, 1, *ROUTED)) is not None
        assert await store.advance(step(claimed, 1, *ROUTED)) is None, "the same step again"
        end = step(claimed, 3, (Status.FAILED, {"reason": "x"}), reason="x", final=True)
        assert await store.advance(end) is not None
        assert await store.advance(step(claimed, 4, (Status.CONFIRMED, {}))) is None
        events = (await store.events_after([(order.id, 0)]))[order.id]
        assert [e.seq for e in events] == [1, 2, 3, 4]
        assert events[-1].status is Status.FAILED
        await worker.end()


async def test_promise_4_an_attempt_is_recorded_with_its_event_and_found_by_the_next_claim(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store:
        order = new_order()
        await store.create(order)
        first, claimed = await claim_one(store, order.id)
        await store.advance(step(claimed, 1, *ROUTED))
        signed = SignedSwap(signature="sig", payload=b"\x00bytes", last_valid_height=150)
        submitted = step(
            claimed,
            3,
            (Status.SUBMITTED, {}),
            attempt=NewAttempt(n=1, venue="here", signed=signed, quoted={"price": "1"}),
        )
        assert await store.advance(submitted) is not None
        await first.end()
        second, resumed = await claim_one(store, order.id)
        assert resumed.attempt is not None
        assert (resumed.attempt.n, resumed.attempt.venue, resumed.attempt.signed) == (1, "here", signed)
        landed = step(
            resumed,
            4,
            (Status.CONFIRMED, {}),
            fill=Fill(10, 20, 5000, 7),
            resolution=Resolution(1, Outcome.LANDED, {"slot": 7}),
        )
        assert await store.advance(landed) is not None
        view = await store.order(order.id)
        assert view is not None
        assert (view["status"], view["amountIn"], view["amountOut"], view["txHash"]) == ("confirmed", "10", "20", "sig")
        attempts: Any = view["attempts"]
        assert [(a["outcome"], a["proof"]) for a in attempts] == [("landed", {"slot": 7})]
        await second.end()


async def test_an_order_has_at_most_one_attempt_in_flight(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order, bystander = new_order(), new_order()
        await store.create(order)
        await store.create(bystander)
        worker, claimed = await claim_one(store, order.id)
        (other,) = await store.claim(worker.id, [bystander.id])
        await store.advance(step(claimed, 1, *ROUTED))
        one = NewAttempt(
            n=1, venue="here", signed=SignedSwap(signature="a", payload=b"", last_valid_height=1), quoted={}
        )
        await store.advance(step(claimed, 3, (Status.SUBMITTED, {}), attempt=one))
        two = NewAttempt(
            n=2, venue="here", signed=SignedSwap(signature="b", payload=b"", last_valid_height=1), quoted={}
        )
        refused, fine = await asyncio.gather(
            store.advance(step(claimed, 4, (Status.SUBMITTED, {}), attempt=two)),
            store.advance(step(other, 1, *ROUTED)),
            return_exceptions=True,
        )
        assert "attempts_open" in str(refused)
        assert not isinstance(fine, BaseException)
        await worker.end()


async def test_orders_of_a_dead_worker_are_found_and_those_of_a_living_one_are_not(database_address: Address) -> None:
    async with open_store(database_address) as store:
        held, orphan, free = new_order(), new_order(), new_order()
        for order in (held, orphan, free):
            await store.create(order)
        living, _ = await claim_one(store, held.id, "living")
        dying, _ = await claim_one(store, orphan.id, "dying")
        await dying._connection.close()  # the process is gone, its row stays
        assert await until(store.remove_dead_workers) == ["dying"]  # Postgres learns of it a moment later
        rows = await store.idle(0, THE_BEGINNING, UUID(int=0), 10)
        assert [order_id for order_id, _ in rows] == [orphan.id, free.id]
        assert await living.renew()
        await living.end()


async def test_promise_15_registering_is_given_up_where_postgres_does_not_commit(database_address: Address) -> None:
    """As it does not when its synchronous standby is lost; a worker that is to stop would wait for it."""
    async with open_database(database_address) as others, open_database(database_address) as database:
        database.timeout = 0.2
        async with others.connection() as connection, connection.transaction():
            await connection.execute("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(WorkerSession.begin(database, "w", 20), 20)

        async def gone() -> bool:
            """Nothing of it is left."""
            sessions = (
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'INSERT INTO workers%'"
            )
            async with others.connection() as connection:
                return await (await connection.execute(sessions)).fetchone() is None

        await until(gone)


async def test_a_removed_worker_finds_out_at_its_next_heartbeat(database_address: Address) -> None:
    async with open_store(database_address) as store:
        worker = await store.begin("slow", 0)  # a lease that is over at once, as after a long stop
        assert await store.remove_dead_workers() == ["slow"]
        assert not await worker.renew()
        await worker.end()


async def test_orders_are_released_together_with_pauses_of_any_length(database_address: Address) -> None:
    async with open_store(database_address) as store, open_database(database_address) as database:
        orders = [(await store.create(new_order())).order_id for _ in range(2)]
        worker = await store.begin("w", 20)
        first, second = await store.claim(worker.id, orders)
        pauses: tuple[float, float] = (0, 0.5)
        items = [
            Release(one.order.id, one.order.claim, blame=False, resume_in_ms=pause)
            for one, pause in zip((first, second), pauses, strict=True)
        ]
        await claims.release(database, items)
        again = await until(lambda: store.claim(worker.id, orders))
        assert {one.order.id for one in again} <= set(orders)
        await worker.end()


async def test_a_released_order_rests_until_its_time_and_can_then_be_claimed_by_any_worker(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store:
        order = new_order()
        await store.create(order)
        worker, claimed = await claim_one(store, order.id)
        await store.release(Release(order.id, claimed.order.claim, blame=False, resume_in_ms=60_000))
        assert await store.claim(worker.id, [order.id]) == []
        await worker.end()


async def test_of_a_long_history_the_newest_events_and_all_with_a_transaction_are_read(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store:
        order = new_order()
        await store.create(order)
        with psycopg.connect(database_address.conninfo(), autocommit=True) as connection:
            connection.execute(
                """INSERT INTO order_events (order_id, seq, status, detail)
                SELECT %s, n, 'routing',
                    CASE WHEN n = 7 THEN '{"txHash": "x", "networkFee": "5000"}' ELSE '{}' END::jsonb
                FROM generate_series(2, 1000) n""",
                (order.id,),
            )
            connection.execute("UPDATE orders SET version = 1000, status = 'routing' WHERE id = %s", (order.id,))
        found = await store.order(order.id)
        assert found is not None
        events = cast("list[dict[str, object]]", found["events"])
        assert [event["seq"] for event in events] == [1, 7, *range(801, 1001)]
        assert (found["eventsOmitted"], found["feesPaid"]) == (798, "5000")
        short = new_order()
        await store.create(short)
        assert "eventsOmitted" not in (await store.order(short.id) or {})

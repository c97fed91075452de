"""Promise 26 on real Postgres: after a halt has returned no attempt appears, with workers that record all the time."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.funds import Need, Spending
from dexexec.domain.halt import EVERYBODY
from dexexec.domain.status import Status
from dexexec.operator_errors import HaltedError
from dexexec.store import Address, Claimed, Database, Store, WorkerSession, halts
from tests.support.halting import halt, resume
from tests.support.parts import new_order, open_store
from tests.support.prepared_orders import ROUTED, attempt, claimed_by, step

ROUNDS = 15
WRITERS = 6
SEED = 26
MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
COUNT = "SELECT count(*) AS attempts FROM attempts"


async def counted(database: Database) -> int:
    """How many attempts are recorded."""
    async with database.connection() as connection:
        row = await (await connection.execute(COUNT)).fetchone()
    assert row is not None
    return int(row[0])


async def record(store: Store, claimed: Claimed, wallet: str | None) -> None:
    """Record an attempt, with a reservation (in a transaction of several statements) or without."""
    spending = Spending(wallet, 10, (Need(MINT, 1, 10**9),)) if wallet else None
    new = replace(attempt(1, f"signature of {claimed.order.id}"), spending=spending)
    events = (*ROUTED, (Status.SUBMITTED, {}))
    assert await store.advance(step(claimed, 1, *events, venue="here", attempt=new, owner=claimed.order.owner))


async def record_until_halted(store: Store, worker: WorkerSession, wallet: str | None) -> int:
    """Post, claim and record one order after another; how many were recorded before the first refusal."""
    count = 0
    while True:
        order_id = (await store.create(replace(new_order(), owner=1))).order_id
        claimed = await claimed_by(store, worker, order_id)
        try:
            await record(store, claimed, wallet)
        except HaltedError:
            return count
        count += 1


@asynccontextmanager
async def two_stores(address: Address) -> AsyncIterator[tuple[Store, Store]]:
    """As two processes have them."""
    async with open_store(address) as one, open_store(address) as two:
        yield one, two


@pytest.mark.parametrize("owner", [EVERYBODY, 1])
async def test_promise_26_after_a_halt_has_returned_no_attempt_appears(database_address: Address, owner: int) -> None:
    rng = random.Random(SEED)
    async with two_stores(database_address) as stores:
        workers = [await store.begin("w", 60) for store in stores]
        total = 0
        for _ in range(ROUNDS):
            writers = [
                asyncio.create_task(
                    record_until_halted(stores[n % 2], workers[n % 2], f"wallet {n % 3}" if n % 3 else None)
                )
                for n in range(WRITERS)
            ]
            await asyncio.sleep(rng.uniform(0, 0.03))
            await halt(stores[0], owner, "a test")
            at_return = await counted(stores[0]._database)
            total += sum(await asyncio.gather(*writers))
            assert await counted(stores[0]._database) == at_return == total
            assert await resume(stores[1], owner)
        assert total, "some were recorded before the halts"
        for worker in workers:
            await worker.end()


async def test_promise_26_a_halt_waits_for_the_transaction_that_did_not_see_it(database_address: Address) -> None:
    async with two_stores(database_address) as (store, other):
        database = store._database
        worker = await store.begin("w", 60)
        first, second = [await claimed_by(store, worker, (await store.create(new_order())).order_id) for _ in range(2)]
        lock_orders = "SELECT id FROM orders WHERE id = %s FOR UPDATE"
        async with other._database.connection() as holder, holder.transaction():
            await holder.execute(lock_orders, (first.order.id,))
            # Its statement has its snapshot, and waits for the row.
            recording = asyncio.create_task(record(store, first, None))
            await waits_for_a_lock(other._database)
            await halts.halt(database, EVERYBODY, "")
            assert not await halts.wait_for_attempts(database, SystemClock(), 0.2), "it may still commit"
            assert not recording.done()
        await recording
        assert await halts.wait_for_attempts(database, SystemClock(), 30)
        with pytest.raises(HaltedError):
            await record(store, second, None)
        await worker.end()


async def waits_for_a_lock(database: Database) -> None:
    """Return once a statement of this database waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(30), database.connection() as connection:
        while (row := await (await connection.execute(waiting)).fetchone()) is None or not row[0]:
            await asyncio.sleep(0.01)


async def test_a_backup_that_runs_delays_neither_a_halt_nor_attempts(database_address: Address) -> None:
    async with two_stores(database_address) as (store, other):
        worker = await store.begin("w", 60)
        claimed = await claimed_by(store, worker, (await store.create(new_order())).order_id)
        async with other._database.connection() as dump, dump.transaction():
            await dump.execute("LOCK TABLE halts, orders, attempts IN ACCESS SHARE MODE")  # as pg_dump does
            await halts.halt(store._database, EVERYBODY, "")
            assert await halts.wait_for_attempts(store._database, SystemClock(), 30)
            await halts.resume(store._database, EVERYBODY)
            await record(store, claimed, "wallet")
        await worker.end()


async def test_a_reader_of_halts_is_not_delayed_by_one_that_is_written(database_address: Address) -> None:
    async with two_stores(database_address) as (store, other):
        async with other._database.connection() as writer, writer.transaction():
            await writer.execute("INSERT INTO halts (owner) VALUES (0)")
            async with asyncio.timeout(30):
                assert await store.halts() == [], "not committed yet"
        assert [each.owner for each in await store.halts()] == [EVERYBODY]

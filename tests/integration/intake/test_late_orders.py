"""Orders that Postgres is too slow for, on a real one behind locks: an order that was answered 503 is never executed
later, and a deadline counts from when the request was read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.order import NewOrder
from dexexec.errors import UnavailableError
from dexexec.intake.intake import Intake
from dexexec.observe.observer import Observer, make_logger
from dexexec.store import Address, Created, Database, Store
from dexexec.store import orders as statements
from dexexec.store.orders import CreateRequest
from tests.support.memory_ports import MemoryLimiter, MemoryQueue
from tests.support.parts import new_order, open_database, open_store, running
from tests.support.prepared_orders import ROUTED, claimed_by, one_order, step
from tests.support.waiting import until

CLOCK = SystemClock()
SOON = 0.1
LATE = 60.0


class Outside:
    """Another session on the same database, which locks the table of orders and reads it."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[datetime]]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Locks the table of orders for the block."""
        async with self._connection.transaction():
            await self._connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            yield

    async def waiting(self) -> int:
        """How many statements wait for the table."""
        cursor = await self._connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass"
        )
        (count,) = await cursor.fetchone() or (0,)
        return int(str(count))

    async def one_waits(self) -> bool:
        return await self.waiting() > 0

    async def none_waits(self) -> bool:
        return await self.waiting() == 0

    async def pass_time(self, seconds: float) -> None:
        """Until the database's clock has moved so far."""
        begun = await self.clock()

        async def passed() -> bool:
            return await self.clock() - begun > timedelta(seconds=seconds)

        await until(passed, pause=0.01)

    async def clock(self) -> datetime:
        row = await (await self._connection.execute("SELECT clock_timestamp()")).fetchone()
        assert row is not None
        return row[0]

    async def stored(self) -> dict[UUID, timedelta]:
        """The time that each stored order had left when it was stored."""
        cursor = await self._connection.execute("SELECT id, deadline_at - created_at FROM orders")
        return dict(await cursor.fetchall())  # type: ignore[arg-type]


@asynccontextmanager
async def outside(address: Address) -> AsyncIterator[Outside]:
    connection = await psycopg.AsyncConnection.connect(address.conninfo(), autocommit=True)
    try:
        yield Outside(connection)
    finally:
        await connection.close()


async def create_soon(store: Store, order: NewOrder) -> str | None:
    """The id in the error of an order that is given up soon."""
    with pytest.raises(UnavailableError) as caught:
        await store.create(order, answer_by=CLOCK.monotonic() + SOON)
    return caught.value.order_id


def request(seconds: float, key: str | None = None) -> CreateRequest:
    """An order whose client waits so long."""
    now = CLOCK.monotonic()
    return CreateRequest(order=new_order(key=key), read_at=now, answer_by=now + seconds)


@asynccontextmanager
async def one_connection(address: Address) -> AsyncIterator[Database]:
    """A database of which there is one connection, so that the same one is used again."""
    async with open_database(address):
        database = Database(address, size=1)
        await database.open()
        try:
            yield database
        finally:
            await database.close()


async def test_who_was_refused_while_another_batch_was_written_is_not_stored(database_address: Address) -> None:
    async with open_store(database_address) as store, outside(database_address) as others:
        await store.create(new_order())
        before = set(await others.stored())
        first = new_order()
        async with others.locked():
            storing = asyncio.create_task(store.create(first, answer_by=CLOCK.monotonic() + LATE))
            await until(others.one_waits)
            ids = await asyncio.gather(*(create_soon(store, new_order()) for _ in range(20)))
            assert set(ids) == {None}, "nothing of theirs was sent"
        await storing
        last = await store.create(new_order())
        assert set(await others.stored()) == before | {first.id, last.order_id}


@pytest.mark.parametrize("prepared", [True, False])
async def test_a_statement_ends_with_the_time_of_those_who_wait_for_it(
    database_address: Address, prepared: bool
) -> None:
    async with one_connection(database_address) as database, outside(database_address) as others:
        store = Store(database, lambda _: None, CLOCK)
        async with running(store.run()):
            before = {(await store.create(new_order())).order_id} if prepared else set()
            async with others.locked():
                await create_soon(store, new_order())
                await until(others.none_waits)
            last = await store.create(new_order())
            assert set(await others.stored()) == before | {last.order_id}


@pytest.mark.parametrize("prepared", [True, False])
async def test_a_statement_that_was_not_cancelled_stores_nothing_that_is_too_late(
    database_address: Address, prepared: bool
) -> None:
    async with one_connection(database_address) as database, outside(database_address) as others:
        if prepared:
            await statements.create(database, [request(LATE)], CLOCK)
        late, patient = request(SOON, key="k"), request(LATE, key="another")
        async with others.locked():
            creating = asyncio.create_task(statements.create(database, [late, patient], CLOCK))
            await until(others.one_waits)
            await others.pass_time(2 * SOON)
        stored = await creating
        assert [type(answer) for answer in stored.answers] == [UnavailableError, Created]
        assert [event.order_id for event in stored.events] == [patient.order.id]
        assert late.order.id not in await others.stored()
        again = await statements.create(database, [request(LATE, key="k")], CLOCK)
        assert [answer.replayed for answer in again.answers if isinstance(answer, Created)] == [False], "a free key"


async def test_what_is_being_written_when_its_client_goes_may_be_stored_and_goes_its_way(
    database_address: Address,
) -> None:
    async with one_connection(database_address) as database, outside(database_address) as others:
        store = Store(database, lambda _: None, CLOCK)
        async with running(store.run()):
            await store.create(new_order())
            order, committed = new_order(), asyncio.Event()
            async with others.locked():
                creating = asyncio.create_task(store.create(order, committed=committed.set))
                await until(others.one_waits)
                creating.cancel()
            await committed.wait()
            assert order.id in await others.stored()


async def test_the_wait_for_a_lock_and_the_time_before_it_count_towards_the_deadline(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store, outside(database_address) as others:
        await store.create(new_order())
        order = new_order(deadline_ms=60_000)
        async with others.locked():
            now = CLOCK.monotonic()
            creating = asyncio.create_task(store.create(order, read_at=now - 20, answer_by=now + LATE))
            await until(others.one_waits)
            await others.pass_time(0.2)
        await creating
        assert (await others.stored())[order.id] < timedelta(seconds=60 - 20 - 0.2)


@pytest.mark.parametrize("goes", [True, False], ids=["its client goes", "its time is over"])
async def test_who_has_gone_does_not_use_a_connection_that_comes_free_later(
    database_address: Address, goes: bool
) -> None:
    async with one_connection(database_address) as database, outside(database_address) as others:
        store = Store(database, lambda _: None, CLOCK)
        async with running(store.run()):
            async with database.connection():
                if goes:
                    creating = asyncio.create_task(store.create(new_order()))
                    await asyncio.sleep(0)
                    creating.cancel()
                    await asyncio.wait([creating])
                else:
                    assert await create_soon(store, new_order()) is None
            last = await store.create(new_order())
            assert set(await others.stored()) == {last.order_id}


async def test_a_step_whose_writer_was_stopped_is_not_written_after(database_address: Address) -> None:
    """A worker that loses its lease stops all its work: what was not being written by then never is."""
    async with open_store(database_address) as store, outside(database_address) as others:
        worker = await store.begin("w", 20)
        written, stopped = [await claimed_by(store, worker, await one_order(store)) for _ in range(2)]
        await store.advance(step(written, 1, *ROUTED))  # a connection knows the statement
        async with others.locked():
            first = asyncio.create_task(store.advance(step(written, 3, *ROUTED)))
            await until(others.one_waits)
            second = asyncio.create_task(store.advance(step(stopped, 1, *ROUTED)))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.wait([second])
        assert await first
        assert await store.advance(step(written, 5, *ROUTED))
        assert await store.versions([stopped.order.id]) == {stopped.order.id: 1}
        await worker.end()


async def test_promise_1_of_all_who_heard_503_during_an_outage_none_has_an_order_that_comes_to_life_later(
    database_address: Address,
) -> None:
    """Clients post in waves for as long as the table is locked, many times as long as a request may take."""
    answers: dict[UUID, UnavailableError] = {}
    async with open_store(database_address, timeout=SOON) as store, outside(database_address) as others:
        await until(lambda: _works(store))
        before = set(await others.stored())
        intake = Intake(
            store,
            MemoryQueue(),
            MemoryLimiter(),
            settings=Settings(_env_file=None, request_timeout_ms=round(SOON * 1000)),
            clock=CLOCK,
            observer=Observer(make_logger("critical")),
        )

        async def post(order: NewOrder) -> None:
            try:
                await intake.accept(order)
            except UnavailableError as error:
                answers[order.id] = error

        async def posts(waves: Sequence[int]) -> None:
            for _ in waves:
                tasks = [asyncio.create_task(post(new_order(deadline_ms=5_000))) for _ in range(15)]
                await asyncio.sleep(SOON / 2)
                tasks += [asyncio.create_task(post(new_order(deadline_ms=5_000))) for _ in range(15)]
                await asyncio.wait(tasks)

        async with others.locked():
            await posts(range(8))
            assert len(answers) == 240
            reported = await others.clock()
        created = await until(lambda: _works(store))
        born = await others.stored()
        assert set(born) <= before | {UUID(error.order_id) for error in answers.values() if error.order_id} | {created}
        assert not [i for i, left in born.items() if i in answers and left > timedelta(seconds=5)]
        await until(others.none_waits)
        assert set(await others.stored()) - set(born) == set()
        assert reported < await others.clock()


async def _works(store: Store) -> UUID | None:
    """The order that could be stored, if any."""
    try:
        return (await store.create(new_order())).order_id
    except UnavailableError:
        return None

"""Planner and deliverer together, on Postgres and against real servers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from psycopg import sql

import dexexec.webhooks.deliverer
import dexexec.webhooks.planner
from dexexec.backup.record_copy import back_up, restore
from dexexec.domain.api_key import Scope
from dexexec.domain.api_token import ID_BYTES, SECRET_BYTES, new_token
from dexexec.domain.webhook import DeliveryState, WebhookChange
from dexexec.store import Address, ArchiveSession, Database
from dexexec.store.api_keys import create_key, revoke_key
from dexexec.store.session_locks import SessionLock, lock_class
from dexexec.webhooks.planner import Planner
from tests.support.parts import new_order, open_database
from tests.support.waiting import until
from tests.support.webhook_engine import make_engine, open_engine
from tests.support.webhook_receiver import (
    OK,
    SECRET,
    Received,
    Receiver,
    answering,
    never,
    receiver,
    status,
)
from tests.support.webhook_tables import NO_PAUSE, Tables, open_postgres_tables, webhook

END_DELIVERERS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def made(tables: Tables, target: Receiver, *, name: str = "hook", owner: int | None = None) -> UUID:
    """A webhook of that receiver."""
    return (await tables.doors.create(webhook(name=name, owner=owner, url=target.url(), secret=SECRET))).id


async def two_events(tables: Tables, owner: int | None = None) -> str:
    """An order with two events."""
    order = (await tables.store.create(replace(new_order(), owner=owner))).order_id
    await tables.store.cancel(order)
    return str(order)


async def states(tables: Tables, webhook_id: UUID) -> Counter[DeliveryState]:
    """How many deliveries are in each state."""
    found = await tables.doors.deliveries(webhook_id, None, None, 1_000, None)
    return Counter(each.state for each in found or [])


async def all_delivered(tables: Tables, webhook_id: UUID, count: int) -> bool:
    """Whether so many were delivered, and none waits."""
    return await states(tables, webhook_id) == {DeliveryState.DELIVERED: count}


async def are_planned(tables: Tables, planner: Planner, webhook_id: UUID, count: int) -> bool:
    """Plan, and return whether there are so many deliveries. All of them, since what another transaction holds back is
    planned later."""
    await planner.turn()
    return (await states(tables, webhook_id)).total() == count


@asynccontextmanager
async def engines(address: Address, count: int) -> AsyncIterator[None]:
    """As many processes have them."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(open_engine(address))
        yield


async def test_two_processes_deliver_in_order_and_never_the_same_at_once(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dexexec.webhooks.deliverer, "retry_pause", lambda *_: 0.0)
    monkeypatch.setattr(dexexec.webhooks.deliverer, "probe_pause", lambda *_: 0.0)
    failures: Counter[str] = Counter()
    in_flight: set[str] = set()

    async def unreliable(request: Received, writer: asyncio.StreamWriter) -> None:
        message = request.headers["webhook-id"]
        assert message not in in_flight, "no other process delivers it now"
        in_flight.add(message)
        for _ in range(5):
            await asyncio.sleep(0)
        failures[message] += 1
        in_flight.remove(message)
        writer.write(OK if failures[message] > 2 else status(500))

    async with receiver(unreliable) as target, open_postgres_tables(database_address) as tables:
        hook = await made(tables, target)
        async with engines(database_address, 2):
            orders = [await two_events(tables) for _ in range(10)]
            await until(partial(all_delivered, tables, hook, 20))
        assert set(failures.values()) == {3}
        for order in orders:
            seqs = [seq for seen, seq in target.seen if seen == order]
            assert seqs == [1, 1, 1, 2, 2, 2]
        assert target.most_at_once <= 4


async def test_a_process_that_loses_its_session_begins_another(database_address: Address) -> None:
    async with receiver() as target, open_postgres_tables(database_address) as tables:
        hook = await made(tables, target)
        await tables.session.end()
        async with open_engine(database_address), open_database(database_address) as database:
            await two_events(tables)
            await until(partial(all_delivered, tables, hook, 2))
            async with database.connection() as connection:
                lock = lock_class(database_address.schema, SessionLock.DELIVERY)
                cursor = await connection.execute(END_DELIVERERS, (lock,))
                assert await cursor.fetchall() == [(True,)]
            await two_events(tables)
            await until(partial(all_delivered, tables, hook, 4))


async def test_a_target_that_never_answers_costs_others_nothing(database_address: Address) -> None:
    async with (
        receiver(never) as hostile,
        receiver() as target,
        open_postgres_tables(database_address) as tables,
        open_database(database_address) as database,
    ):
        await made(tables, hostile, name="hostile")
        hook = await made(tables, target)
        # A try at the hostile one does not end within the test: a wait for it would not end.
        engine = make_engine(database, seconds=600)
        task = asyncio.create_task(engine.run())
        orders = {await two_events(tables) for _ in range(20)}
        await until(partial(all_delivered, tables, hook, 40))
        assert {order for order, _ in target.seen} == orders
        assert len(hostile.received) <= 4
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_failed_deliveries_are_sent_again_and_an_order_is_replayed(database_address: Address) -> None:
    async with (
        receiver(answering(status(410))) as target,
        open_postgres_tables(database_address) as tables,
        open_database(database_address) as database,
    ):
        planner = make_engine(database).planner
        hook = await made(tables, target)
        order = await two_events(tables)
        await until(partial(are_planned, tables, planner, hook, 2))
        async with open_engine(database_address):

            async def disabled() -> bool:
                found = await tables.doors.webhook(hook, None)
                return found is not None and found.disabled_at is not None

            await until(disabled)
            target.behaviour = answering(OK)
            target.received.clear()
            await tables.doors.change(hook, None, WebhookChange(enabled=True))
            assert await tables.doors.resend(hook, None) == 1
            await until(partial(all_delivered, tables, hook, 2))
            # The event that waited may be sent before the one that was requested again.
            assert sorted(target.seen) == [(order, 1), (order, 2)]
            assert await tables.doors.replay_order(hook, None, UUID(order), 2) == 1
            await until(lambda: target.seen.count((order, 2)) == 2)
            await until(partial(all_delivered, tables, hook, 2))
            assert await tables.doors.replay_after(hook, None, "start")
            await until(lambda: target.seen.count((order, 1)) == 2)
            assert await tables.doors.remove(hook, None)


async def test_a_restored_backup_goes_on_where_it_was(
    database_address: Address, empty_database: Address, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    async with receiver() as target:
        async with open_postgres_tables(database_address) as tables:
            hook = await made(tables, target)
            async with open_engine(database_address):
                delivered = await two_events(tables)
                await until(partial(all_delivered, tables, hook, 2))
            waiting = await two_events(tables)
            async with open_database(database_address) as database:
                await back_up(database, file, lambda _: None)
        restored = Database(empty_database)
        await restored.open()
        await restore(restored, file, lambda _: None)
        await restored.close()
        async with open_postgres_tables(empty_database) as tables, open_engine(empty_database):
            new = str((await tables.store.create(new_order())).order_id)
            await until(partial(all_delivered, tables, hook, 5))
        assert target.seen[:2] == [(delivered, 1), (delivered, 2)]
        assert sorted(target.seen) == sorted([(delivered, 1), (delivered, 2), (waiting, 1), (waiting, 2), (new, 1)])


async def test_an_event_of_a_transaction_that_stays_open_is_planned_however_late(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Instead of a transaction that is open for longer than that.
    monkeypatch.setattr(dexexec.webhooks.planner, "MARGIN", timedelta())
    async with (
        receiver() as target,
        open_postgres_tables(database_address) as tables,
        open_database(database_address) as database,
        open_database(database_address) as others,
    ):
        hook = await made(tables, target)
        order = (await tables.store.create(new_order())).order_id
        is_planned = partial(are_planned, tables, make_engine(others).planner, hook)
        await until(partial(is_planned, 1))
        async with database.connection() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO order_events (order_id, seq, status, detail) VALUES (%s, 2, 'routing', '{}')", (order,)
            )
            for _ in range(3):
                assert await is_planned(1)
        await until(partial(is_planned, 2))


async def test_the_archive_takes_no_order_whose_events_are_not_planned(database_address: Address) -> None:
    async with receiver() as target, open_postgres_tables(database_address) as tables:
        hook = await made(tables, target)
        await two_events(tables)
        async with open_database(database_address) as database, ArchiveSession.begin(database, 30) as session:
            assert session is not None
            assert await session.archive(rest=timedelta()) == []
            async with database.connection() as connection:
                # As if everything up to half an hour from now had been planned.
                await connection.execute("UPDATE webhooks SET planned_until = clock_timestamp() + interval '30 min'")
            assert len(await session.archive(rest=timedelta())) == 1
            await two_events(tables)
            async with database.connection() as connection:
                await connection.execute("UPDATE webhooks SET planned_until = clock_timestamp()")
            assert await session.archive(rest=timedelta()) == []
            assert await tables.doors.remove(hook, None)
            assert len(await session.archive(rest=timedelta())) == 1, "no webhook waits for it"


@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
async def test_nothing_is_sent_for_a_key_that_has_ended_before_its_webhooks_are_disabled(
    database_address: Address, end: str
) -> None:
    async with (
        receiver() as target,
        open_postgres_tables(database_address) as tables,
        open_database(database_address) as database,
    ):
        key = await create_key(database, "client", [Scope.TRADE], None, new_token(bytes(ID_BYTES + SECRET_BYTES)))
        hook = await made(tables, target, owner=key.owner)
        order = (await tables.store.create(new_order())).order_id
        await tables.planned(hook, (order, 1))
        async with database.connection() as connection:
            await connection.execute(sql.SQL("UPDATE api_keys SET {} = clock_timestamp()").format(sql.Identifier(end)))
            assert await tables.claimed() == []
            await connection.execute("UPDATE api_keys SET revoked_at = NULL, expires_at = NULL")
        assert len(await tables.claimed()) == 1


async def test_a_revoked_key_ends_its_webhooks_and_what_is_overdue_ends_with_its_target(
    database_address: Address,
) -> None:
    async with (
        receiver() as target,
        open_postgres_tables(database_address) as tables,
        open_database(database_address) as database,
    ):
        token = new_token(bytes(ID_BYTES + SECRET_BYTES))
        key = await create_key(database, "client", [Scope.TRADE], None, token)
        revoked = await made(tables, target, owner=key.owner)
        failing = await made(tables, target, name="failing")
        assert await tables.planning.disable_invalid() == []
        await revoke_key(database, "client")
        [(name, why)] = await tables.planning.disable_invalid()
        assert (name, why) == ("hook", "its API key was revoked")
        found = await tables.doors.webhook(revoked, None)
        assert found is not None
        assert found.disabled_why == why
        order = (await tables.store.create(new_order())).order_id
        await tables.planned(failing, (order, 1), (order, 2))
        [first] = await tables.claimed()
        assert await tables.outcomes.failed(first, "HTTP 500", **NO_PAUSE) is False
        assert await tables.planning.expire() == 0
        async with database.connection() as connection:
            await connection.execute("UPDATE webhook_deliveries SET give_up_at = clock_timestamp() - interval '1 s'")
            await connection.execute("UPDATE webhooks SET failing_since = clock_timestamp() - interval '2 h'")
        assert await tables.planning.expire() == 2
        assert await states(tables, failing) == {DeliveryState.FAILED: 2}
        async with database.connection() as connection:
            # Six days ago it failed once, and today: that is no five days of failures.
            await connection.execute("UPDATE webhooks SET failing_since = clock_timestamp() - interval '6 days'")
            assert await tables.planning.disable_invalid() == []
            await connection.execute("UPDATE webhooks SET failing_days = 5")
        assert [name for name, _ in await tables.planning.disable_invalid()] == ["failing"]

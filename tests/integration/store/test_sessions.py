"""Sessions with Postgres have the service's settings, whatever defaults its database and its role have."""

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.quote import Quote, SwapRequest
from dexexec.errors import UnavailableError
from dexexec.store import Address, Database, UnfitSessionError, connect, session, session_settings
from dexexec.store.session import Session
from dexexec.store.session_settings import CHECK, SETTINGS
from dexexec.venue import NoRoute
from tests.conftest import Servers
from tests.integration.conftest import open_scripted_workers
from tests.support.hostile_database import HOSTILE, database_of_a_role
from tests.support.parts import open_database, open_store, running


async def no_way(_: SwapRequest) -> Quote:
    raise NoRoute("Kein Weg für ½ SOL: 市場 🕯")


@pytest.fixture
def hostile(servers: Servers) -> Iterator[Address]:
    with database_of_a_role(servers.postgres, **HOSTILE) as address:
        yield address


async def in_force(connection: Session) -> dict[str, Any]:
    cursor = await connection.execute(CHECK.encode())
    names = [column.name for column in cursor.description or ()]
    return dict(zip(names, await cursor.fetchone() or (), strict=True))


async def test_every_setting_is_set_in_pooled_and_in_dedicated_sessions(hostile: Address) -> None:
    expected = {**SETTINGS, "search_path": '"public", pg_temp', "synchronous_commit": "on"}
    async with open_database(hostile) as database:
        dedicated = await database.dedicated()
        async with database.connection() as pooled:
            for one in (pooled, dedicated):
                found = await in_force(one)
                assert {name: found[name] for name in expected} == expected
        await dedicated.close()


def test_a_blocking_session_has_all_settings_too(hostile: Address) -> None:
    with connect(hostile) as connection:
        assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)
        assert connection.execute("SHOW search_path").fetchone() == ('"public", pg_temp',)


@pytest.mark.parametrize(
    ("configured", "used"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
async def test_promise_1_commits_are_as_durable_as_configured_and_never_less_than_on(
    servers: Servers, configured: str, used: str
) -> None:
    with database_of_a_role(servers.postgres, synchronous_commit=configured) as address:
        async with open_database(address) as database, database.connection() as connection:
            assert (await in_force(connection))["synchronous_commit"] == used


@pytest.mark.parametrize(("encoding", "settings"), [("UTF8", HOSTILE), ("SQL_ASCII", {})], ids=["hostile", "SQL_ASCII"])
async def test_orders_are_executed_as_usual_with_any_initial_session_settings(
    servers: Servers, redis_prefix: str, encoding: str, settings: dict[str, str]
) -> None:
    with database_of_a_role(servers.postgres, encoding, **settings) as address:
        async with open_scripted_workers(address, servers.redis_url, redis_prefix) as scripted_workers:
            scripted_workers.b.on_quote = no_way
            worker = scripted_workers.worker()
            async with running(worker.run(), scripted_workers.sweeper().run()):
                order_ids = [await scripted_workers.post() for _ in range(20)]
                for order_id in order_ids:
                    events = await scripted_workers.ended(order_id)
                    assert events[-1].status == "confirmed"
                    assert "für ½ SOL: 市場 🕯" in str(events[1].detail)
                worker.stop()


async def test_a_database_encoding_that_cannot_store_every_text_is_refused(servers: Servers) -> None:
    with database_of_a_role(servers.postgres, "LATIN1") as address:
        with pytest.raises(UnavailableError) as raised:
            await Database(address).check_first_contact()
        assert isinstance(raised.value.__cause__, UnfitSessionError)
        assert "LATIN1" in str(raised.value.__cause__)
        assert "ENCODING 'UTF8'" in str(raised.value.__cause__)


async def test_orders_that_were_stored_in_another_schema_are_not_forgotten(servers: Servers) -> None:
    with database_of_a_role(servers.postgres, search_path="trading") as address:
        async with open_database(address) as database, database.connection() as connection:
            await connection.execute("CREATE SCHEMA trading")
            await connection.execute("ALTER TABLE order_events SET SCHEMA trading")
        with pytest.raises(UnavailableError) as raised:
            await Database(address).check_first_contact()
        assert "in the schema trading" in str(raised.value.__cause__)
        await Database(replace(address, schema="trading")).check_first_contact()


async def test_a_setting_that_cannot_be_changed_is_reported_by_its_name(
    hostile: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_settings, "DURABLE", frozenset({"remote_apply"}))
    with pytest.raises(UnfitSessionError, match=r"does not keep the settings that were made: synchronous_commit$"):
        await Session.begin(hostile)


async def test_a_session_that_lost_its_settings_is_not_used_again(
    hostile: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(hostile) as store, open_database(hostile) as database:
        async with database.connection() as connection:
            before = connection.info.backend_pid
            await connection.execute("RESET ALL")
        monkeypatch.setattr(session, "CHECK_SECONDS", 0)
        async with database.connection() as connection:
            assert connection.info.backend_pid != before
            assert (await in_force(connection))["TimeZone"] == "UTC"
        await store.check_writes()


async def test_a_session_is_only_checked_when_the_last_check_is_old(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    look = Session.check

    async def counted(self: Session) -> None:
        looks.append(self)
        await look(self)

    monkeypatch.setattr(Session, "check", counted)
    async with open_database(database_address) as database:
        for _ in range(10):
            async with database.connection() as connection:
                await connection.execute("SELECT 1")
        assert looks == []
        monkeypatch.setattr(session, "CHECK_SECONDS", 0)
        async with database.connection() as connection:
            assert looks == [connection]


async def test_promise_15_a_statement_is_cancelled_in_time_and_its_session_can_be_used(
    database_address: Address,
) -> None:
    connection = await Session.begin(database_address)
    connection.patience = 0.05
    with pytest.raises(TimeoutError):
        await connection.execute("SELECT pg_sleep(600)")
    connection.patience = 60
    assert await (await connection.execute("SELECT 1")).fetchone() == (1,), "the server has ended what was given up"
    await connection.close()


async def test_promise_15_the_connection_to_a_hanging_server_is_closed(
    servers: Servers, database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped with kill -STOP: it neither answers nor closes connections."""
    if "TEST_PG_HOST" in os.environ:
        pytest.skip("stops a process of the server")
    monkeypatch.setattr(session, "CANCEL_SECONDS", 0.1)
    connection = await Session.begin(database_address)
    backend = connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.execute("SELECT 1")
        assert connection.closed
    finally:
        os.kill(backend, signal.SIGCONT)


async def test_promise_2_a_process_that_freezes_in_a_transaction_delays_no_other(
    database_address: Address,
) -> None:
    """As one that is stopped between recording attempts and their commit: their orders and the wallet are locked."""
    locked, over = asyncio.Event(), asyncio.Event()

    async def freeze() -> None:
        async with stopped.connection() as connection, connection.transaction():
            await connection.execute("LOCK TABLE workers")
            locked.set()
            await over.wait()

    async with open_database(database_address) as stopped, open_database(database_address) as other:
        standing = asyncio.create_task(freeze())
        await locked.wait()
        try:
            async with other.connection() as lively, lively.transaction():
                await lively.execute("LOCK TABLE workers")
        finally:
            over.set()
            ended = await asyncio.gather(standing, return_exceptions=True)
        assert [type(error) for error in ended] == [UnavailableError]


async def test_a_statement_without_time_limits_may_take_long(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PATIENCE_SECONDS", 0.05)
    connection = await Session.begin(database_address)
    with connection.without_time_limits():
        await connection.execute("SELECT pg_sleep(0.2)")
    with pytest.raises(TimeoutError):
        await connection.execute("SELECT pg_sleep(600)")
    await connection.close()

"""Statements that run on libpq itself: the same answers, errors and bounds as with a cursor of psycopg."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from dexexec.store import Address
from dexexec.store.direct_execution import DirectExecution
from dexexec.store.rows import fetch_rows
from dexexec.store.session import Session
from tests.support.waiting import until

TYPES = """
SELECT %(id)s::uuid AS id, %(at)s::timestamptz AS at, %(n)s::numeric AS n, %(flag)s::bool AS flag, %(text)s AS text,
       %(ids)s::uuid[] AS ids, %(json)t::jsonb AS json, %(none)s::int AS none, %(bytes)s::bytea AS bytes, 7 %% 4 AS rest
"""
VALUES: dict[str, object] = {
    "id": UUID(int=7),
    "at": datetime(2026, 11, 30, 1, 2, 3, 456789, tzinfo=UTC),
    "n": Decimal("123456789012345678901234567890.000000001"),
    "flag": True,
    "text": "naïve ✓",
    "ids": [UUID(int=1), UUID(int=2)],
    "json": '{"a": [1, null]}',
    "none": None,
    "bytes": b"\x00\xff",
}
SLEEP = "SELECT pg_sleep(60), %(mark)s::text AS mark"
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'active'"


@asynccontextmanager
async def session_at(address: Address) -> AsyncIterator[Session]:
    session = await Session.begin(address)
    try:
        yield session
    finally:
        await session.close()


def active(address: Address, pid: int) -> bool:
    with psycopg.connect(address.conninfo()) as connection:
        row = connection.execute(RUNNING, (pid,)).fetchone()
    return row is not None and row[0] > 0


async def test_rows_are_the_same_as_from_a_cursor(database_address: Address) -> None:
    async with session_at(database_address) as session:
        direct = [await session.run_prepared(TYPES, VALUES) for _ in range(2)]
        [by_cursor] = await fetch_rows(session, TYPES, VALUES)
        assert [tuple(row) for rows in direct for row in rows] == [tuple(by_cursor)] * 2
        assert direct[0][0]._fields == by_cursor._fields


async def test_values_of_other_types_are_prepared_anew(database_address: Address) -> None:
    async with session_at(database_address) as session:
        statement = "SELECT %s::bigint + 1 AS n"
        rows = [await session.run_prepared(statement, (n,)) for n in (1, 70_000, 2**40, None, 2)]
        assert [row.n for [row] in rows] == [2, 70_001, 2**40 + 1, None, 3]


async def test_a_statement_without_rows_returns_none(database_address: Address) -> None:
    async with session_at(database_address) as session:
        assert await session.run_prepared("CREATE TEMP TABLE made (n int)", ()) == []
        assert await session.run_prepared("SELECT n FROM made", ()) == []


async def test_a_statement_larger_than_any_buffer_is_sent_whole(database_address: Address) -> None:
    async with session_at(database_address) as session:
        text = "x" * 20_000_000
        [row] = await session.run_prepared("SELECT length(%t) AS size, %t AS same", (text, text))
        assert (row.size, row.same) == (len(text), text)


async def test_an_error_is_that_of_psycopg_and_the_session_goes_on(database_address: Address) -> None:
    async with session_at(database_address) as session:
        for _ in range(2):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await session.run_prepared("SELECT 1 / %s::int", (0,))
            with pytest.raises(psycopg.errors.UndefinedTable):
                await session.run_prepared("SELECT * FROM nowhere", ())
        assert await session.run_prepared("SELECT 1 / %s::int AS n", (1,)) == [(1,)]


async def test_statements_take_turns_with_those_of_psycopg(database_address: Address) -> None:
    async with session_at(database_address) as session:
        for n in range(3):
            assert await session.run_prepared("SELECT %s::int", (n,)) == [(n,)]
            cursor = await session.execute("SELECT %s::int", (n,), prepare=True)
            assert await cursor.fetchall() == [(n,)]
        direct, cursor = await asyncio.gather(session.run_prepared("SELECT %s::int", (4,)), session.execute("SELECT 5"))
        assert (direct, await cursor.fetchall()) == ([(4,)], [(5,)])


async def test_after_a_rollback_statements_are_prepared_again(database_address: Address) -> None:
    async with session_at(database_address) as session:
        assert await session.run_prepared("SELECT %s::int", (1,)) == [(1,)]
        async with session.transaction(force_rollback=True):
            await session.execute("SELECT 2", prepare=True)
        assert await session.run_prepared("SELECT %s::int", (3,)) == [(3,)]


async def test_within_a_transaction_a_cursor_is_used(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    run = DirectExecution.run

    async def noted(self: DirectExecution, statement: str, values: object) -> object:
        used.append(statement)
        return await run(self, statement, values)  # type: ignore[arg-type]

    monkeypatch.setattr(DirectExecution, "run", noted)
    async with session_at(database_address) as session:
        async with session.transaction():
            assert await fetch_rows(session, "SELECT 1", prepare=True, binary=True) == [(1,)]
        assert used == []
        assert await fetch_rows(session, "SELECT 2", prepare=True, binary=True) == [(2,)]
        assert used == ["SELECT 2"]


async def test_a_cancelled_statement_ends_on_the_server(database_address: Address) -> None:
    async with session_at(database_address) as session:
        task = asyncio.create_task(session.run_prepared(SLEEP, {"mark": "cancelled"}))
        await until(lambda: active(database_address, session.info.backend_pid))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not active(database_address, session.info.backend_pid)
        assert await session.run_prepared("SELECT 1", ()) == [(1,)]


async def test_patience_ends(database_address: Address) -> None:
    async with session_at(database_address) as session:
        assert await session.run_prepared("SELECT 1", ()) == [(1,)]
        session.patience = 0.05
        with pytest.raises(TimeoutError):
            await session.run_prepared(SLEEP, {"mark": "late"})
        assert not active(database_address, session.info.backend_pid)


async def test_a_session_that_the_server_ends_fails_its_statement_and_is_noticed(database_address: Address) -> None:
    async with session_at(database_address) as session:
        task = asyncio.create_task(session.run_prepared(SLEEP, {"mark": "ended"}))
        await until(lambda: active(database_address, session.info.backend_pid))
        with psycopg.connect(database_address.conninfo(), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (session.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            await task
        assert not session.is_quiet()


async def test_a_session_that_ends_while_it_is_watched_and_idle_is_noticed(database_address: Address) -> None:
    async with session_at(database_address) as session:
        assert await session.run_prepared("SELECT 1", ()) == [(1,)]
        with psycopg.connect(database_address.conninfo(), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (session.info.backend_pid,))
        await until(lambda: not session.is_quiet())

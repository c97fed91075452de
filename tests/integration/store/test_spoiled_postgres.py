"""A Postgres that is changed while the service runs: it refuses statements that worked before. For their callers that
is an outage, and no process ends."""

import psycopg
import pytest

from dexexec.errors import UnavailableError
from dexexec.store import Address, Database
from dexexec.store.rows import fetch_rows
from tests.support.parts import new_order, open_database, running
from tests.support.scripted_workers import OpenScriptedWorkers
from tests.support.waiting import until


async def rename(address: Address, table: str, name: str) -> None:
    async with await psycopg.AsyncConnection.connect(address.conninfo(), autocommit=True) as connection:
        await connection.execute(f"ALTER TABLE {table} RENAME TO {name}".encode())


@pytest.mark.parametrize("table", ["orders", "order_events", "attempts", "workers"])
async def test_a_worker_outlives_refused_statements_and_goes_on_afterwards(
    scripted_workers: OpenScriptedWorkers, database_address: Address, table: str
) -> None:
    async with scripted_workers() as b:
        worker, sweeper = b.worker(), b.sweeper()
        async with running(worker.run(), sweeper.run()):
            await b.ended(await b.post())
            order_id = (await b.store.create(new_order())).order_id
            await rename(database_address, table, "elsewhere")

            async def refused() -> str:
                try:
                    await b.store.remove_dead_workers()
                    await b.store.order(order_id)
                except UnavailableError as error:
                    return str(error)
                return ""

            assert await until(refused) == "Postgres refuses a statement (42P01)"
            await rename(database_address, "elsewhere", table)
            await b.ended(order_id)


@pytest.mark.parametrize("binary", [False, True], ids=["by psycopg", "directly"])
async def test_a_plan_that_an_altered_table_made_invalid_fails_once(database_address: Address, binary: bool) -> None:
    async with open_database(database_address) as database, open_database(database_address) as other:

        async def columns() -> int:
            async with database.connection() as connection:
                [row] = await fetch_rows(connection, "SELECT * FROM plans", prepare=True, binary=binary)
                return len(row)

        await change(other, "CREATE TABLE plans AS SELECT 1 AS a")
        assert [await columns() for _ in range(2)] == [1, 1]
        await change(other, "ALTER TABLE plans ADD b int")
        with pytest.raises(UnavailableError):
            await columns()
        assert await columns() == 2


async def change(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement.encode())

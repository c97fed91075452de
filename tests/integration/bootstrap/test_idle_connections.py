"""Connections that died while they rested: by a server or a pooler that ended them, or by a network that forgot them
without a word. The first request after that is served like any other."""

import asyncio

import psycopg
import pytest

from dexexec.bootstrap.connections import open_redis
from dexexec.bootstrap.servers import Servers as Found
from dexexec.broker.queue import Queue
from dexexec.clock import SystemClock
from dexexec.intake.queue_gate import DEPTH_TIMEOUT_SECONDS, QueueGate
from dexexec.store import Address, Database, session
from tests.conftest import Servers
from tests.support.chaos.networks import by_way, of_postgres, of_redis
from tests.support.chaos.proxy import proxy

SIZE = 8


async def fill(database: Database) -> list[int]:
    """Have all connections of a pool made; the processes of the server behind them."""
    backends: list[int] = []
    all_connected = asyncio.Event()

    async def hold() -> None:
        async with database.connection() as connection:
            backends.append(connection.info.backend_pid)
            if len(backends) == SIZE:
                all_connected.set()
            await all_connected.wait()

    await asyncio.gather(*(hold() for _ in range(SIZE)))
    return backends


async def served(database: Database) -> bool:
    async with database.connection() as connection:
        return await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_sessions_that_the_server_ended_cost_no_request(database_address: Address) -> None:
    """As `idle_session_timeout` of a pooler does, or a restart."""
    database = Database(database_address, size=SIZE)
    await database.open()
    try:
        backends = await fill(database)
        async with await psycopg.AsyncConnection.connect(database_address.conninfo(), autocommit=True) as other:
            await other.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) AS pid", (backends,))
        async with asyncio.timeout(20):
            assert await asyncio.gather(*(served(database) for _ in range(SIZE))) == [True] * SIZE
    finally:
        await database.close()


async def test_sessions_that_a_network_forgot_cost_no_request(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is answered, and none is refused. One is waited for, and the others are not."""
    monkeypatch.setattr(session, "CHECK_SECONDS", 0)
    monkeypatch.setattr(session, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(session, "CANCEL_SECONDS", 0.2)
    async with proxy(of_postgres(database_address)) as network:
        network.heal()
        by_network = Address(
            host="127.0.0.1",
            port=network.port,
            user=database_address.user,
            database=database_address.database,
            password=database_address.password,
        )
        database = Database(by_network, size=SIZE)
        await database.open()
        try:
            await fill(database)
            network.forget()
            async with asyncio.timeout(20):
                assert await asyncio.gather(*(served(database) for _ in range(SIZE))) == [True] * SIZE
        finally:
            await database.close()


@pytest.mark.parametrize("forgotten", [True, False], ids=["forgotten", "reset"])
async def test_connections_to_redis_that_died_cost_no_request(
    servers: Servers, redis_prefix: str, forgotten: bool
) -> None:
    async with proxy(of_redis(servers.redis_url)) as network:
        network.heal()
        found = Found(servers.postgres, by_way(servers.redis_url, network), ())
        async with open_redis(found, redis_prefix) as client, open_redis(found, redis_prefix) as blocking:
            queue = Queue(client, blocking, redis_prefix)
            await queue.prepare()
            await asyncio.gather(*(queue.depth() for _ in range(SIZE)))
            if forgotten:
                network.forget()
            else:
                await network.reset()
            gate = QueueGate(queue, 10, 2 * DEPTH_TIMEOUT_SECONDS, SystemClock())
            async with asyncio.timeout(20):
                await gate.enter()

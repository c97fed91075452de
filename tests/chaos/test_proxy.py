"""The faults of the test proxy work as described."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest

from dexexec.store import Address
from tests.support.chaos.networks import of_postgres
from tests.support.chaos.proxy import Proxy, proxy
from tests.support.chaos.statements import Execution
from tests.support.waiting import until


class Echo:
    """A server that answers with what it heard, and keeps it."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                self.heard += data
                writer.write(data)
        except ConnectionResetError:
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    """A server and a proxy before it."""
    serve = Echo()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with proxy(server.sockets[0].getsockname()) as between:
            yield serve, between
            await between.cut()
            await until(lambda: between.connections == 0)
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def connected(between: Proxy) -> AsyncIterator[socket.socket]:
    with socket.socket() as client:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", between.port))
        yield client


async def said(client: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(client, data)


async def answer(client: socket.socket) -> bytes:
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recv(client, 1_000)


async def is_silent(client: socket.socket) -> bool:
    """Nothing has come, also after everything that was under way had its turns."""
    for _ in range(50):
        await asyncio.sleep(0)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    return True


async def test_bytes_and_ends_pass_both_ways() -> None:
    async with echo() as (server, between), connected(between) as client:
        await said(client, b"one")
        assert await answer(client) == b"one"
        client.shutdown(socket.SHUT_WR)
        assert await answer(client) == b""
        await until(lambda: server.ended == 1 and between.connections == 0)


async def test_a_stall_holds_everything_and_delivers_it_in_order_after_healing() -> None:
    async with echo() as (server, between), connected(between) as client:
        await said(client, b"before;")
        assert await answer(client) == b"before;"
        between.stall()
        await said(client, b"during;")
        async with connected(between) as late:  # it is accepted, and not heard
            await said(late, b"late;")
            assert await is_silent(client)
            assert await is_silent(late)
            assert server.heard == b"before;"
            await said(client, b"more")
            between.heal()
            assert await answer(late) == b"late;"
            await until(lambda: b"during;more" in server.heard.replace(b"late;", b""))


async def test_a_stall_downwards_lets_requests_through_and_no_answer() -> None:
    async with echo() as (server, between), connected(between) as client:
        between.stall(up=False)
        await said(client, b"ask")
        await until(lambda: server.heard == b"ask")
        assert await is_silent(client)
        between.heal()
        assert await answer(client) == b"ask"


async def test_a_stall_upwards_lets_answers_through_and_no_request() -> None:
    async with echo() as (server, between), connected(between) as client:
        between.stall(down=False)
        await said(client, b"ask")
        assert await is_silent(client)
        assert server.heard == b""


async def test_a_delay_takes_its_time_in_each_direction() -> None:
    async with echo() as (_, between), connected(between) as client:
        between.delay(0.05)
        begun = time.monotonic()
        await said(client, b"ask")
        assert await answer(client) == b"ask"
        assert time.monotonic() - begun >= 0.1


async def test_a_reset_breaks_what_is_open_on_both_sides_and_nothing_else() -> None:
    async with echo() as (server, between), connected(between) as client:
        await said(client, b"one")
        assert await answer(client) == b"one"
        between.stall()
        await said(client, b"lost")
        await between.reset()
        with pytest.raises(ConnectionResetError):
            await answer(client)
        await until(lambda: server.ended == 1)
        between.heal()
        async with connected(between) as other:
            await said(other, b"two")
            assert await answer(other) == b"two"
        assert server.heard == b"onetwo"


async def test_a_proxy_that_refuses_keeps_its_port_and_what_is_open() -> None:
    async with echo() as (_, between), connected(between) as client:
        await said(client, b"one")
        assert await answer(client) == b"one"
        await between.refuse()
        with pytest.raises(ConnectionRefusedError):
            async with connected(between):
                pass
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", between.port))
        await said(client, b"two")
        assert await answer(client) == b"two"
        await between.cut()
        with pytest.raises(ConnectionResetError):
            await answer(client)
        between.heal()
        async with connected(between) as other:
            await said(other, b"three")
            assert await answer(other) == b"three"


async def test_a_target_that_is_not_there_is_a_reset() -> None:
    async with proxy("/nowhere/at/all") as between, connected(between) as client:
        with pytest.raises(ConnectionResetError):
            await answer(client)


@pytest.mark.parametrize(
    "execute",
    [
        lambda connection: connection.execute("INSERT INTO t VALUES (1)"),
        lambda connection: connection.execute("INSERT INTO t VALUES (%s)", (1,)),
        lambda connection: connection.execute("INSERT INTO t VALUES (%s)", (1,), prepare=True),
    ],
    ids=["simple", "extended", "prepared"],
)
async def test_the_answer_to_one_statement_is_lost_after_it_was_executed(
    execute: Callable[[psycopg.AsyncConnection], Awaitable[object]], database_address: Address
) -> None:
    to, address = of_postgres(database_address), database_address
    async with (
        proxy(to) as between,
        await psycopg.AsyncConnection.connect(address.conninfo(), autocommit=True) as direct,
    ):
        await direct.execute("CREATE TABLE t (n int)")
        between.catch(lambda: Execution("INSERT INTO t"))
        through = f"{address.conninfo()} host=127.0.0.1 port={between.port}"
        async with await psycopg.AsyncConnection.connect(through, autocommit=True) as connection:
            await connection.execute("SELECT count(*) FROM t")
            assert not between.caught.is_set()
            executing = asyncio.ensure_future(execute(connection))
            await asyncio.wait_for(between.caught.wait(), 10)
            assert not executing.done()
            assert await (await direct.execute("SELECT count(*) FROM t")).fetchone() == (1,)
            await between.reset()
            with pytest.raises(psycopg.OperationalError):
                await executing

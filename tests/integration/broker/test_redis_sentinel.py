"""A real primary with a replica, watched by three Sentinels: clients follow whomever the Sentinels name, and no order
is lost or doubled through a failover, since Postgres is the truth."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, suppress
from urllib.parse import quote
from uuid import uuid4

import pytest
import redis.asyncio

from dexexec.bootstrap.connections import open_redis
from dexexec.bootstrap.servers import Servers as Found
from dexexec.broker.queue import Queue
from dexexec.errors import StartupError, UnavailableError, UnusableError
from dexexec.store import Address
from tests.support.ports import free_ports
from tests.support.posters import Posters
from tests.support.redis_nodes import DATA_SECRET, PRIMARY, SENTINEL_SECRET, Watched, sentinels
from tests.support.service.client import http, watching
from tests.support.service.process import QUICK, Launcher, say, servers_at
from tests.support.service.promise_checks import agree, check_promises
from tests.support.tcp_server import tcp_server
from tests.support.waiting import until

NOWHERE = Address(host="/nowhere")
"""Postgres has no part in it."""
SECRET_IN_URL = quote(DATA_SECRET, safe="")


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with sentinels() as found:
        yield found


@pytest.fixture
def to_be_hurt() -> Iterator[Watched]:
    """Of one's own: Sentinels take ten seconds to find out that a server of before is back."""
    with sentinels() as found:
        yield found


def url(watched: Watched, service: str = PRIMARY, secret: str = SENTINEL_SECRET) -> str:
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in watched.sentinels)
    return f"redis+sentinel://:{SECRET_IN_URL}@{hosts}/{service}?sentinel_password={quote(secret)}"


def client(address: str, prefix: str) -> AbstractAsyncContextManager[redis.asyncio.Redis]:
    return open_redis(Found(NOWHERE, address, ()), prefix)


def fail_over(watched: Watched) -> None:
    """Request a failover as an operator does: once more where a sentinel has given up, which it does after 3 s."""
    before = watched.primary

    def is_over() -> bool:
        with suppress(redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            return watched.primary is not before and not before.is_primary
        return False

    for _ in range(4):
        with suppress(redis.ResponseError):  # it has not given up yet
            watched.sentinels[0].ask("SENTINEL", "FAILOVER", PRIMARY, "COORDINATED")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if is_over():
                return
            time.sleep(0.05)
    raise AssertionError("no sentinel has failed over")


async def test_clients_leave_a_primary_that_lives_on_as_a_replica(watched: Watched, redis_prefix: str) -> None:
    """A failover that an operator requests: the old primary still answers, but takes no writes."""
    async with client(url(watched), redis_prefix) as one, client(url(watched), redis_prefix) as two:
        queue = Queue(one, two, redis_prefix)
        await queue.prepare()
        waiting = asyncio.create_task(queue.lease("waits", 1, 2_000))
        await asyncio.to_thread(fail_over, watched)
        await asyncio.wait([waiting])
        error = waiting.exception()
        assert isinstance(error, UnavailableError) or (error is None and waiting.result() == [])
        order_id = uuid4()

        async def taken() -> bool:
            try:
                return await queue.enqueue([order_id]) == 1
            except UnavailableError:
                return False

        await until(taken, pause=0.02)
        [entry] = await queue.lease("a", 10, 500)
        assert entry.order_id == order_id
        assert (await one.info("replication"))["role"] == "master"


@pytest.mark.parametrize(
    ("service", "secret", "words"),
    [
        ("nobody", SENTINEL_SECRET, r"nobody of the Sentinels .* no node has its address\. Check REDIS_URL"),
        (PRIMARY, "wrong-hunter2", r"invalid username-password pair.*\. Check REDIS_URL"),
    ],
)
def test_an_error_in_the_address_is_reported_in_one_line(
    watched: Watched, service: str, secret: str, words: str
) -> None:
    with pytest.raises(StartupError, match=words) as caught:
        asyncio.run(first_contact(url(watched, service, secret)))
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sentinel_used_as_a_server_is_an_error_with_the_right_url(watched: Watched) -> None:
    port = watched.sentinels[0].port
    with pytest.raises(UnusableError, match=rf"set REDIS_URL to redis\+sentinel://127\.0\.0\.1:{port}/NAME"):
        asyncio.run(first_contact(f"redis://:{quote(SENTINEL_SECRET)}@127.0.0.1:{port}"))


async def first_contact(address: str) -> None:
    async with client(address, "t"):
        pass


async def test_a_sentinel_with_an_outdated_answer_is_not_believed_twice(watched: Watched, redis_prefix: str) -> None:
    """One that is cut off from the others goes on naming a primary that is gone."""
    asked = []
    [nobody] = free_ports(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"*"):  # a command of so many words, each behind its length
                words = [(await reader.readline(), await reader.readline())[1].strip() for _ in range(int(line[1:]))]
                if words[0] == b"SENTINEL":
                    asked.append(words[1])
                known = f"*2\r\n$9\r\n127.0.0.1\r\n${len(str(nobody))}\r\n{nobody}\r\n".encode()
                writer.write(known if words[0] == b"SENTINEL" else b"+OK\r\n")
        writer.close()

    async with tcp_server(answer) as stale:
        address = url(watched).replace("@", f"@127.0.0.1:{stale},", 1)
        async with client(address, redis_prefix) as one:
            assert (await one.info("replication"))["role"] == "master"
            await one.connection_pool.disconnect()
            assert await one.ping()
    assert len(asked) == 1


async def test_no_order_is_lost_or_doubled_when_the_primary_dies_under_load(
    to_be_hurt: Watched, database_address: Address, redis_prefix: str
) -> None:
    """The first Sentinel dies as well: the next one is used."""
    with Launcher(**servers_at(database_address, url(to_be_hurt), redis_prefix), **QUICK) as launcher:
        api, worker = launcher.start("api"), launcher.start("worker")
        await asyncio.to_thread(api.ready)
        async with http() as calls, asyncio.timeout(45):
            posters = Posters(calls, api.url)
            await posters.accept_more(50)
            old = to_be_hurt.primary
            await asyncio.to_thread(to_be_hurt.sentinels[0].kill)
            await asyncio.to_thread(old.kill)
            died = time.monotonic()
            await posters.are_refused()
            await until(lambda: to_be_hurt.primary is not old, pause=0.05)
            say(f"another primary {time.monotonic() - died:.2f} s after")
            await posters.accept_more(50)
            say(f"accepting again {time.monotonic() - died:.2f} s after")
            await posters.stop()
            async with watching(lambda: api.url, posters.accepted) as watch:
                pass
            say(f"all {len(posters.accepted)} ended {time.monotonic() - died:.2f} s after")
        assert f"{PRIMARY} of the Sentinels" in api.banner()
        for process in (api, worker):
            assert process.running
            assert "hunter2" not in process.out + process.err
    assert check_promises(database_address, posters.accepted).statuses["confirmed"] == len(posters.accepted)
    agree(watch.events, database_address)

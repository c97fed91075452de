"""`--processes N`: one service on one port, through failures of any of its processes."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dexexec.bootstrap.supervisor import Child
from dexexec.store import Address
from tests.support.service.client import http, watching
from tests.support.service.command_line import needs_curl, paste, read, refuses
from tests.support.service.embedded_servers import alive, kill_and_await_the_next, servers_running, valkey_pid
from tests.support.service.process import QUICK, Launcher, Process
from tests.support.service.promise_checks import agree, check_promises, rows
from tests.support.waiting import POLL, until, wait_until

SLOW = {"DEXEXEC_MOCK_LANDING_MS": "1500", "DEXEXEC_CONCURRENCY": "10", "DEXEXEC_DRAIN_SECONDS": "15"}
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONNECTIONS = 30
"""Enough that none of two processes gets all of them, but once in half a billion."""


@pytest.fixture
def launcher(given: dict[str, str]) -> Iterator[Launcher]:
    with Launcher(**given, **(QUICK | SLOW)) as launcher:
        yield launcher


@pytest.fixture
def service(launcher: Launcher) -> Process:
    """Two processes that do all, ready."""
    return started(launcher)


@pytest.fixture
def embedded_service(data_dir: Path) -> Iterator[Process]:
    """The same with servers of their own."""
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), **(QUICK | SLOW)) as launcher:
        yield started(launcher)


def started(launcher: Launcher, *role: str) -> Process:
    """Two processes of a role, ready."""
    process = launcher.start(*role, "--processes", "2")
    children(process)
    return process


def lines(process: Process, event: str) -> list[dict[str, object]]:
    """All that it and its children logged about `event`."""
    found = (json.loads(line) for line in process.err.splitlines() if line.startswith("{") and line.endswith("}"))
    return [line for line in found if line["event"] == event]


def children(process: Process, count: int = 2) -> list[int]:
    """The pids of the children, in the order in which they became ready."""
    wait_until(lambda: len(lines(process, "process ready")) >= count, 45, f"{count} processes to be ready")
    return [int(str(line["pid"])) for line in lines(process, "process ready")]


def holders(address: Address) -> Counter[int]:
    """Pid -> how many live orders the worker of that process has."""
    statement = "SELECT w.name FROM orders o JOIN workers w ON w.id = o.worker WHERE o.finished_at IS NULL"
    return Counter(int(str(row["name"]).split("-")[-2]) for row in rows(address, statement))


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the other end of an open connection still answers."""
    try:
        writer.write(HEALTH)
        line = await reader.readline()
    except ConnectionError:
        return False
    assert line in {b"", b"HTTP/1.1 200 OK\r\n"}
    return line != b""


@pytest.fixture(params=[[()], [("api",), ("worker",)]], ids=["all", "api and worker"])
def services(request: pytest.FixtureRequest, launcher: Launcher) -> list[Process]:
    """Two processes for each role: first those that take orders, last those that execute them."""
    return [started(launcher, *role) for role in request.param]


async def test_orders_are_shared_out_and_each_is_executed_once(
    services: list[Process], database_address: Address
) -> None:
    url, workers = services[0].url, children(services[-1])
    async with http() as calls, asyncio.timeout(50):
        order_ids = await asyncio.gather(*(calls.accepted(url) for _ in range(40)))
        async with watching(lambda: url, order_ids) as watch:
            await until(lambda: set(holders(database_address)) == set(workers), pause=POLL)
    agree(watch.events, database_address)
    verdict = check_promises(database_address, order_ids)
    assert (verdict.statuses["confirmed"], verdict.claims) == (40, 0)
    assert [process.out.count("is ready") for process in services] == [1, 0][: len(services)]
    pids = [pid for process in services for pid in children(process)]
    for process in services:
        assert await asyncio.to_thread(process.stop) == 0
    assert not any(map(alive, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not spread connections evenly")
async def test_a_killed_process_takes_only_its_own_connections_and_is_started_again(
    service: Process, database_address: Address
) -> None:
    url, (victim, other) = service.url, children(service)
    async with http() as calls, asyncio.timeout(55):
        connections = [await asyncio.open_connection("127.0.0.1", urlsplit(url).port) for _ in range(CONNECTIONS)]
        order_ids = await asyncio.gather(*(calls.accepted(url) for _ in range(40)))
        async with watching(lambda: url, order_ids) as watch:
            await until(lambda: holders(database_address)[victim] >= 5, pause=POLL)
            os.kill(victim, signal.SIGKILL)
            kept = await asyncio.gather(*(answered(*one) for one in connections))
            assert 0 < sum(kept) < CONNECTIONS
        agree(watch.events, database_address)
        third = (await asyncio.to_thread(children, service, 3))[-1]
        more = await asyncio.gather(*(calls.accepted(url) for _ in range(40)))
        async with watching(lambda: url, more):
            await until(lambda: set(holders(database_address)) == {other, third}, pause=POLL)
        for _, writer in connections:
            writer.close()
    verdict = check_promises(database_address, [*order_ids, *more])
    assert verdict.statuses["confirmed"] == 80
    assert verdict.claims >= 5, "what it had was taken up by others"
    [ended] = lines(service, "process ended")
    assert ended["how"] == f"was ended by signal {signal.SIGKILL}"
    assert await asyncio.to_thread(service.stop) == 0
    assert not any(map(alive, (victim, other, third)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_all_of_them_and_then_stops_the_servers(
    embedded_service: Process, data_dir: Path, number: signal.Signals
) -> None:
    service, pids = embedded_service, children(embedded_service)
    address = Address(host=str(data_dir / "postgres"))
    async with http() as calls, asyncio.timeout(50):
        await asyncio.gather(*(calls.accepted(service.url) for _ in range(40)))
        await until(lambda: set(holders(address)) == set(pids), pause=POLL)
        service.send(number, group=number is signal.SIGINT)
        service.send(number, group=number is signal.SIGINT)
        assert await asyncio.to_thread(service.wait) == 0
    assert not any(map(alive, pids))
    assert servers_running(data_dir) == []
    assert [line["handed_back"] for line in lines(service, "worker stopped")] == [0, 0]
    assert lines(service, "process ended") == []
    assert "Traceback" not in service.err


async def test_a_dead_embedded_server_is_brought_back_for_all_of_them(
    embedded_service: Process, data_dir: Path
) -> None:
    url = embedded_service.url
    async with http() as calls, asyncio.timeout(50):
        await kill_and_await_the_next(valkey_pid, data_dir)
        await until(partial(calls.ready_since, url, time.monotonic()), seconds=30, pause=POLL)
        order_ids = await asyncio.gather(*(calls.accepted(url) for _ in range(10)))
        async with watching(lambda: url, order_ids):
            pass
    assert check_promises(Address(host=str(data_dir / "postgres")), order_ids).statuses["confirmed"] == 10
    assert lines(embedded_service, "process ended") == []
    assert await asyncio.to_thread(embedded_service.stop) == 0


async def test_a_process_that_does_not_drain_in_time_is_killed() -> None:
    child = await Child.start([], os.environ)
    os.kill(child.pid, signal.SIGSTOP)
    await asyncio.to_thread(os.waitpid, child.pid, os.WUNTRACED)  # until it has stopped
    assert not await child.drain(0.2)
    assert not alive(child.pid)
    child.close()


def test_a_signal_while_they_start_leaves_nothing_behind(data_dir: Path) -> None:
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), **QUICK) as launcher:
        process = launcher.start("--processes", "2")
        wait_until(lambda: len(servers_running(data_dir)) == 2, 20, "the servers to be started")
        process.send(signal.SIGINT, group=True)
        process.send(signal.SIGTERM)
        assert process.wait() == 0
        assert not servers_running(data_dir)
        assert "Traceback" not in process.err


async def test_the_children_of_a_killed_parent_drain_and_end(
    launcher: Launcher, service: Process, database_address: Address
) -> None:
    pids = children(service)
    async with http() as calls, asyncio.timeout(55):
        order_ids = await asyncio.gather(*(calls.accepted(service.url) for _ in range(40)))
        await until(lambda: set(holders(database_address)) == set(pids), pause=POLL)
        await asyncio.to_thread(service.kill)
        await until(lambda: not any(map(alive, pids)), seconds=20, pause=POLL)
        assert [line["handed_back"] for line in lines(service, "worker stopped")] == [0, 0]
        again = launcher.start()
        async with watching(lambda: again.url, order_ids):
            pass
    verdict = check_promises(database_address, order_ids)
    assert (verdict.statuses["confirmed"], verdict.claims) == (40, 0)


@needs_curl
def test_they_share_the_localnet_that_comes_up_with_them(data_dir: Path) -> None:
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), DEXEXEC_MOCK_SETTLEMENT="localnet") as launcher:
        service = started(launcher)
        assert "Localnet" in service.banner()
        order_id = paste(service)
        order = f"{service.url}/api/orders/{order_id}"
        wait_until(lambda: read(order)["status"] == "confirmed", 30, "the order to be confirmed")
        assert service.stop() == 0


# What cannot start


def test_a_cause_that_stops_every_process_is_reported_once(launcher: Launcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        refuses(
            launcher.start("--processes", "3", REDIS_URL=f"redis://127.0.0.1:{port}/0"),
            f"127.0.0.1:{port}",
            "REDIS_URL",
        )


@pytest.mark.parametrize("sharing", [False, True])
def test_a_port_of_another_process_is_not_shared(launcher: Launcher, sharing: bool) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, sharing)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        refuses(launcher.start("--processes", "2", PORT=port), f"port {port}", "taken", "PORT")


def test_more_processes_than_the_embedded_postgres_can_take(data_dir: Path) -> None:
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir)) as launcher:
        refuses(launcher.start("--processes", "17"), "16", "PG_HOST")
        assert not data_dir.exists()


def test_a_command_that_is_not_the_service(launcher: Launcher) -> None:
    refuses(launcher.start("--processes", "2", "migrate"), "--processes", "api", "worker")

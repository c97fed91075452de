"""The benchmark, run short: it works, its output has the documented shape, and the service has not become slow.

Speed is only compared inside one run, on one machine, in the same minute, and the limits leave room for noise.
"""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dexexec.bench import process_usage
from dexexec.bench.client.closed_loop import ClosedLoop
from dexexec.bench.client.http import EXECUTE, Target
from dexexec.bench.client.open_loop import OpenLoop
from tests.support.service.embedded_servers import servers_running
from tests.support.service.process import Launcher, Process
from tests.support.tcp_server import tcp_server
from tests.support.waiting import wait_until

MACHINES = Path("/proc/self/smaps_rollup").exists()
WHOLE_WAY_SHARE = 0.1
"""Of the rate of a bare Tornado POST, at least."""
CPU_PER_ORDER = 8.0
"""Times what a bare Tornado POST costs, at most: every stage of an order, durable and streamed."""
ROUNDS = 3
DOCUMENT = Path(__file__).parents[2] / "docs" / "BENCHMARKS.md"


def measured(*options: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run it; the JSON on standard output, after the exit code was looked at."""
    with Launcher(**(environment or {})) as launcher:
        process = launcher.start("bench", "--quick", "--json", "-", *options)
        assert process.wait(110) == 0, process.err[-3_000:]
        found: dict[str, Any] = json.loads(process.out)
    return found


def figures(document: dict[str, Any]) -> dict[str, float]:
    return {figure["key"]: figure["value"] for figure in document["figures"]}


def documented() -> set[str]:
    """The keys that docs/BENCHMARKS.md explains, with N for a number of clients, orders a second, or sockets."""
    return set(re.findall(r"^\| `([a-z_.N0-9]+)` \|", DOCUMENT.read_text(), re.MULTILINE))


def general(key: str) -> str:
    return re.sub(r"(?<=\.)[0-9]+(?=\.|$)", "N", key)


@pytest.mark.alone
@pytest.mark.timeout(360)
def test_the_whole_way_keeps_its_share_of_a_bare_post() -> None:
    """The best of a few short rounds, since other load on the machine can only make a round slower. On servers of its
    own, which wait for the disk."""
    shares, costs = [], []
    for _ in range(ROUNDS):
        found = figures(measured("--only", "primitives,throughput"))
        shares.append(found["throughput.all.64.whole_way"] / found["primitives.bare_post.64"])
        if MACHINES:
            costs.append(found["throughput.all.64.cpu"] / found["primitives.bare_cpu.64"])
        if max(shares) >= WHOLE_WAY_SHARE and min(costs, default=0.0) <= CPU_PER_ORDER:
            break
    assert max(shares) >= WHOLE_WAY_SHARE, shares
    assert min(costs, default=0.0) <= CPU_PER_ORDER, costs


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(120)
def test_the_other_parts_run_and_print_the_documented_figures(given: dict[str, str]) -> None:
    document = measured("--only", "metrics,latency,fanout,memory,history", environment=given)
    assert document["faults"] == []
    assert set(document) == set(re.findall(r'^  "([a-zA-Z]+)":', DOCUMENT.read_text(), re.MULTILINE))
    assert set(document["parts"]) == {"metrics", "latency", "fanout", "memory", "history"}
    found = figures(document)
    assert {general(key) for key in found} <= documented()
    missing = {key for key, value in found.items() if value is None}
    assert {key for key in missing if MACHINES or not key.startswith("memory")} == set()
    assert found["latency.50.p50"] <= found["latency.50.p99"] <= found["latency.50.p999"]
    assert found["history.orders"] == 5_000


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(120)
def test_a_crowd_is_measured(given: dict[str, str]) -> None:
    document = measured("--only", "intake,overload", environment=given)
    assert document["faults"] == []
    found = figures(document)
    assert {general(key) for key in found} <= documented()
    # How many orders end inside windows this short is the machine's business: on a busy one, perhaps none.
    assert 0 <= found["intake.completed"] <= 100
    assert found["intake.accepted"] > 0
    assert found["overload.goodput"] >= 0
    assert found["overload.peak"] > 0


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(120)
def test_resting_orders_are_measured_and_triggered_in_order(given: dict[str, str]) -> None:
    document = measured("--only", "resting", environment=given)
    # One would be that a commit of triggers has a higher price than a later one.
    assert document["faults"] == []
    found = figures(document)
    assert {general(key) for key in found} <= documented()
    assert found["resting.full.first_trigger"] <= found["resting.full.seconds"] * 1000
    assert found["resting.full.first_trigger"] <= found["resting.full.first_sent"]


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_promise_31_a_warm_order_waits_for_no_request_before_its_send(given: dict[str, str]) -> None:
    """A request between POST and send would take a round trip of 150 ms, which no order here may wait for."""
    environment = {**given, "DEXEXEC_SIMULATE": "local"}
    document = measured("--only", "venues", "--rtt-ms", "150", environment=environment)
    assert document["faults"] == []
    found = figures(document)
    assert found["venues.150.warm.local.round_trips_max"] == 0, document["details"]
    # Also what is not counted, as a message over a WebSocket, would show here.
    assert found["venues.150.warm.local.send_p50"] < 150, document["details"]
    assert found["venues.150.cold.local.round_trips"] >= 1, "the proxy counts requests"


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(120)
def test_the_distance_to_the_node_is_measured(given: dict[str, str]) -> None:
    document = measured("--only", "venues", "--rtt-ms", "50", environment=given)
    assert document["faults"] == []
    found = figures(document)
    assert {general(key).replace(".cold.", ".warm.").replace(".node.", ".local.") for key in found} <= documented()
    assert all(found[key] >= 50 for key in found if key.endswith("confirmed_p50")), "nothing lands without a round trip"


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_a_server_that_runs_already_is_measured_from_outside(launcher: Launcher) -> None:
    service = launcher.start()
    service.ready()
    document = measured("--only", "throughput,latency", "--url", service.url)
    assert document["faults"] == []
    found = figures(document)
    assert {general(key) for key in found} <= documented()
    assert all(found.values())
    assert service.stop() == 0


def children(process: Process) -> set[int]:
    """The processes that it started and that run."""
    return {
        pid
        for pid in process_usage.process_and_children(process.pid)
        if pid != process.pid and process_usage.cpu_seconds(pid) is not None
    }


@pytest.mark.skipif(not MACHINES, reason="looks into /proc")
def test_ctrl_c_ends_it_and_everything_that_it_started() -> None:
    with Launcher() as launcher:
        temporary = launcher.home / "t"
        temporary.mkdir()
        process = launcher.start("bench", "--only", "throughput", TMPDIR=str(temporary))
        wait_until(lambda: len(children(process)) == 2, 60, "the service and the load client to be started")
        started = children(process)
        [data] = temporary.glob("dxb*/d")
        assert sorted(servers_running(data)) == ["postgres", "valkey"]
        process.send(signal.SIGINT, group=True)
        assert process.wait(60) == 130
        assert "stopped before all was measured" in process.out
        assert "Traceback" not in process.err
        assert [pid for pid in started if process_usage.cpu_seconds(pid) is not None] == []
        assert list(temporary.iterdir()) == [], "its servers are stopped and its folder is gone"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--url", "localhost:1"), "--url must look like"),
        (("--url", "http://127.0.0.1:1", "--only", "history"), "with --url only"),
        ((), "Postgres at 127.0.0.1:1/postgres does not answer"),
    ],
)
def test_what_cannot_be_measured_is_reported_in_one_line(options: tuple[str, ...], message: str) -> None:
    with Launcher() as launcher:
        process = launcher.start("bench", *options, PG_HOST="127.0.0.1", PG_PORT="1", REDIS_URL="redis://127.0.0.1:1")
        assert process.wait() == 2
        assert message in process.err
        assert "Traceback" not in process.err


Answer = Callable[[int], bytes]


def reply(status: int, body: str) -> bytes:
    return f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def accepted(number: int) -> bytes:
    return reply(202, json.dumps({"orderId": f"{number:036d}"}, separators=(",", ":")))


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Target]:
    """A server that answers its n-th POST with `answer(n)`, and hangs up when that is empty."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                count += 1
                text = answer(count)
                if not text:
                    break
                writer.write(text)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with tcp_server(serve) as port:
        yield Target("127.0.0.1", port)


async def closed_loop(answer: Answer, **options: Any) -> dict[str, Any]:
    async with serving(answer) as target:
        return await ClosedLoop(target, **{"clients": 2, "seconds": 0.2, "path": EXECUTE, **options}).run()


async def test_every_answer_of_a_closed_loop_is_counted_by_its_status() -> None:
    found = await closed_loop(lambda n: reply(503, "") if n % 2 else accepted(n))
    assert set(found["statuses"]) == {"202", "503"}
    assert found["statuses"]["202"] == found["accepted"] == found["post"]["count"]
    assert found["acceptedInTime"] <= found["accepted"]
    assert (found["faults"], found["unanswered"]) == ({}, 0)


async def test_an_id_that_comes_twice_is_a_fault() -> None:
    found = await closed_loop(lambda n: accepted(1))
    assert found["accepted"] == 1
    assert found["faults"]["an id that was answered before"] == found["statuses"]["202"] - 1


async def test_a_lost_answer_is_counted_and_the_client_comes_back() -> None:
    found = await closed_loop(lambda n: b"" if n == 3 else accepted(n))
    assert found["unanswered"] == 1
    assert sum(found["faults"].values()) == 1
    assert found["accepted"] > 3


async def test_a_refused_client_waits_before_it_posts_again() -> None:
    found = await closed_loop(lambda n: reply(429, ""), backoff=0.05, clients=1)
    assert 2 <= found["statuses"]["429"] <= 4


async def test_an_open_loop_counts_from_when_an_order_should_have_been_sent() -> None:
    """One connection and a server that is slow once: requests behind it waited, and their latencies show it."""
    stall = 0.2

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                number += 1
                if number == 1:
                    await asyncio.sleep(stall)
                writer.write(accepted(number))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with tcp_server(serve) as port:
        target = Target("127.0.0.1", port)
        found: dict[str, Any] = await OpenLoop(target, rate=100, seconds=0.1, clients=1, path=EXECUTE).run()
    assert (found["intended"], found["accepted"], found["unsent"], found["unanswered"]) == (10, 10, 0, 0)
    assert found["post"]["p50"] >= (stall - 0.1) * 1000 / 2, "the median order had to wait for the first one"
    assert found["sentLate"]["max"] >= 50

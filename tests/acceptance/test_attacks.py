"""The program under attack, in the short form of `python -m tests.attacks`: counts and bounds, no times."""

import json
import socket
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.service.process import Launcher, Process, status
from tests.support.waiting import wait_until

DESCRIPTORS = 256
LIST = b"GET /api/orders?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
GROWTH_MB = 48
"""How much the memory of the process may have grown after an attack with gigabytes of requests."""


def post(process: Process) -> str:
    """An order's id."""
    request = urllib.request.Request(  # noqa: S310 - http, to ourselves
        f"{process.url}/api/orders/execute", b'{"side":"buy","amount":"0.01"}', {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return str(json.load(answer)["orderId"])


def ended(process: Process, order_id: str) -> bool:
    with urllib.request.urlopen(f"{process.url}/api/orders/{order_id}", timeout=20) as answer:  # noqa: S310
        return bool(json.load(answer)["status"] == "confirmed")


def resident_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_promise_12_idle_connections_and_readers_that_leave_take_nothing_from_a_normal_client(
    launcher: Launcher,
) -> None:
    launcher.prefix = ("sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh")
    process = launcher.start(DEXEXEC_LOG_FORMAT="json")
    process.ready()
    port = int(process.url.rpartition(":")[2])
    orders = [post(process) for _ in range(100)]
    wait_until(lambda: ended(process, orders[-1]), 20, "the orders before the attack to end")
    before, logged = resident_mb(process.pid), len(process.err)
    with ExitStack() as idle:
        for _ in range(DESCRIPTORS + 100):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        assert status(f"{process.url}/readyz") == 200
        orders.append(post(process))
    for _ in range(3):
        with ExitStack() as readers:
            for _ in range(60):
                connection = readers.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                connection.setblocking(False)
                connection.send(LIST * 300)  # as much of it as the kernel takes
            orders.append(post(process))
    orders.append(post(process))
    for order_id in orders[-5:]:
        wait_until(lambda order_id=order_id: ended(process, order_id), 20, "an order of a normal client to be executed")  # type: ignore[misc]
    wait_until(lambda: resident_mb(process.pid) < before + GROWTH_MB, 20, "the memory to come back")
    assert "lost its lease" not in process.err
    assert len(process.err) - logged < 20_000

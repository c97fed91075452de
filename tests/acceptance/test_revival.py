"""An embedded server that dies under a running service is started again, and the orders go on."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dexexec.store import Address
from tests.support.service.client import http, watching
from tests.support.service.embedded_servers import kill_and_await_the_next, postmaster, servers_running, valkey_pid
from tests.support.service.process import Launcher, say
from tests.support.service.promise_checks import agree, check_promises
from tests.support.waiting import POLL, until

SLOW = {"DEXEXEC_MOCK_LATENCY_MS": "10", "DEXEXEC_MOCK_LANDING_MS": "400", "DEXEXEC_REQUEST_TIMEOUT_MS": "1500"}


@pytest.mark.parametrize("pid_of", [valkey_pid, postmaster], ids=["valkey", "postgres"])
async def test_promise_2_a_killed_embedded_server_comes_back_by_itself(
    data_dir: Path, pid_of: Callable[[Path], int]
) -> None:
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), **SLOW) as launcher:
        service = launcher.start()
        await asyncio.to_thread(service.ready)
        url = service.url
        async with http() as calls, asyncio.timeout(50):
            order_ids = [await calls.accepted(url) for _ in range(40)]
            async with watching(lambda: url, order_ids) as watch:
                await watch.reach(lambda w: bool(w.at("submitted")))
                killed = time.monotonic()
                await kill_and_await_the_next(pid_of, data_dir)
                await until(partial(calls.ready_since, url, time.monotonic()), seconds=30, pause=POLL)
                say(f"ready again {time.monotonic() - killed:.2f} s after the kill")
                order_ids.append(await calls.accepted(url))
                watch.also(order_ids[-1:])
        assert service.running
        address = Address(host=str(data_dir / "postgres"))
        say(f"{check_promises(address, order_ids)}")
        agree(watch.events, address)
        assert await asyncio.to_thread(service.stop) == 0
        assert servers_running(data_dir) == []

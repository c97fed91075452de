"""The announced stop: the process is not ready at once, goes on for a while, and a second request ends that."""

import asyncio
import subprocess
import sys

from structlog.testing import CapturingLogger

from dexexec.api.readiness import Readiness
from dexexec.bootstrap.service import lame_duck
from dexexec.observe.observer import Observer
from dexexec.testing.clock import ManualClock
from tests.support.memory_ports import MemoryQueue, MemoryStore

REQUESTS = """
import asyncio, os, signal
from dexexec.bootstrap.shutdown import StopRequest

async def run():
    with stopping.event() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        stop.clear()
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(3):  # the handler runs before the next turn of the loop, and hands the request over with one
            await asyncio.sleep(0)
        print(stop.is_set())

stopping = StopRequest(may_hurry={may_hurry})
asyncio.run(run())
"""


def readiness() -> Readiness:
    clock = ManualClock()
    return Readiness(MemoryStore(clock), MemoryQueue(), clock)


async def test_the_process_is_not_ready_and_waits_until_the_time_has_passed() -> None:
    found, stop, log = readiness(), asyncio.Event(), CapturingLogger()
    stop.set()
    await asyncio.wait_for(lame_duck(found, stop, 0.01, Observer(log)), 20)
    assert (await found.answer()).causes.keys() == {"stopping"}
    assert [call.args[0] for call in log.calls] == ["stopping soon: /readyz answers 503"]


async def test_without_the_setting_it_does_not_wait() -> None:
    found, log = readiness(), CapturingLogger()
    await asyncio.wait_for(lame_duck(found, asyncio.Event(), 0, Observer(log)), 20)
    assert not (await found.answer()).ready
    assert log.calls == []


async def test_a_second_request_ends_the_wait() -> None:
    stop = asyncio.Event()
    stop.set()
    waiting = asyncio.create_task(lame_duck(readiness(), stop, 3_600, Observer(CapturingLogger())))
    while stop.is_set():
        await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    await asyncio.wait_for(waiting, 20)


def again(may_hurry: bool) -> bool:
    """Whether a second signal is a second request."""
    program = REQUESTS.format(may_hurry=may_hurry)
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return found.stdout.strip() == "True"


def test_a_second_signal_counts_only_where_nobody_else_may_have_sent_the_first_one_twice() -> None:
    assert again(may_hurry=True)
    assert not again(may_hurry=False)

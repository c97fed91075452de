"""A process of the service with a fault at a failpoint: killed, made to raise, or frozen as a whole.

It runs `bootstrap.service.serve` as the command line does, API and worker in one, with special failpoints. The
processes are forked from a server that has imported everything, so each costs milliseconds. They report their address
and the fault to the test over a pipe, and a frozen one waits there for the signal to continue.
"""

import asyncio
import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import uvloop

from dexexec.bootstrap import listening_sockets
from dexexec.bootstrap import service as serving
from dexexec.bootstrap.roles import Role
from dexexec.bootstrap.servers import open_servers
from dexexec.bootstrap.shutdown import StopRequest
from dexexec.config import settings
from dexexec.failpoints import Failpoint
from dexexec.observe.observer import Observer, make_logger
from dexexec.venues import registry
from tests.support.service.process import say

HANG_SECONDS = 8.0
"""Longer than it takes a sweeper to take over a leased stream entry."""
SEALING = "dexexec.settlement.solana.sealer"
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["pytest", __name__, "dexexec_adapters.mock.vaults", "dexexec.settlement.solana.rpc", SEALING]
)


class Fault(StrEnum):
    """What happens at a failpoint."""

    SPARE = "spare"  # nothing: what is planned behind it begins to count
    KILL = "kill"  # SIGKILL, by its own hand
    RAISE = "raise"  # an exception that nobody foresaw
    STALL = "stall"  # the whole process stands still until it is told to go on
    HANG = "hang"  # only the task that passes here, for `HANG_SECONDS`
    HOLD = "hold"  # only that task, until the process is told to go on


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault, for the first task that reaches that place, or after `passes` of them."""

    at: Failpoint
    fault: Fault
    passes: int = 0


class StruckError(Exception):
    """An unexpected exception."""


class StrikingFailpoints:
    """Executes the planned faults, one after the other. Reports the last one over the pipe."""

    def __init__(self, plan: Sequence[Strike], line: "Connection[object, object]") -> None:
        self._plan, self._line, self._passed = list(plan), line, 0

    async def reach(self, name: Failpoint) -> None:
        """Pass, or be struck."""
        if not self._plan or self._plan[0].at is not name:
            return
        if self._passed < self._plan[0].passes:
            self._passed += 1
            return
        strike, self._passed = self._plan.pop(0), 0
        if not self._plan:
            self._line.send("struck")
        match strike.fault:
            case Fault.SPARE:
                pass
            case Fault.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Fault.RAISE:
                raise StruckError(name)
            case Fault.STALL:
                self._line.recv()
            case Fault.HANG:
                await asyncio.sleep(HANG_SECONDS)
            case Fault.HOLD:
                await _readable(self._line.fileno())
                self._line.recv()


def serve_here(
    line: "Connection[object, object]", environment: Mapping[str, str], plan: Sequence[Strike], folder: Path
) -> None:
    """The life of the process, in a folder of its own where its log goes."""
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(environment)
    stopping = StopRequest()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    loaded = settings.load(registry.option_names)
    observer = Observer(make_logger("info", "json"))
    listening = listening_sockets.listen(listening_sockets.main_endpoint(loaded))
    url = f"http://127.0.0.1:{listening[0].getsockname()[1]}"
    with open_servers(loaded, observer.embedded_server_changed) as found:
        uvloop.run(
            serving.serve(
                loaded,
                Role.ALL,
                found,
                stopping,
                listen=lambda: listening,
                observer=observer,
                up=lambda _: line.send(url),
                failpoints=StrikingFailpoints(plan, line),
            )
        )
    stopping.block_signals()


class Service:
    """Our end of such a process."""

    def __init__(self, process: ForkServerProcess, line: "Connection[object, object]", log: Path) -> None:
        self._process, self._line, self._log = process, line, log
        self.url = ""

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    async def reported(self) -> object:
        """The next word over the pipe; EOFError when it has ended."""
        await _readable(self._line.fileno())
        return self._line.recv()

    async def ended(self) -> int:
        """Wait until it has ended; its exit code."""
        await _readable(self._process.sentinel)
        self._process.join()
        assert self.exit_code is not None
        return self.exit_code

    def go_on(self) -> None:
        """Let what is stalled or held go on."""
        self._line.send("go on")

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        self._process.terminate()
        return await self.ended()

    def kill(self) -> None:
        """SIGKILL, in any state of the process."""
        self._process.kill()
        self._process.join()
        self._line.close()


@asynccontextmanager
async def service(environment: Mapping[str, str], plan: Sequence[Strike] = ()) -> AsyncIterator[Service]:
    """A process that serves, struck as planned; killed at the end if it still runs. If the block fails, its log is
    printed."""
    folder = Path(tempfile.mkdtemp(prefix="dxv"))
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=serve_here, args=(theirs, dict(environment), tuple(plan), folder))
    process.start()
    theirs.close()
    served = Service(process, ours, folder / "log")
    try:
        served.url = str(await served.reported())
        yield served
    except BaseException:
        say(f"--- log of pid {process.pid} ({', '.join(f'{s.fault} {s.at}' for s in plan) or 'not struck'})")
        say(served.log[-6_000:])
        raise
    finally:
        served.kill()
        shutil.rmtree(folder)


async def _readable(descriptor: int) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)

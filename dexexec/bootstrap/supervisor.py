"""The parent process of `--processes N`: starts, watches, restarts and drains N child processes.

The parent serves no requests itself; it holds the port, the embedded servers and the localnet. Its children run
`python -m dexexec` with the same role and share the port with SO_REUSEPORT, so the kernel spreads new connections over
them. A child whose parent is gone drains and exits (`dexexec.bootstrap.parent_link`).
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dexexec.bootstrap import listening_sockets
from dexexec.bootstrap import localnet as localnets
from dexexec.bootstrap.banner import banner
from dexexec.bootstrap.parent_link import NOTIFY, READY
from dexexec.bootstrap.roles import Role
from dexexec.bootstrap.servers import Servers, open_servers
from dexexec.bootstrap.shutdown import StopRequest, wait_for_stop
from dexexec.config.environment import environment
from dexexec.config.settings import Settings
from dexexec.errors import StartupError
from dexexec.observe.metrics.exposition import FOLDER, fold
from dexexec.observe.observer import Observer
from dexexec.venue import Network
from dexexec.venues import registry

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
WELL_AFTER = 60.0
"""A child that has run for this many seconds was healthy: the next pause is the shortest again."""
GRACE_SECONDS = 15.0
"""How long a child may take to end in addition to DEXEXEC_DRAIN_SECONDS, before it is killed."""
MOST_EMBEDDED = 16
"""The most processes on the embedded Postgres: each has up to ten connections, and Postgres accepts 200."""


def serve(
    settings: Settings,
    role: Role,
    count: int,
    *,
    stopping: StopRequest,
    observer: Observer,
    say: Callable[[str], None],
    event_loop: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """Run `count` processes of `role` until a stop is requested, then drain them. `say` prints the banner once all are
    ready. Raises `StartupError` when one of them fails before it was ready."""
    if settings.postgres_address() is None and count > MOST_EMBEDDED:
        raise StartupError(
            f"the embedded Postgres has connections for {MOST_EMBEDDED} processes: lower --processes, or set PG_HOST to"
            " a Postgres of your own"
        )
    with ExitStack() as stack:
        # Reserved before the servers start, so that a port in use costs no time.
        ports = {}
        if role is not Role.WORKER:
            ports["PORT"] = stack.enter_context(listening_sockets.reserved(listening_sockets.main_endpoint(settings)))
        if operations := listening_sockets.operations_endpoint(settings):
            # The processes share this port too: each of them shows the metrics of all.
            ports[operations.port_setting] = stack.enter_context(listening_sockets.reserved(operations))
        servers = stack.enter_context(open_servers(settings, observer.embedded_server_changed, stopping))
        if not stopping.requested:
            event_loop(_parent(settings, role, count, ports, servers, stopping=stopping, observer=observer, say=say))


async def _parent(
    settings: Settings,
    role: Role,
    count: int,
    ports: Mapping[str, int],
    servers: Servers,
    *,
    stopping: StopRequest,
    observer: Observer,
    say: Callable[[str], None],
) -> None:
    with stopping.event() as stop:
        async with AsyncExitStack() as stack:
            localnet = None
            if role is Role.ALL and _needs_localnet(settings):
                localnet = await stack.enter_async_context(localnets.alongside(settings.data_folder()))
            localnet_url = localnet.url if localnet else None

            def up() -> None:
                if "PORT" in ports:
                    url = listening_sockets.reachable(settings, ports["PORT"])
                    say(banner(settings, servers, url, localnet_url))

            supervisor = ChildSupervisor(
                [] if role is Role.ALL else [role],
                child_environment(os.environ, servers, ports, localnet_url),
                count,
                drain_seconds=settings.lame_duck_seconds + settings.drain_seconds + GRACE_SECONDS,
                up=up,
                observer=observer,
            )
            tasks = [asyncio.create_task(supervisor.supervise(number)) for number in range(1, count + 1)]
            if localnet:
                tasks.append(asyncio.create_task(localnet.watch()))
            try:
                await wait_for_stop(stop, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def child_environment(
    parent: Mapping[str, str], servers: Servers, ports: Mapping[str, int], localnet_url: str | None
) -> dict[str, str]:
    """The environment of a child: the parent's, with the ports (by their settings) and the addresses of what the parent
    has started."""
    added = {setting: str(port) for setting, port in ports.items()}
    if "Postgres" in servers.embedded:
        postgres = servers.postgres
        added["PG_HOST"] = postgres.host
        added["PG_PORT"] = str(postgres.port)
        added["PG_USER"] = postgres.user
        added["PG_DATABASE"] = postgres.database
    if "Redis" in servers.embedded:
        added["REDIS_URL"] = servers.redis_url
    if localnet_url is not None:
        added["DEXEXEC_LOCALNET_URL"] = localnet_url
    # Settings ignore the case of names: a leftover `port` of the parent would compete with `PORT`.
    return {name: value for name, value in parent.items() if name.upper() not in added} | added


def next_pause(pause: float, lived: float) -> float:
    """Seconds to wait before a child is restarted that has run for `lived` seconds. `pause` was the previous wait."""
    return min(max(FIRST_PAUSE, pause * 2), LONGEST_PAUSE) if lived < WELL_AFTER else FIRST_PAUSE


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended: its exit status as `subprocess` reports it, and its own error if it could not start."""

    status: int
    refusal: str = ""

    @property
    def asked_for(self) -> bool:
        """Whether it was stopped by a signal: by a person, or by a stop request that has not reached the parent yet."""
        return self.status in {0, -signal.SIGTERM, -signal.SIGINT}

    def __str__(self) -> str:
        if self.refusal:
            return self.refusal
        return f"was ended by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"


class ChildSupervisor:
    """Starts and restarts the child processes. `up` is called once, when all of them are ready."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        count: int,
        *,
        drain_seconds: float,
        up: Callable[[], None],
        observer: Observer,
    ) -> None:
        self._arguments = arguments
        self._environment = environment
        self._drain_seconds = drain_seconds
        self._up = up
        self._observer = observer
        self._awaited = set(range(1, count + 1))

    async def supervise(self, number: int) -> None:
        """Run child `number` and restart it whenever it ends; on cancellation, drain it. Raises `StartupError` when it
        ends before it was ready for the first time."""
        pause = 0.0
        while True:
            begun = time.monotonic()
            end = await self._run(number)
            # Before its first start succeeds, a child most likely fails for a reason that a restart does not cure.
            if number in self._awaited and not end.asked_for:
                raise StartupError(end.refusal or f"a process {end} before it was ready")
            pause = next_pause(pause, time.monotonic() - begun)
            self._observer.process_exited(number, str(end), pause)
            await asyncio.sleep(pause)

    async def _run(self, number: int) -> End:
        try:
            child = await Child.start(self._arguments, self._environment)
        except OSError as error:
            return End(1, f"a process cannot be started: {error}")
        try:
            report = await child.start_report()
            if report == READY:
                self._observer.process_ready(number, child.pid)
                self._set_ready(number)
            return End(await child.exit_status(), "" if report == READY else report)
        except asyncio.CancelledError:
            if not await child.drain(self._drain_seconds):
                self._observer.process_killed(number, child.pid, self._drain_seconds)
            raise
        finally:
            child.close()
            # Only here the process is certainly gone: until then it may count.
            if folder := self._environment.get(FOLDER):
                fold(Path(folder), child.pid)

    def _set_ready(self, number: int) -> None:
        if number in self._awaited:
            self._awaited.remove(number)
            if not self._awaited:
                self._up()


class Child:
    """A child process and the parent's end of the link to it."""

    def __init__(
        self, popen: "subprocess.Popen[bytes]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._popen = popen
        self._reader = reader
        self._writer = writer
        self.pid = popen.pid

    @classmethod
    async def start(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> "Child":
        """Start a child process. Raises `OSError`."""
        parent_end, child_end = socket.socketpair()
        with child_end:
            reader, writer = await asyncio.open_unix_connection(sock=parent_end)
            try:
                return cls(_spawn(arguments, environment, child_end.fileno()), reader, writer)
            except OSError:
                writer.close()
                raise

    async def start_report(self) -> str:
        """`READY`, or the error of its start; empty when it ended without a report."""
        return (await self._reader.readline()).decode().strip()

    async def exit_status(self) -> int:
        """Wait until the child has ended, and return its exit status."""
        await self._reader.read()  # the link ends with the child, so no thread waits meanwhile
        return await asyncio.to_thread(self._popen.wait)

    async def drain(self, seconds: float) -> bool:
        """Send SIGTERM, and SIGKILL after `seconds`. Returns whether the child ended by itself."""
        self._popen.terminate()
        ending = asyncio.create_task(self.exit_status())
        done, _ = await asyncio.wait([ending], timeout=seconds)
        if not done:
            self._popen.kill()
        await ending
        return bool(done)

    def close(self) -> None:
        """Close the parent's end of the link."""
        self._writer.close()


def _spawn(arguments: Sequence[str], environment: Mapping[str, str], link: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "dexexec", *arguments, NOTIFY, str(link)],
        env=environment,
        stdin=subprocess.DEVNULL,
        pass_fds=(link,),
        process_group=0,  # Ctrl-C must only reach the parent: a child has no signal handler while it is loading
    )


def _needs_localnet(settings: Settings) -> bool:
    if settings.localnet_url is not None:
        return False
    return Network.LOCALNET in registry.networks(registry.load(settings.adapters), environment())

"""`--processes N`: the parent of several processes that are one service. It starts, watches and drains them.

The parent keeps the port, the embedded servers and the localnet, and serves nobody. Its children are `python -m
dexexec` of the same role. They are given the servers' addresses by their environment and listen on the same port with
SO_REUSEPORT: the kernel spreads new connections over them. A child that ends is started again. One whose parent is
gone drains and ends by itself (`dexexec.bootstrap.parent_link`), so that not even kill -9 leaves any behind.
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
from dexexec.observe.observer import Observer
from dexexec.venue import Network
from dexexec.venues import registry

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
WELL_AFTER = 60.0
"""A child that lived for so many seconds was well: the next pause is the first again."""
GRACE_SECONDS = 15.0
"""What a child may take to end beyond DEXEXEC_DRAIN_SECONDS, before it is killed."""
MOST_EMBEDDED = 16
"""Each process has up to ten connections, and the embedded Postgres takes 200."""


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
    """Run `count` processes of `role` until this one is asked to stop, then drain them. `say` is handed the banner
    once all are ready. Raises `StartupError` when one of them cannot start at first."""
    if settings.postgres_address() is None and count > MOST_EMBEDDED:
        raise StartupError(
            f"the embedded Postgres has connections for {MOST_EMBEDDED} processes: give --processes no more, or set"
            " PG_HOST to a Postgres of your own"
        )
    with ExitStack() as stack:
        port = stack.enter_context(listening_sockets.reserved(settings)) if role is not Role.WORKER else None
        found = stack.enter_context(open_servers(settings, observer.embedded_server_changed, stopping))
        if not stopping.requested:
            event_loop(_parent(settings, role, count, port, found, stopping=stopping, observer=observer, say=say))


async def _parent(
    settings: Settings,
    role: Role,
    count: int,
    port: int | None,
    found: Servers,
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
                if port is not None:
                    say(banner(settings, found, listening_sockets.reachable(settings.host, port), localnet_url))

            family = ChildSupervisor(
                [] if role is Role.ALL else [role],
                child_environment(os.environ, found, port, localnet_url),
                count,
                drain_seconds=settings.drain_seconds + GRACE_SECONDS,
                up=up,
                observer=observer,
            )
            tasks = [asyncio.create_task(family.keep(number)) for number in range(1, count + 1)]
            if localnet:
                tasks.append(asyncio.create_task(localnet.watch()))
            try:
                await wait_for_stop(stop, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def child_environment(
    ours: Mapping[str, str], found: Servers, port: int | None, localnet_url: str | None
) -> dict[str, str]:
    """Our environment, with the addresses that were only found out here."""
    told = {"PORT": str(port)} if port is not None else {}
    if "Postgres" in found.embedded:
        at = found.postgres
        told |= {"PG_HOST": at.host, "PG_PORT": str(at.port), "PG_USER": at.user, "PG_DATABASE": at.database}
    if "Redis" in found.embedded:
        told["REDIS_URL"] = found.redis_url
    if localnet_url is not None:
        told["DEXEXEC_LOCALNET_URL"] = localnet_url
    return {name: value for name, value in ours.items() if name.upper() not in told} | told  # settings ignore the case


def next_pause(pause: float, lived: float) -> float:
    """Seconds to wait before a child is started again that lived for `lived` seconds; `pause` was the wait before."""
    return min(max(FIRST_PAUSE, pause * 2), LONGEST_PAUSE) if lived < WELL_AFTER else FIRST_PAUSE


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended: its exit status as `subprocess` has it, and its own words if it could not start."""

    status: int
    refusal: str = ""

    @property
    def asked_for(self) -> bool:
        """Whether it was told to: somebody's kill, or a stop that has not reached us yet."""
        return self.status in {0, -signal.SIGTERM, -signal.SIGINT}

    def __str__(self) -> str:
        if self.refusal:
            return self.refusal
        return f"was ended by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"


class ChildSupervisor:
    """The children. `up` is called once, when all of them are ready."""

    def __init__(
        self,
        arguments: Sequence[str],
        told: Mapping[str, str],
        count: int,
        *,
        drain_seconds: float,
        up: Callable[[], None],
        observer: Observer,
    ) -> None:
        self._arguments, self._told, self._drain_seconds = arguments, told, drain_seconds
        self._up, self._observer = up, observer
        self._awaited = set(range(1, count + 1))

    async def keep(self, number: int) -> None:
        """One child, started again whenever it ends; cancelled, it is drained. Raises `StartupError` when it was never
        ready."""
        pause = 0.0
        while True:
            begun = time.monotonic()
            end = await self._live(number)
            if number in self._awaited and not end.asked_for:
                raise StartupError(end.refusal or f"a process {end} before it was ready")
            pause = next_pause(pause, time.monotonic() - begun)
            self._observer.process_exited(number, str(end), pause)
            await asyncio.sleep(pause)

    async def _live(self, number: int) -> End:
        try:
            child = await Child.start(self._arguments, self._told)
        except OSError as error:
            return End(1, f"a process cannot be started: {error}")
        try:
            word = await child.word()
            if word == READY:
                self._observer.process_ready(number, child.pid)
                self._is_ready(number)
            return End(await child.over(), "" if word == READY else word)
        except asyncio.CancelledError:
            if not await child.drain(self._drain_seconds):
                self._observer.process_killed(number, child.pid, self._drain_seconds)
            raise
        finally:
            child.close()

    def _is_ready(self, number: int) -> None:
        if number in self._awaited:
            self._awaited.remove(number)
            if not self._awaited:
                self._up()


class Child:
    """One child process and our end of its line, which it holds as long as it lives."""

    def __init__(
        self, popen: "subprocess.Popen[bytes]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._popen, self._reader, self._writer = popen, reader, writer
        self.pid = popen.pid

    @classmethod
    async def start(cls, arguments: Sequence[str], told: Mapping[str, str]) -> "Child":
        """Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                return cls(_spawn(arguments, told, theirs.fileno()), reader, writer)
            except OSError:
                writer.close()
                raise

    async def word(self) -> str:
        """What it says about its start; empty when it ends without a word."""
        return (await self._reader.readline()).decode().strip()

    async def over(self) -> int:
        """Its exit status, once it has ended."""
        await self._reader.read()
        return await asyncio.to_thread(self._popen.wait)

    async def drain(self, seconds: float) -> bool:
        """SIGTERM, and SIGKILL if it has not ended after so long: whether it ended by itself."""
        self._popen.terminate()
        over = asyncio.create_task(self.over())
        done, _ = await asyncio.wait([over], timeout=seconds)
        if not done:
            self._popen.kill()
        await over
        return bool(done)

    def close(self) -> None:
        """Our end of the line."""
        self._writer.close()


def _spawn(arguments: Sequence[str], told: Mapping[str, str], line: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "dexexec", *arguments, NOTIFY, str(line)],
        env=told,
        stdin=subprocess.DEVNULL,
        pass_fds=(line,),
        process_group=0,  # Ctrl-C reaches the parent alone: a child that is still loading could not take it well
    )


def _needs_localnet(settings: Settings) -> bool:
    if settings.localnet_url is not None:
        return False
    return Network.LOCALNET in registry.networks(registry.load(settings.adapters), environment())

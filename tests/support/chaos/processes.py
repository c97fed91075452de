"""What the soak breaks: API and worker processes on servers of their own, and every way to hurt them.

A process that is killed is started again, and one that refuses to start while a server is down is started until it
does, as a supervisor would. A process that ends in any other way has broken a promise and is noted.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import redis

from dexexec.venue import Network
from tests.support.chaos.localnet import Localnet, a_localnet
from tests.support.chaos.networks import Fault, Networks, Server, networks, suffering
from tests.support.service.breakable_servers import BreakableServers, breakable_servers
from tests.support.service.embedded_servers import valkey_pid
from tests.support.service.process import Launcher, Process

SETTINGS = {
    "PYTHONPATH": str(Path(__file__).parents[3]),
    "DEXEXEC_ADAPTERS": "mock-raydium,mock-meteora,tests.support.chaos.wrong_venue:Liar",
    "DEXEXEC_LEASE_SECONDS": "2",
    "DEXEXEC_HEARTBEAT_SECONDS": "0.4",
    "DEXEXEC_REQUEST_TIMEOUT_MS": "1500",
    "DEXEXEC_RETRY_BASE_MS": "50",
    "DEXEXEC_MOCK_LATENCY_MS": "20",
    "DEXEXEC_MOCK_LANDING_MS": "700",
    "DEXEXEC_MOCK_DROP_RATE": "0.05",
    "DEXEXEC_MOCK_SLIPPAGE_PPM": "5500",
}
"""An adapter that lies beside two that do not; a lease that stops outlast; swaps that take time to land, some of which
are lost at first or fail on a price move. The sweeper's pace is the default."""
ON_LOCALNET = {
    "DEXEXEC_MAX_ATTEMPTS": "6",
    "DEXEXEC_RETRY_BASE_MS": "200",
    "DEXEXEC_RETRY_MAX_MS": "2000",
    "DEXEXEC_BREAKER_SECONDS": "1",
}
"""Patience with a chain that is gone for seconds: without it most orders would end before they were ever sent."""
PER_RANK = 2
NOWHERE = "http://127.0.0.1:9"
SUPERVISOR_PAUSE = 0.2
DOWN_SECONDS = 0.5


class ChaosSetup:
    """The processes by rank (`api`, `worker`), and the servers. `localnet` is what they settle on, unless that is the
    simulated chain."""

    def __init__(
        self, servers: BreakableServers, launcher: Launcher, ways: Networks, localnet: Localnet | None
    ) -> None:
        self.servers, self._launcher, self._ways, self.localnet = servers, launcher, ways, localnet
        self.ranks: dict[str, list[Process]] = {"api": [], "worker": []}
        self.faults: Counter[str] = localnet.faults if localnet else Counter()
        self.starts: Counter[str] = Counter()
        """Starts that failed, as they do while a server is down."""
        self.problems: list[str] = []
        self._urls: dict[int, str] = {}
        self._far: set[int] = set()
        self._spoiled: set[Server] = set()

    @property
    def urls(self) -> list[str]:
        """The addresses of the API processes, or one that refuses connections while no process runs."""
        return [self._urls[process.pid] for process in self.ranks["api"]] or [NOWHERE]

    async def start_all(self) -> None:
        """All ranks, complete."""
        await asyncio.gather(*(self.start(rank) for rank in self.ranks for _ in range(PER_RANK)))

    async def start(self, rank: str) -> None:
        """Start one more, and wait until it serves or works. One of each rank is far from its servers."""
        while True:
            far = not any(process.pid in self._far for process in self.ranks[rank])
            process = self._launcher.start(rank, **(self._ways.settings if far else {}))
            if far:
                self._far.add(process.pid)
            try:
                if rank == "api":
                    self._urls[process.pid] = await asyncio.to_thread(url_of, process)
                else:
                    await asyncio.to_thread(process.logged, "worker started")
            except AssertionError:
                if process.running:
                    raise
                self.starts[f"exit code {process.wait()}"] += 1
                await asyncio.sleep(SUPERVISOR_PAUSE)
            else:
                self.ranks[rank].append(process)
                return

    # Processes

    async def kill(self, process: Process) -> None:
        """kill -9, in any state of the process."""
        self.faults[f"{rank_of(process)} killed"] += 1
        self.ranks[rank_of(process)].remove(process)
        await asyncio.to_thread(process.kill)

    async def freeze(self, process: Process, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while, unless it was killed meanwhile."""
        self.faults[f"{rank_of(process)} stopped"] += 1
        process.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            if process in self.ranks[rank_of(process)]:
                process.send(signal.SIGCONT)

    def look_for_the_dead(self) -> list[str]:
        """Record every process that ended without being killed; the ranks that miss one."""
        dead = [process for processes in self.ranks.values() for process in processes if not process.running]
        for process in dead:
            self.problems.append(f"{rank_of(process)} ended by itself, {process.wait()}: {process.err[-3_000:]}")
            self.ranks[rank_of(process)].remove(process)
        return [rank_of(process) for process in dead]

    # Networks

    async def spoil(self, server: Server, fault: Fault, seconds: float) -> None:
        """Give the far processes a bad way to a server, and a good one after a while."""
        if server in self._spoiled:
            return
        self.faults[f"{server} {fault}"] += 1
        self._spoiled.add(server)
        try:
            async with suffering(self._ways[server], fault):
                await asyncio.sleep(seconds)
        finally:
            self._ways[server].heal()
            self._spoiled.discard(server)

    # Servers

    async def kill_redis(self, seconds: float) -> None:
        """kill -9, and a start on what its append-only file has after a while."""
        self.faults["redis killed"] += 1
        await asyncio.to_thread(self.servers.kill_valkey)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.servers.start_again)

    async def flush_redis(self) -> None:
        """FLUSHALL."""
        self.faults["redis flushed"] += 1
        with redis.Redis.from_url(self.servers.redis_url) as client:
            await asyncio.to_thread(client.flushall)

    async def freeze_redis(self, seconds: float) -> None:
        """SIGSTOP and SIGCONT."""
        self.faults["redis stopped"] += 1
        pid = await asyncio.to_thread(valkey_pid, self.servers.data_dir)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def stop_postgres(self, seconds: float) -> None:
        """An immediate stop, and a start, which recovers, after a while."""
        self.faults["postgres stopped at once"] += 1
        await asyncio.to_thread(self.servers.stop_postgres_at_once)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.servers.start_again)

    async def lose_last_commits(self, seconds: float, while_down: Callable[[], None]) -> None:
        """A standby is cut off, and so many seconds later it takes the place of Postgres, which is gone for good. All
        that was answered before is with the clients when `while_down` is called."""
        self.faults["postgres replaced without the last commits"] += 1
        await asyncio.to_thread(self.servers.copy_postgres)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.servers.stop_postgres_at_once)
        await asyncio.sleep(DOWN_SECONDS)
        while_down()
        await asyncio.to_thread(self.servers.take_copy_over)
        await asyncio.to_thread(self.servers.start_again)


def url_of(process: Process) -> str:
    """Where it serves, once it does."""
    return process.url


def rank_of(process: Process) -> str:
    """`api` or `worker`."""
    return process.arguments[0]


@asynccontextmanager
async def chaos_setup(network: str) -> AsyncIterator[ChaosSetup]:
    """Servers without processes yet, that settle on this network; everything is gone at the end."""
    with breakable_servers() as servers, Launcher(**servers.settings, **SETTINGS) as launcher:
        async with networks(servers.address, servers.redis_url) as ways:
            if network == Network.SIMULATED:
                yield ChaosSetup(servers, launcher, ways, None)
                return
            async with a_localnet(launcher, servers.data_dir / "ledger") as localnet:
                launcher.environment |= ON_LOCALNET | localnet.settings
                yield ChaosSetup(servers, launcher, ways, localnet)

"""A simulated machine that runs one process after the other: started again when it ends, as a supervisor would."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder
from dexexec.failpoints import Failpoint
from dexexec.recovery.signing_permission import SigningPermission, Unrestricted
from dexexec.store import Claimed
from dexexec.store.store import NONE_KNOWN
from tests.simulation.clock import VirtualClock
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.wires import Server, SimulatedWire
from tests.support.failpoints import ScriptedFailpoints
from tests.support.fakes.comparisons import MemoryComparisons
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.store import MemoryStore, MemoryWorkerSession

LONGEST_FREEZE = 9.0
"""Seconds; three times a lease."""


class StruckError(Exception):
    """An unexpected error, raised at a failpoint."""


class MachineStore(MemoryStore):
    """Remembers its sessions, which end with the process, and counts the orders that it claimed and had accepted."""

    def __init__(
        self,
        database: MemoryDatabase,
        announce: Callable[[Sequence[Event]], None],
        wire: SimulatedWire,
        clock: VirtualClock,
        *,
        permitted_identity: Callable[[], str | None],
    ) -> None:
        super().__init__(database, announce, wire, clock, permitted_identity)
        self.sessions: list[MemoryWorkerSession] = []
        self.known = 0

    async def begin(self, name: str, lease_seconds: float, trouble: str = "") -> MemoryWorkerSession:
        """Register a worker."""
        session = await super().begin(name, lease_seconds, trouble)
        self.sessions.append(session)
        return session

    async def claim(
        self, worker: int, order_ids: Sequence[UUID], suspects: int = 1, known: Mapping[UUID, NewOrder] = NONE_KNOWN
    ) -> list[Claimed]:
        """Claim what can be claimed of these."""
        claimed = await super().claim(worker, order_ids, suspects, known)
        self.known += sum(each.order.id in known for each in claimed)
        return claimed


class Machine:
    """`life` is what a process does, from its start to its end. `strikes` is the share of failpoints that strike."""

    def __init__(
        self, name: str, loop: VirtualLoop, rng: random.Random, life: Callable[["Machine"], Coroutine[Any, Any, None]]
    ) -> None:
        self.name, self.loop, self.rng, self._life = name, loop, rng, life
        self.strikes = 0.0
        self.starts = 0
        self.process = Process(name)
        self.processes: list[Process] = []
        self.stores: list[MachineStore] = []
        self.comparisons: list[MemoryComparisons] = []
        self.wires: list[SimulatedWire] = []
        self.permission: SigningPermission = Unrestricted()
        self.stop: Callable[[], None] = lambda: None
        """SIGTERM, if the process handles it."""
        self.unexpected: list[BaseException] = []
        self.failpoints = ScriptedFailpoints(self._strike)
        self._over = asyncio.Event()

    # Inside a process

    def permitted_identity(self) -> str | None:
        """Where the worker of this process may record attempts."""
        return self.permission.identity()

    def clock(self) -> VirtualClock:
        """A clock of its own: its monotonic time begins anywhere, its wall clock is a little off."""
        return VirtualClock(self.loop, self.rng.uniform(0, 1e6), self.rng.randint(-1_500, 1_500))

    def wire(self, server: Server) -> SimulatedWire:
        """A way to a server."""
        wire = SimulatedWire(self.loop, self.rng, server)
        self.wires.append(wire)
        return wire

    async def _strike(self, name: Failpoint) -> None:
        if self.rng.random() >= self.strikes:
            return
        fault = self.rng.randrange(3)
        if fault == 0:
            raise StruckError(name)
        if fault == 1:
            self.kill()
            await self.loop.create_future()
        self.freeze(self.rng.uniform(0, LONGEST_FREEZE))
        await asyncio.sleep(0)

    # From outside

    async def supervise(self) -> None:
        """Keep a process running."""
        while True:
            self.starts += 1
            self._over.clear()
            self.wires.clear()
            self.process = Process(f"{self.name}.{self.starts}")
            self.processes.append(self.process)
            task = self.loop.start(self.process, self._life(self))
            task.add_done_callback(lambda _: self._over.set())
            await self._over.wait()
            if task.done() and not task.cancelled():
                error = task.exception()
                self.unexpected += [one for one in leaves(error) if not isinstance(one, StruckError)]
            self.kill()  # whatever it left running
            await asyncio.sleep(self.rng.uniform(0.02, 1))

    def kill(self) -> None:
        """kill -9. Its sessions with Postgres are noticed to be over soon, or only when their leases run out."""
        self.loop.kill(self.process)
        comparisons, self.comparisons = self.comparisons, []
        for one in comparisons:
            self.loop.schedule(self.rng.uniform(0, 0.2) if self.rng.random() < 0.9 else LONGEST_FREEZE, one.drop)
        stores, self.stores = self.stores, []
        for session in (session for store in stores for session in store.sessions):
            if self.rng.random() < 0.9:
                self.loop.schedule(self.rng.uniform(0, 0.2), session.drop)
        self._over.set()

    def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after `seconds`."""
        process = self.process
        self.loop.freeze(process)
        self.loop.schedule(seconds, self.loop.thaw, process)

    def cut_off(self, seconds: float) -> None:
        """No packet comes through for `seconds`."""
        for wire in self.wires:
            wire.cut = True
            self.loop.schedule(seconds, setattr, wire, "cut", False)

    def heal(self) -> None:
        """From now on nothing happens to it."""
        self.strikes = 0
        self.loop.thaw(self.process)
        for wire in self.wires:
            wire.cut = False


def leaves(error: BaseException | None) -> list[BaseException]:
    """The exceptions in a group, however deep."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [] if error is None else [error]

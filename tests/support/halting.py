"""Halts signing in a store, as the commands `halt` and `resume` do it, whether it is Postgres or the one in memory."""

from dexexec.clock import SystemClock
from dexexec.domain.halt import Halt
from dexexec.errors import UnavailableError
from dexexec.feed.halt_watch import HaltWatch
from dexexec.store import Store, halts
from dexexec.testing.clock import ManualClock
from tests.support.fakes.database import MemoryDatabase

BARRIER_SECONDS = 30.0


async def halt(store: Store, owner: int, reason: str) -> Halt:
    """Nothing is recorded for that owner any more when this returns."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        return memory.halt(owner, reason)
    begun = await halts.halt(store._database, owner, reason)
    assert await halts.wait_for_attempts(store._database, SystemClock(), BARRIER_SECONDS)
    return begun


async def resume(store: Store, owner: int) -> bool:
    """Whether there was a halt."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        return memory.resume(owner)
    return await halts.resume(store._database, owner)


class SetHalts:
    """A record of halts that a test changes."""

    def __init__(self, *halts: Halt) -> None:
        self.set = list(halts)
        self.is_away = False

    async def halts(self) -> list[Halt]:
        """What the test has set."""
        if self.is_away:
            raise UnavailableError("Postgres does not answer")
        return list(self.set)


async def watched(*halts: Halt) -> HaltWatch:
    """A watch that has read these halts."""
    watch = HaltWatch(SetHalts(*halts), ManualClock())
    await watch.look()
    return watch

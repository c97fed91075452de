"""Follows for whom signing is halted, and passes what changes to listeners.

Each process has one. Intake, readiness and workers look here, so that none of them waits for Postgres. What is read
here saves work and reports: the statement that records an attempt decides by itself.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.halt import Halt, halt_of
from dexexec.errors import UnavailableError

INTERVAL_SECONDS = 1.0

Listener = Callable[[Halt, bool], None]
"""Called with a halt, and whether it began (False: it ended)."""


class HaltRecord(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def halts(self) -> list[Halt]:
        """For whom signing is halted. Raises `UnavailableError`."""


class HaltWatch:
    """Reads the halts from `record` every second. While Postgres is away, the last ones that were read stay."""

    def __init__(self, record: HaltRecord, clock: Clock) -> None:
        self._record = record
        self._clock = clock
        self._halts: Mapping[int, Halt] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener` for every halt that begins or ends from now on."""
        self._listeners.append(listener)

    def all(self) -> Iterable[Halt]:
        """All halts, as of the last look."""
        return self._halts.values()

    def of(self, owner: int | None) -> Halt | None:
        """The halt that covers orders of `owner` (None: without a key), as of the last look."""
        return halt_of(self._halts.values(), owner)

    async def look(self) -> None:
        """Read the halts now. Raises `UnavailableError`."""
        before = self._halts
        self._halts = {halt.owner: halt for halt in await self._record.halts()}
        for owner in sorted(before.keys() | self._halts.keys()):
            # Another reason is no other halt: its listeners have heard of it.
            began = owner in self._halts
            if began != (owner in before):
                for listener in self._listeners:
                    listener(self._halts[owner] if began else before[owner], began)

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            try:
                await self.look()
            except UnavailableError:
                # Reported by the parts that cannot work without Postgres.
                pass
            raise_if_cancelled()
            await self._clock.sleep(INTERVAL_SECONDS)

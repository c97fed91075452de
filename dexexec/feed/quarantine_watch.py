"""Follows which venues are quarantined because a program of theirs has changed, and passes what changes to listeners.

Each process has one. Routers look here, so that no order waits for Postgres.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.program_version import Quarantine
from dexexec.errors import UnavailableError

INTERVAL_SECONDS = 1.0

Listener = Callable[[Quarantine, bool], None]
"""Called with a quarantine, and whether it began (False: it ended)."""


class QuarantineRecord(Protocol):
    """The part of `dexexec.store.ProgramVersions` that is used here."""

    async def quarantines(self) -> list[Quarantine]:
        """The programs whose deployed code is not accepted. Raises `UnavailableError`."""


class QuarantineWatch:
    """Reads the quarantines from `record` every second. While Postgres is away, the last ones that were read stay."""

    def __init__(self, record: QuarantineRecord, clock: Clock) -> None:
        self._record = record
        self._clock = clock
        self._found: tuple[Quarantine, ...] = ()
        self._clusters: frozenset[str] | None = None
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener` for every quarantine that begins or ends from now on."""
        self._listeners.append(listener)

    def restrict_to(self, clusters: Collection[str]) -> None:
        """Only programs on the clusters with these genesis hashes count: the record may be older than the cluster."""
        self._clusters = frozenset(clusters)

    def all(self) -> Sequence[Quarantine]:
        """All quarantines, as of the last look."""
        return [one for one in self._found if self._clusters is None or one.genesis in self._clusters]

    def refusal(self, venue: str) -> str:
        """Why a venue gets no orders; empty if it may get them."""
        return next((f"quarantined: {one.detail}" for one in self.all() if one.venue == venue), "")

    async def look(self) -> None:
        """Read the quarantines now. Raises `UnavailableError`."""
        before = {_identity(one): one for one in self._found}
        self._found = tuple(await self._record.quarantines())
        now = {_identity(one): one for one in self._found}
        for identity in sorted(before.keys() | now.keys()):
            # What simulated swaps showed is no other quarantine: its listeners have heard of it.
            began = identity in now
            if began != (identity in before):
                for listener in self._listeners:
                    listener(now[identity] if began else before[identity], began)

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


def _identity(quarantine: Quarantine) -> tuple[str, str, str, str]:
    return quarantine.genesis, quarantine.venue, quarantine.program, quarantine.sha256

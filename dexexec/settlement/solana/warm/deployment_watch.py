"""Watches the deployed code of venues' programs, and records each change: an upgrade quarantines the venue.

The first bytes of the programs' accounts are read every few seconds with one request. Only if they have changed is the
code read, from all nodes, which must agree.
"""

import hashlib
from collections.abc import Mapping
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.program_version import Deployment
from dexexec.domain.solana import Account
from dexexec.errors import UnavailableError
from dexexec.settlement.solana.warm.program_library import ProgramNodes, read_agreed
from dexexec.settlement.solana.warm.programs import HEADER_BYTES, code_account, deployment_slot, marks, read_program
from dexexec.venue import VenueError

CHECK_SECONDS = 3.0
"""Seconds between two looks."""
RETRY_SECONDS = 30.0
"""Seconds before code that could not be read is read again: it may be megabytes, from each node."""


class DeploymentRecord(Protocol):
    """The part of `dexexec.store.ProgramVersions` that is used here."""

    async def marks(self, genesis: str) -> dict[tuple[str, str], str]:
        """The marks of the deployments that are recorded, by venue and program. Raises `UnavailableError`."""

    async def seen(self, genesis: str, deployment: Deployment) -> None:
        """Record a deployment. Raises `UnavailableError`."""


class DeploymentObserver(Protocol):
    """Receives what operators should see of deployments."""

    def deployment_unknown(self, venue: str, program: str, why: str) -> None:
        """The code of a program could not be read."""


class DeploymentWatch:
    """Watches the programs of `venues` (by name) on the cluster with the hash `genesis`."""

    def __init__(
        self,
        venues: Mapping[str, frozenset[str]],
        nodes: ProgramNodes,
        record: DeploymentRecord,
        clock: Clock,
        *,
        observer: DeploymentObserver,
        genesis: str,
    ) -> None:
        self._programs = sorted((venue, program) for venue, programs in venues.items() for program in programs)
        self._nodes = nodes
        self._record = record
        self._clock = clock
        self._observer = observer
        self._genesis = genesis
        self._code_accounts: dict[str, str] = {}
        self._again_at: dict[str, float] = {}
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            try:
                await self.look()
            except (VenueError, UnavailableError):
                pass  # reported where nodes and Postgres are watched; the next look finds the same change
            raise_if_cancelled()
            await self._clock.sleep(CHECK_SECONDS)

    async def look(self) -> None:
        """Record each program whose deployment is not the recorded one. Raises `VenueError`, `UnavailableError`."""
        if not self._programs:
            return
        recorded = await self._record.marks(self._genesis)
        heads = await self._heads()
        for venue, program in self._programs:
            mark = recorded.get((venue, program))
            if _mark(self._sources(program), heads) != mark:
                await self._read(venue, program, is_known=mark is not None)

    async def _heads(self) -> dict[str, Account | None]:
        """The first bytes of each program's accounts."""
        programs = sorted({program for _, program in self._programs})
        if unknown := [program for program in programs if program not in self._code_accounts]:
            found = (await self._nodes.account_heads(unknown, HEADER_BYTES)).found
            for program, account in zip(unknown, found, strict=True):
                if account is not None and (code := _code_account(account)) is not None:
                    self._code_accounts[program] = code
        wanted = [source for program in programs for source in self._sources(program)]
        answer = await self._nodes.account_heads(wanted, HEADER_BYTES)
        return dict(zip(wanted, answer.found, strict=True))

    def _sources(self, program: str) -> tuple[str, ...]:
        code = self._code_accounts.get(program)
        return (program, code) if code else (program,)

    async def _read(self, venue: str, program: str, *, is_known: bool) -> None:
        now = self._clock.monotonic()
        if now < self._again_at.get(program, 0.0):
            return
        self._again_at[program] = now + RETRY_SECONDS
        sources = self._sources(program)
        try:
            found = await read_agreed(self._nodes, sources)
        except (ValueError, VenueError) as error:
            # Nodes that disagree are behind each other for a moment. One that lies must not stop a venue.
            self._report(venue, program, str(error))
            return
        try:
            sha256 = read_program(program, sources, found).sha256
        except ValueError as error:
            # All nodes show it: the program was closed, or moved to a loader that is not known here.
            self._report(venue, program, str(error))
            # Nothing to be accepted at first sight.
            if not is_known:
                return
            sha256 = ""
        mark = _mark(sources, dict(zip(sources, found, strict=True)))
        slot = deployment_slot(found)
        await self._record.seen(
            self._genesis, Deployment(venue=venue, program=program, sha256=sha256, mark=mark, slot=slot)
        )
        self._again_at.pop(program, None)
        if sha256:
            self._troubles.pop(program, None)

    def _report(self, venue: str, program: str, why: str) -> None:
        # One line, however often it is tried again.
        if self._troubles.get(program) != why:
            self._troubles[program] = why
            self._observer.deployment_unknown(venue, program, why)


def _code_account(program: Account) -> str | None:
    try:
        return code_account(program)
    except ValueError:
        return None


def _mark(sources: tuple[str, ...], accounts: Mapping[str, Account | None]) -> str:
    return hashlib.sha256(b"|".join(marks([accounts[source] for source in sources]))).hexdigest()

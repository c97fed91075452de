"""The record of programs in memory, as `dexexec.store.ProgramVersions` keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from dexexec.domain.program_version import Deployment, Quarantine
from dexexec.errors import UnavailableError


@dataclass
class _Row:
    deployment: Deployment
    accepted: str
    since: datetime
    difference: str = ""


@dataclass
class MemoryProgramVersions:
    """While `down`, nothing can be read or written."""

    rows: dict[tuple[str, str, str], _Row] = field(default_factory=dict)
    down: bool = False

    async def marks(self, genesis: str) -> dict[tuple[str, str], str]:
        self._reach()
        return {
            (venue, program): row.deployment.mark
            for (chain, venue, program), row in self.rows.items()
            if chain == genesis
        }

    async def seen(self, genesis: str, deployment: Deployment) -> None:
        self._reach()
        key = (genesis, deployment.venue, deployment.program)
        row = self.rows.get(key)
        if row is None:
            self.rows[key] = _Row(deployment, deployment.sha256, datetime.now(UTC))
        elif deployment.slot >= row.deployment.slot or not deployment.sha256:
            if deployment.sha256 != row.deployment.sha256:
                row.since = datetime.now(UTC)
                row.difference = ""
            row.deployment = replace(deployment, slot=max(deployment.slot, row.deployment.slot))

    async def quarantines(self) -> list[Quarantine]:
        self._reach()
        return [
            Quarantine(
                genesis=genesis,
                venue=venue,
                program=program,
                sha256=row.deployment.sha256,
                slot=row.deployment.slot,
                since=row.since,
                difference=row.difference,
            )
            for (genesis, venue, program), row in sorted(self.rows.items(), key=lambda one: (*one[0][1:], one[0][0]))
            if row.deployment.sha256 != row.accepted
        ]

    async def accept(self, quarantine: Quarantine, by: str) -> bool:
        self._reach()
        row = self._quarantined(quarantine)
        if row is None:
            return False
        self._accept(row)
        return True

    async def accept_all(self, venue: str, by: str) -> Sequence[tuple[str, str]] | None:
        self._reach()
        rows = {program: row for (_, name, program), row in self.rows.items() if name == venue}
        if not rows:
            return None
        ended = [(program, row) for program, row in rows.items() if row.accepted != row.deployment.sha256]
        for _, row in ended:
            self._accept(row)
        return [(program, row.accepted) for program, row in ended]

    async def differ(self, quarantine: Quarantine, difference: str) -> None:
        self._reach()
        if (row := self._quarantined(quarantine)) is not None:
            row.difference = difference

    def _quarantined(self, quarantine: Quarantine) -> _Row | None:
        row = self.rows.get((quarantine.genesis, quarantine.venue, quarantine.program))
        is_same = row is not None and row.deployment.sha256 == quarantine.sha256 != row.accepted
        return row if is_same else None

    def _accept(self, row: _Row) -> None:
        row.accepted = row.deployment.sha256
        row.difference = ""

    def _reach(self) -> None:
        if self.down:
            raise UnavailableError("down")

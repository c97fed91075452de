"""The deployed code of a venue's programs, and the quarantine of a venue whose program has changed."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The code of a program as the cluster shows it.

    `sha256` is that of the code, empty if there is none any more. `mark` changes with each upgrade, and costs little to
    read. `slot` is that of the deployment, 0 for a program that cannot be upgraded.
    """

    venue: str
    program: str
    sha256: str
    mark: str
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A venue gets no orders since `since`, because `program` has other code (`sha256`) than the one that was accepted.
    `difference` is what simulated swaps showed, empty before they did."""

    genesis: str
    venue: str
    program: str
    sha256: str
    slot: int
    since: datetime
    difference: str = ""

    @property
    def detail(self) -> str:
        """The reason, for people."""
        what = f"was upgraded in slot {self.slot}" if self.slot else "has other code than before"
        if not self.sha256:
            what = "has no code any more"
        waits = self.difference or "simulated swaps have not confirmed its quotes yet"
        return f"its program {self.program} {what}: {waits}"

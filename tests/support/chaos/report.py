"""What a soak did, and what became of the orders."""

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Report:
    """What was done, and what became of the orders."""

    seed: int
    seconds: float
    faults: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    events: int = 0
    closes: int = 0
    landings: int = 0
    failures: int = 0
    """Transactions that the chain shows as failed."""
    unlanded: int = 0
    """Times that an order was confirmed and the chain took its swap back."""
    conserved: str = ""
    doubles: int = 0
    lost: int = 0
    gone: int = 0
    """Orders that Postgres lost with its last commits, and that had not swapped."""
    restored: int = 0
    """Orders that it lost, and that came back from the chain."""
    healing: float = 0.0
    longest: float = 0.0
    """From the acceptance of an order to its end, seconds."""
    recovery: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.problems or self.doubles or self.lost)

    def text(self) -> str:
        """For people."""
        median = statistics.median(self.recovery) if self.recovery else 0.0
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s of faults: {_counted(self.faults)}",
            f"starts that failed while a server was down: {_counted(self.starts)}",
            f"orders {self.orders} ({_counted(self.statuses)}), landings {self.landings}, doubles {self.doubles},"
            f" lost {self.lost}",
            *(self._of_the_localnet() if self.conserved else ()),
            f"events seen {self.events}, over {self.closes} cut or abandoned sockets",
            f"all terminal {self.healing:.1f} s after healing; the longest way of an order took {self.longest:.1f} s",
            f"orders of a killed worker moved again after p50 {median:.2f} s, max {max(self.recovery, default=0):.2f} s"
            f" ({len(self.recovery)} orders)",
            *(f"BROKEN: {problem}" for problem in self.problems),
            "clean" if self.clean else "NOT CLEAN",
        ]
        return "\n".join(lines)

    def _of_the_localnet(self) -> list[str]:
        return [
            f"failed on chain {self.failures}, confirmed and taken back {self.unlanded}, {self.conserved}",
            f"lost with the last commits and gone {self.gone}, back from the chain {self.restored}",
        ]


def _counted(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items())) or "none"

"""A halt: nothing is signed for a key, or for all, until it is resumed. Values and sentences, pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from dexexec.domain.event import timestamp

EVERYBODY = 0
"""Instead of a key's number: the halt is for all orders, also for those without a key."""


@dataclass(frozen=True, slots=True)
class Halt:
    """Since when nothing is signed for `owner`, and the operator's reason."""

    owner: int
    since: datetime
    reason: str = ""

    def covers(self, owner: int | None) -> bool:
        """Whether the halt is for the orders of `owner` (None: orders without a key)."""
        return self.owner in (EVERYBODY, owner)

    @property
    def detail(self) -> str:
        """The sentence for clients."""
        whom = "this service" if self.owner == EVERYBODY else "this key"
        why = f": {self.reason}" if self.reason else ""
        return f"signing is halted for {whom} since {timestamp(self.since)}{why}"


def halt_of(halts: Iterable[Halt], owner: int | None) -> Halt | None:
    """The halt that keeps orders of `owner` from being signed; None if none does."""
    # A key that is halted by itself and with all others waits for the end of both.
    # Everybody's first: it is the one to resume before the key's own makes a difference.
    return min((halt for halt in halts if halt.covers(owner)), key=lambda halt: halt.owner, default=None)


class NoHalts:
    """No halts: for parts that are tested without a record of them."""

    def of(self, _owner: int | None) -> Halt | None:
        """Returns None."""
        return None

    def all(self) -> Iterable[Halt]:
        """Returns nothing."""
        return ()


NO_HALTS = NoHalts()

"""Tracks the slots of the nodes' answers, so that a stale answer is recognized."""

from dexexec.clock import Clock
from dexexec.domain.pace import Pace
from dexexec.domain.swap import ALLOWANCE, SLOTS_PER_SECOND
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_trust import REMEMBERED


class SlotTracker:
    """The highest confirmed slot that each node reported lately."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reported: dict[Node, tuple[int, float]] = {}

    def note(self, node: Node, slot: int) -> None:
        """Records that a node answered as of `slot`."""
        now = self._clock.monotonic()
        highest, at = self._reported.get(node, (0, now))
        # A slot that the time since does not explain is not recorded: it would make every other answer look stale.
        plausible = highest + ALLOWANCE + (now - at) * SLOTS_PER_SECOND
        if node not in self._reported or now - at > REMEMBERED or highest <= slot <= plausible:
            self._reported[node] = (slot, now)

    def of(self, node: Node) -> int:
        """The highest slot that this node reported lately; 0 without one."""
        slot, at = self._reported.get(node, (0, 0.0))
        return slot if self._clock.monotonic() - at <= REMEMBERED else 0

    def best(self) -> int:
        """The slot that answers are compared with."""
        return _agreed([self.of(node) for node in self._reported])

    def now(self, pace: Pace) -> int:
        """The newest slot by the last answers and the time since; 0 without one. An estimate, for figures only."""
        now = self._clock.monotonic()
        recent = [(slot, now - at) for slot, at in self._reported.values() if now - at <= REMEMBERED]
        return _agreed([slot + int(pace.slots(age)) for slot, age in recent])

    def behind(self, slot: int) -> int:
        """How many slots behind the best an answer is."""
        return max(0, self.best() - slot)


def _agreed(found: list[int]) -> int:
    slots = sorted(found, reverse=True)
    # One node may be wrong: of three or more the second highest counts, of two that are far apart the lower one.
    if len(slots) > 1 and (len(slots) > 2 or slots[0] - slots[1] > ALLOWANCE):
        return slots[1]
    return slots[0] if slots else 0

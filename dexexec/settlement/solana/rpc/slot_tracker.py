"""How far the nodes are by the slots of their answers, so that a stale answer is known for one."""

from dexexec.clock import Clock
from dexexec.domain.swap import ALLOWANCE, SLOTS_PER_SECOND
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_trust import REMEMBERED


class SlotTracker:
    """The highest confirmed slot that each node told lately. One that no time explains is not noted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[Node, tuple[int, float]] = {}

    def note(self, node: Node, slot: int) -> None:
        """A node answers as of `slot`."""
        now = self._clock.monotonic()
        highest, at = self._told.get(node, (0, now))
        most = highest + ALLOWANCE + (now - at) * SLOTS_PER_SECOND
        if node not in self._told or now - at > REMEMBERED or highest <= slot <= most:
            self._told[node] = (slot, now)

    def of(self, node: Node) -> int:
        """The highest that this node told lately; 0 if it told none."""
        slot, at = self._told.get(node, (0, 0.0))
        return slot if self._clock.monotonic() - at <= REMEMBERED else 0

    def best(self) -> int:
        """The highest that any node told lately; of three and more the second highest, as one may be wrong. So may one
        of two that are far apart: then the lower one counts."""
        told = sorted((self.of(node) for node in self._told), reverse=True)
        if len(told) > 1 and (len(told) > 2 or told[0] - told[1] > ALLOWANCE):
            return told[1]
        return told[0] if told else 0

    def behind(self, slot: int) -> int:
        """How many slots an answer of now is behind the best."""
        return max(0, self.best() - slot)

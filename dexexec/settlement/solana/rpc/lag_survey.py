"""Who keeps up with the others, by what the nodes answer to one method: all are asked now and then, one in between."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dexexec.clock import Clock
from dexexec.domain.swap import ALLOWANCE
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_trust import NO_WEIGHT, REMEMBERED, STUCK, NodeWeight, compare_heights


@dataclass(slots=True)
class _Told:
    """A height that a node told, when first and when last (monotonic seconds)."""

    height: int
    first: float
    last: float


class LagSurvey:
    """The heights that nodes told for `method`. `lag`: blocks by which a node may be behind."""

    def __init__(self, method: str, clock: Clock, lag: int) -> None:
        self.method = method
        self._clock, self._lag = clock, lag
        self._told: dict[Node, _Told] = {}
        self._at = float("-inf")

    def is_due(self, seconds: float) -> bool:
        """Whether all nodes were last asked so long ago."""
        return self._clock.monotonic() >= self._at + seconds

    def begin(self) -> None:
        """All nodes are asked now."""
        self._at = self._clock.monotonic()

    def note(self, node: Node, height: int) -> None:
        """A node tells a height."""
        now, told = self._clock.monotonic(), self._told.get(node)
        if told is not None and told.height == height:
            told.last = now
        else:
            self._told[node] = _Told(height, now, now)

    def weigh(self, nodes: Iterable[Node]) -> dict[Node, NodeWeight]:
        """What those who told a height just now count, beside what the others told lately."""
        now = self._clock.monotonic()
        lately = {node: told for node, told in self._told.items() if now - told.last <= REMEMBERED}
        best = max((told.height for told in lately.values()), default=0)
        moving = {
            node: told.height
            for node, told in lately.items()
            if best - told.height <= ALLOWANCE or told.last - told.first < STUCK
        }
        asked = set(nodes)
        silent = [height for node, height in moving.items() if node not in asked]
        weights = compare_heights({node: height for node, height in moving.items() if node in asked}, silent, self._lag)
        stuck = {
            node: replace(NO_WEIGHT, behind=best - lately[node].height, stuck=True) for node in asked - weights.keys()
        }
        return weights | stuck

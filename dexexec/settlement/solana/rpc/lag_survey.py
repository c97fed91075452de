"""Finds the nodes that lag, by the heights that they report for one method."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dexexec.clock import Clock
from dexexec.domain.swap import ALLOWANCE
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_trust import NO_WEIGHT, REMEMBERED, STUCK, NodeWeight, compare_heights


@dataclass(slots=True)
class _ReportedHeight:
    """A height, and when a node first and last reported it (monotonic seconds)."""

    height: int
    first: float
    last: float


class LagSurvey:
    """The heights that nodes report for `method`. `max_lag`: blocks by which a node may be behind."""

    def __init__(self, method: str, clock: Clock, max_lag: int) -> None:
        self.method = method
        self._clock = clock
        self._max_lag = max_lag
        self._reported: dict[Node, _ReportedHeight] = {}
        self._began_at = float("-inf")

    def is_due(self, seconds: float) -> bool:
        """Whether the last survey of all nodes began at least `seconds` ago."""
        return self._clock.monotonic() >= self._began_at + seconds

    def begin(self) -> None:
        """Records the start of a survey of all nodes."""
        self._began_at = self._clock.monotonic()

    def note(self, node: Node, height: int) -> None:
        """Records the height that a node reports."""
        now = self._clock.monotonic()
        reported = self._reported.get(node)
        if reported is not None and reported.height == height:
            reported.last = now
        else:
            self._reported[node] = _ReportedHeight(height, now, now)

    def weigh(self, nodes: Iterable[Node]) -> dict[Node, NodeWeight]:
        """The weight of each of `nodes`, which have just reported, compared with recent reports of the others."""
        now = self._clock.monotonic()
        recent = {node: reported for node, reported in self._reported.items() if now - reported.last <= REMEMBERED}
        best = max((reported.height for reported in recent.values()), default=0)
        # A height that is far behind and does not move is no height to compare with.
        moving = {
            node: reported.height
            for node, reported in recent.items()
            if best - reported.height <= ALLOWANCE or reported.last - reported.first < STUCK
        }
        answering = set(nodes)
        silent = [height for node, height in moving.items() if node not in answering]
        heights = {node: height for node, height in moving.items() if node in answering}
        weights = compare_heights(heights, silent, self._max_lag)
        stuck = {
            node: replace(NO_WEIGHT, behind=best - recent[node].height, stuck=True)
            for node in answering - weights.keys()
        }
        return weights | stuck

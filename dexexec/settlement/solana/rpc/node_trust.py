"""Which nodes are believed: what they tell of slots and heights, checked before anything rests on it. Asks nobody.

A false height is a false proof of expiry, and that is a second swap. So what a node tells is compared with what else it
tells, with what it told before and the time since, and with the other nodes. A node whose numbers contradict each
other proves nothing until they have agreed for a while; what it knows of a signature still counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.swap import ALLOWANCE, SLOTS_PER_SECOND
from dexexec.settlement.solana.rpc.decode import ChainPosition
from dexexec.settlement.solana.rpc.node import Node

UNFINALIZED = 150
"""Blocks by which a tip is above the finalized height at most, unless another number of the node agrees with it."""
CALM = 10.0
"""Seconds without a contradiction until a node's numbers prove something again."""
PROBATION = 60.0
"""Seconds for which what a node tells must go on from a leap that time does not explain, until it is believed; and for
which a node must be far behind all others until proof does not wait for it any more."""
STUCK = 10.0
"""Seconds after which a height that does not move is no height to compare with."""
REMEMBERED = 60.0
"""Seconds for which a number counts that a node told and does not repeat."""


class TrustListener(Protocol):
    """Who is told, once per change."""

    def node_failed(self, node: str, why: str) -> None:
        """A node is not believed."""

    def node_recovered(self, node: str) -> None:
        """It is again."""


@dataclass(slots=True)
class _Told:
    """A position that a node told: when first (seconds, monotonic and Unix), and when last (monotonic)."""

    at: ChainPosition
    first: float
    first_unix: float
    last: float


@dataclass(slots=True)
class _Record:
    """What is known of a node. `finalized` is believed; `leapt` is where it claims to be since a leap; `tip` is the
    newest block that it told of, which a fork may have undone."""

    finalized: _Told | None = None
    leapt: _Told | None = None
    tip: ChainPosition | None = None
    fault: str = ""
    faulted: float = 0.0
    far_behind: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWeight:
    """What a node's answer counts among those of others.

    `counts`: proof waits for it. `keeps_up`: it is not `behind` (blocks). `stuck`: it is far behind and does not move.
    `undecided`: of two that are too far apart nobody knows which is wrong. `why` it is not believed.
    """

    counts: bool = True
    keeps_up: bool = True
    behind: int = 0
    stuck: bool = False
    undecided: bool = False
    why: str = ""


NO_WEIGHT = NodeWeight(counts=False, keeps_up=False)


class NodeTrust:
    """The records of all nodes. `lag`: blocks by which a node may be behind."""

    def __init__(self, clock: Clock, listener: TrustListener, lag: int) -> None:
        self._clock, self._listener, self._lag = clock, listener, lag
        self._records: dict[Node, _Record] = {}
        self._said: set[Node] = set()

    def fault(self, node: Node) -> str:
        """Why its heights prove nothing now; empty if they do."""
        return self._record(node).fault

    def finalized(self, node: Node) -> ChainPosition | None:
        """Where the node was last believed to be."""
        record = self._record(node)
        return record.finalized.at if record.finalized else None

    def is_known(self, node: Node) -> bool:
        """Whether its finalized position is known, and not from long ago."""
        told = self._record(node).finalized
        return told is not None and self._clock.monotonic() - told.last <= REMEMBERED / 2

    def judge(self, node: Node, epoch: ChainPosition, tip: ChainPosition | None = None) -> str:
        """Take note of a finalized position, and of the newest block (`tip`) if it was asked for after that; the fault
        of the node, if any. Without a tip, an epoch that nothing confirms is not believed yet, but no fault."""
        record = self._record(node)
        known = tip or record.tip
        why = _impossible(epoch, tip) or (_too_high(epoch, known) if known else "")
        if tip is not None and not why:
            record.tip = tip
        if not why and known is not None:
            why = self._goes_on(record, epoch)
        return self._note(node, record, why)

    def judge_tip(self, node: Node, tip: ChainPosition) -> str:
        """Why a newest block cannot be right, by the node's believed finalized position; empty if it can."""
        record = self._record(node)
        if record.finalized is None:
            return "its finalized height is not known"
        before = record.finalized.at
        why = _impossible(before, tip)
        most = UNFINALIZED + ALLOWANCE + self._pace(record.finalized)
        if not why and tip.height - before.height > most:
            why = f"its newest block has height {tip.height}, where it finalized {before.height} a moment ago"
        if not why:
            record.tip = tip
        return why

    def contradicts(self, node: Node, why: str) -> str:
        """Two numbers of the node do not agree; its fault."""
        return self._note(node, self._record(node), why)

    def weigh(self, answers: Sequence[tuple[Node, ChainPosition]]) -> dict[Node, NodeWeight]:
        """What the answer of each node counts, the others' considered: those of now, and what those who do not answer
        told lately."""
        now = self._clock.monotonic()
        heights = {node: epoch.height for node, epoch in answers if not self.fault(node)}
        silent = [
            record.finalized.at.height + self._pace(record.finalized)
            for node, record in self._records.items()
            if node not in dict(answers) and record.finalized and not record.fault
            and now - record.finalized.last <= REMEMBERED
        ]  # fmt: skip
        weights = compare_heights(heights, silent, self._lag)
        top, alone = max((*heights.values(), *silent), default=0), len(heights) + len(silent) < 3
        for node, _ in answers:
            record = self._record(node)
            if record.fault:
                weights[node] = replace(NO_WEIGHT, why=record.fault)
                continue
            weight, told = weights[node], record.finalized
            if told is not None and top - told.at.height > ALLOWANCE and told.last - told.first >= STUCK:
                weights[node] = weight = replace(weight, stuck=True)
            far = weight.behind > ALLOWANCE and not alone
            record.far_behind = (now if record.far_behind is None else record.far_behind) if far else None
            if record.far_behind is not None and now - record.far_behind >= PROBATION:
                why = f"is {weight.behind} blocks behind all others for {PROBATION:g} s"
                weights[node] = weight = replace(NO_WEIGHT, behind=weight.behind, stuck=weight.stuck, why=why)
            self._say(node, weight.why)
        return weights

    def _goes_on(self, record: _Record, epoch: ChainPosition) -> str:
        """Whether an epoch goes on from what was believed, or long enough from where the node claims to be since."""
        now, unix = self._clock.monotonic(), self._clock.unix_ms() / 1000
        why = self._leap(record.finalized, epoch) if record.finalized else ""
        if not why:
            record.leapt = None
            record.finalized = _moved(record.finalized, epoch, now, unix)
            return ""
        leapt = record.leapt
        if leapt is None or self._leap(leapt, epoch):
            record.leapt = _Told(epoch, now, unix, now)
        elif now - leapt.first >= PROBATION:
            record.finalized, record.leapt = _Told(epoch, now, unix, now), None
            return ""
        return why

    def _leap(self, before: _Told, epoch: ChainPosition) -> str:
        """What is wrong with telling `epoch` now, where the node was at `before`."""
        sooner, later = sorted((before.at, epoch), key=lambda one: (one.slot, one.height))
        if not _goes_together(sooner, later):
            return f"finalized height {epoch.height} in slot {epoch.slot}, and {before.at.height} in {before.at.slot}"
        most = ALLOWANCE + self._pace(before)
        if epoch.slot - before.at.slot > most:
            return f"leapt from slot {before.at.slot} to {epoch.slot}, where time allows {most} slots"
        return ""

    def _pace(self, since: _Told) -> int:
        """Slots that time allows since. The later of both clocks counts: a machine that sleeps stops one of them."""
        now, unix = self._clock.monotonic(), self._clock.unix_ms() / 1000
        return round(max(now - since.first, unix - since.first_unix, 0.0) * SLOTS_PER_SECOND)

    def _note(self, node: Node, record: _Record, why: str) -> str:
        now = self._clock.monotonic()
        if why:
            record.fault, record.faulted = why, now
        elif record.fault and now - record.faulted >= CALM:
            record.fault = ""
        self._say(node, f"contradicts itself: {record.fault}" if record.fault else "")
        return record.fault

    def _say(self, node: Node, why: str) -> None:
        """Once, until the node is believed again. Numbers in the words change all the time."""
        if why and node not in self._said:
            self._said.add(node)
            self._listener.node_failed(node.name, f"{why}: what it tells proves nothing until that has passed")
        elif not why and node in self._said:
            self._said.remove(node)
            self._listener.node_recovered(node.name)

    def _record(self, node: Node) -> _Record:
        return self._records.setdefault(node, _Record())


def compare_heights(heights: Mapping[Node, int], silent: Sequence[int], lag: int) -> dict[Node, NodeWeight]:
    """What the heights of several nodes count beside each other. `silent` are heights of nodes that do not answer.

    The second highest is the measure where there are three: so that one node alone neither sets it nor makes the others
    look behind. Of two that are too far apart nobody knows which is wrong: both count, so that the lower one decides.
    """
    everyone = sorted((*heights.values(), *silent), reverse=True)
    if len(everyone) < 2:
        return {node: NodeWeight() for node in heights}
    apart, crowd = everyone[0] - everyone[1] > ALLOWANCE, len(everyone) > 2
    measure = everyone[1] if apart or crowd else everyone[0]
    found = {}
    for node, height in heights.items():
        ahead = apart and height == everyone[0]
        counts = not ahead or not (crowd or silent)
        behind = max(0, measure - height)
        why = f"tells height {height}, where {'others tell' if crowd else 'another one tells'} {measure}"
        found[node] = NodeWeight(
            counts=counts,
            keeps_up=counts and behind <= lag,
            behind=behind,
            undecided=apart and not crowd,
            why=why if ahead else "",
        )
    return found


def _impossible(epoch: ChainPosition, tip: ChainPosition | None) -> str:
    """What no chain can be, by two positions that one node told, the finalized one first."""
    if epoch.height > epoch.slot:
        return f"height {epoch.height} is above its slot {epoch.slot}"
    if tip is None:
        return ""
    if tip.slot < epoch.slot:
        return f"its newest block is of slot {tip.slot}, before the finalized slot {epoch.slot}"
    if not _goes_together(epoch, tip):
        return (
            f"finalized height {epoch.height} in slot {epoch.slot}, and by its newest blockhash"
            f" height {tip.height} in slot {tip.slot}"
        )
    return ""


def _too_high(epoch: ChainPosition, tip: ChainPosition) -> str:
    """Whether a finalized height is above what a newest block told before allows. That one may be of a fork."""
    if epoch.height <= tip.height + max(0, epoch.slot - tip.slot):
        return ""
    return (
        f"finalized height {epoch.height} in slot {epoch.slot}, where its newest block had {tip.height} in {tip.slot}"
    )


def _goes_together(sooner: ChainPosition, later: ChainPosition) -> bool:
    """Whether both can be of one chain: a slot brings one block or none."""
    return 0 <= later.height - sooner.height <= later.slot - sooner.slot


def _moved(told: _Told | None, epoch: ChainPosition, now: float, unix: float) -> _Told:
    if told is None or epoch.slot > told.at.slot:
        return _Told(epoch, now, unix, now)
    told.last = now
    return told

"""Judges which nodes are believed, by the slots and heights that they report. Sends nothing itself.

A false height is a false proof of expiry, and that allows a second swap. So a node's numbers are compared with each
other, with its earlier numbers and the time since, and with those of other nodes. A node whose numbers contradict each
other proves nothing until they have agreed for a while; a signature that it has still counts. See ADR 11.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.swap import ALLOWANCE, SLOTS_PER_SECOND
from dexexec.settlement.solana.rpc.decode.blocks import ChainPosition
from dexexec.settlement.solana.rpc.node import Node

UNFINALIZED = 150
"""Blocks by which a tip may be above the finalized height, unless another number of the node agrees with it."""
CALM = 10.0
"""Seconds without a contradiction before a node's numbers prove something again."""
PROBATION = 60.0
"""Seconds for which a node's numbers must continue from a leap that time does not explain before it is believed; and
for which a node must be far behind all others before proofs stop waiting for it."""
STUCK = 10.0
"""Seconds after which a height that does not move is no height to compare with."""
REMEMBERED = 60.0
"""Seconds for which a reported number counts if the node does not report it again."""


class TrustListener(Protocol):
    """Receives changes in whether a node is believed, each one once."""

    def node_failed(self, node: str, why: str) -> None:
        """A node is not believed."""

    def node_recovered(self, node: str) -> None:
        """A node is believed again."""


@dataclass(slots=True)
class _ReportedPosition:
    """A position that a node reported: when first (seconds, monotonic and Unix) and when last (monotonic)."""

    position: ChainPosition
    first: float
    first_unix: float
    last: float


@dataclass(slots=True, kw_only=True)
class _Record:
    """What is remembered of a node.

    `finalized` is believed. `leapt` is where the node claims to be since a leap. `tip` is the newest block that it
    reported, which a fork may have removed.
    """

    finalized: _ReportedPosition | None = None
    leapt: _ReportedPosition | None = None
    tip: ChainPosition | None = None
    fault: str = ""
    faulted_at: float = 0.0
    far_behind_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWeight:
    """What a node's answer counts for beside the others'.

    `counts`: a proof waits for it. `keeps_up`: it is not `behind` (blocks). `stuck`: it is far behind and does not
    move. `undecided`: it is one of two that are too far apart to decide which is wrong. `why` it is not believed.
    """

    counts: bool = True
    keeps_up: bool = True
    behind: int = 0
    stuck: bool = False
    undecided: bool = False
    why: str = ""


NO_WEIGHT = NodeWeight(counts=False, keeps_up=False)


class NodeTrust:
    """The records of all nodes. `max_lag`: blocks by which a node may be behind."""

    def __init__(self, clock: Clock, listener: TrustListener, max_lag: int) -> None:
        self._clock = clock
        self._listener = listener
        self._max_lag = max_lag
        self._records: dict[Node, _Record] = {}
        self._reported: set[Node] = set()

    def fault(self, node: Node) -> str:
        """Why the node's heights prove nothing now; empty if they do."""
        return self._record(node).fault

    def finalized(self, node: Node) -> ChainPosition | None:
        """The last believed position of the node."""
        record = self._record(node)
        return record.finalized.position if record.finalized else None

    def is_known(self, node: Node) -> bool:
        """Whether a recent position of the node is believed."""
        reported = self._record(node).finalized
        return reported is not None and self._clock.monotonic() - reported.last <= REMEMBERED / 2

    def judge(self, node: Node, position: ChainPosition, tip: ChainPosition | None = None) -> str:
        """Records a finalized position, and the newest block (`tip`) if it was read after that.

        Returns the node's fault, if any. Without a tip, a position that nothing confirms is no fault, and is not
        believed yet either.
        """
        record = self._record(node)
        known_tip = tip or record.tip
        why = _impossible(position, tip) or (_too_high(position, known_tip) if known_tip else "")
        if tip is not None and not why:
            record.tip = tip
        if not why and known_tip is not None:
            why = self._continue(record, position)
        return self._note(node, record, why)

    def judge_tip(self, node: Node, tip: ChainPosition) -> str:
        """Why a newest block contradicts the node's believed finalized position; empty if it does not."""
        record = self._record(node)
        if record.finalized is None:
            return "its finalized height is not known"
        before = record.finalized.position
        why = _impossible(before, tip)
        allowed = UNFINALIZED + ALLOWANCE + self._slots_since(record.finalized)
        if not why and tip.height - before.height > allowed:
            why = f"its newest block has height {tip.height}, and a moment ago it had finalized only {before.height}"
        if not why:
            record.tip = tip
        return why

    def contradicts(self, node: Node, why: str) -> str:
        """Records that two of the node's numbers do not agree. Returns its fault."""
        return self._note(node, self._record(node), why)

    def weigh(self, answers: Sequence[tuple[Node, ChainPosition]]) -> dict[Node, NodeWeight]:
        """The weight of each node's answer, compared with the other answers and with recent positions of silent
        nodes."""
        now = self._clock.monotonic()
        heights = {node: position.height for node, position in answers if not self.fault(node)}
        answering = dict(answers)
        # A silent node has moved on since its last report, about as fast as the chain.
        silent = [
            record.finalized.position.height + self._slots_since(record.finalized)
            for node, record in self._records.items()
            if node not in answering and record.finalized and not record.fault
            and now - record.finalized.last <= REMEMBERED
        ]  # fmt: skip
        weights = compare_heights(heights, silent, self._max_lag)
        top = max((*heights.values(), *silent), default=0)
        # Of two nodes neither is left out for being behind: the other one may be the wrong one.
        few = len(heights) + len(silent) < 3
        for node, _ in answers:
            record = self._record(node)
            if record.fault:
                weights[node] = replace(NO_WEIGHT, why=record.fault)
                continue
            weight = weights[node]
            reported = record.finalized
            if (
                reported is not None
                and top - reported.position.height > ALLOWANCE
                and reported.last - reported.first >= STUCK
            ):
                weight = replace(weight, stuck=True)
            if weight.behind <= ALLOWANCE or few:
                record.far_behind_since = None
            elif record.far_behind_since is None:
                record.far_behind_since = now
            if record.far_behind_since is not None and now - record.far_behind_since >= PROBATION:
                why = f"is {weight.behind} blocks behind all others for {PROBATION:g} s"
                weight = replace(NO_WEIGHT, behind=weight.behind, stuck=weight.stuck, why=why)
            weights[node] = weight
            self._report(node, weight.why)
        return weights

    def _continue(self, record: _Record, position: ChainPosition) -> str:
        """Why a position does not continue the believed one; empty if it does, or has continued a leap long enough."""
        now = self._clock.monotonic()
        unix = self._clock.unix_ms() / 1000
        why = self._leap(record.finalized, position) if record.finalized else ""
        if not why:
            record.leapt = None
            record.finalized = _moved(record.finalized, position, now, unix)
            return ""
        leapt = record.leapt
        if leapt is None or self._leap(leapt, position):
            record.leapt = _ReportedPosition(position, now, unix, now)
        elif now - leapt.first >= PROBATION:
            # All its numbers have agreed for a minute. Otherwise a node that was reset could never be used again.
            record.finalized = _ReportedPosition(position, now, unix, now)
            record.leapt = None
            return ""
        return why

    def _leap(self, before: _ReportedPosition, position: ChainPosition) -> str:
        """Why `position` cannot follow `before` on one chain in the time since; empty if it can."""
        # Behind one address an older node may answer later, so the two are compared in the order of their slots.
        sooner, later = sorted((before.position, position), key=lambda one: (one.slot, one.height))
        if not _fits_one_chain(sooner, later):
            return (
                f"finalized height {position.height} in slot {position.slot},"
                f" and {before.position.height} in {before.position.slot}"
            )
        allowed = ALLOWANCE + self._slots_since(before)
        if position.slot - before.position.slot > allowed:
            return f"leapt from slot {before.position.slot} to {position.slot}, where time allows {allowed} slots"
        return ""

    def _slots_since(self, reported: _ReportedPosition) -> int:
        """The slots that fit into the time since a report."""
        # The later of both clocks counts: while the machine sleeps, the monotonic one may stop.
        elapsed = self._clock.monotonic() - reported.first
        elapsed_unix = self._clock.unix_ms() / 1000 - reported.first_unix
        return round(max(elapsed, elapsed_unix, 0.0) * SLOTS_PER_SECOND)

    def _note(self, node: Node, record: _Record, why: str) -> str:
        now = self._clock.monotonic()
        if why:
            record.fault = why
            record.faulted_at = now
        elif record.fault and now - record.faulted_at >= CALM:
            record.fault = ""
        self._report(node, f"contradicts itself: {record.fault}" if record.fault else "")
        return record.fault

    def _report(self, node: Node, why: str) -> None:
        """Reports a fault once, until the node is believed again: the numbers in `why` change with each answer."""
        if why and node not in self._reported:
            self._reported.add(node)
            self._listener.node_failed(node.name, f"{why}: its numbers prove nothing until that has passed")
        elif not why and node in self._reported:
            self._reported.remove(node)
            self._listener.node_recovered(node.name)

    def _record(self, node: Node) -> _Record:
        return self._records.setdefault(node, _Record())


def compare_heights(heights: Mapping[Node, int], silent: Sequence[int], max_lag: int) -> dict[Node, NodeWeight]:
    """The weights of nodes by their heights. `silent` are heights of nodes that do not answer now."""
    everyone = sorted((*heights.values(), *silent), reverse=True)
    if len(everyone) < 2:
        return {node: NodeWeight() for node in heights}
    apart = everyone[0] - everyone[1] > ALLOWANCE
    crowd = len(everyone) > 2
    # Of three or more the second highest is the measure: no single node sets it, or makes the others look behind.
    measure = everyone[1] if apart or crowd else everyone[0]
    weights = {}
    for node, height in heights.items():
        ahead = apart and height == everyone[0]
        # Of two that both answer, one of which is wrong, both count: then the lower height decides.
        counts = not ahead or not (crowd or silent)
        behind = max(0, measure - height)
        why = f"reports height {height}, where {'others report' if crowd else 'another node reports'} {measure}"
        weights[node] = NodeWeight(
            counts=counts,
            keeps_up=counts and behind <= max_lag,
            behind=behind,
            undecided=apart and not crowd,
            why=why if ahead else "",
        )
    return weights


def _impossible(position: ChainPosition, tip: ChainPosition | None) -> str:
    """Why a finalized position and a later reported tip cannot be of one chain; empty if they can."""
    if position.height > position.slot:
        return f"height {position.height} is above its slot {position.slot}"
    if tip is None:
        return ""
    if tip.slot < position.slot:
        return f"its newest block is of slot {tip.slot}, before the finalized slot {position.slot}"
    if not _fits_one_chain(position, tip):
        return (
            f"finalized height {position.height} in slot {position.slot}, and by its newest blockhash"
            f" height {tip.height} in slot {tip.slot}"
        )
    return ""


def _too_high(position: ChainPosition, tip: ChainPosition) -> str:
    """Why a finalized height is above what an earlier tip allows; empty if it is not."""
    # The tip may be of a fork, so the position may also be below it.
    if position.height <= tip.height + max(0, position.slot - tip.slot):
        return ""
    return (
        f"finalized height {position.height} in slot {position.slot},"
        f" where its newest block had {tip.height} in {tip.slot}"
    )


def _fits_one_chain(sooner: ChainPosition, later: ChainPosition) -> bool:
    """Whether both can be of one chain, where each slot adds one block or none."""
    return 0 <= later.height - sooner.height <= later.slot - sooner.slot


def _moved(reported: _ReportedPosition | None, position: ChainPosition, now: float, unix: float) -> _ReportedPosition:
    if reported is None or position.slot > reported.position.slot:
        return _ReportedPosition(position, now, unix, now)
    reported.last = now
    return reported

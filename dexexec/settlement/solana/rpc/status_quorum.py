"""Decides what several nodes' answers about a signature prove together. Pure.

One node that has a signature is enough to find it. That no node has it is proof only if every node with a believed
height agrees. That a landing is final ends an order or allows another swap, so more nodes must confirm it than deny it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dexexec.domain.swap import NotSeen, Unavailable
from dexexec.settlement.solana.rpc.decode.blocks import ChainPosition
from dexexec.settlement.solana.rpc.decode.statuses import COMMITMENTS, ReportedStatus, ReportedStatuses
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_trust import NodeWeight

CONFIRMED = COMMITMENTS.index("confirmed")
FINALIZED = COMMITMENTS.index("finalized")
RECENT_SLOTS = 150
"""Slots for which every node has a landed signature, also a node without a history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnswer:
    """What one node answered.

    `position` is its finalized position before the lookup and `weight` what its not having a signature counts for.
    A part without an answer is empty; `failure` is then the reason.
    """

    node: Node
    position: ChainPosition | None
    weight: NodeWeight
    reported: ReportedStatuses | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A node has the signature.

    `final`: it cannot be undone. `overdue`: by the node's own finalized slot it should be final, and is not.
    `denied_by`: nodes that do not have it and should. `disputed`: more nodes deny it than confirm it.
    """

    node: Node
    status: ReportedStatus
    final: bool = False
    overdue: bool = False
    denied_by: frozenset[Node] = frozenset()
    disputed: bool = False

    @property
    def landing(self) -> tuple[int, bool]:
        """The slot in which it landed, and whether it failed there."""
        return self.status.slot, self.status.failed


LookupResult = Found | NotSeen | Unavailable


def answer_of_node(answer: NodeAnswer, index: int, *, history: bool) -> LookupResult:
    """What one node's answer means for the signature at `index`. `history`: the whole history was searched."""
    node = answer.node
    position = answer.position
    if answer.reported is None:
        return Unavailable(f"{node.name} does not answer")
    status = answer.reported.statuses[index]
    if status is not None:
        # Final only if the node itself had finalized that slot before. The next lookup will find it so.
        past = position is not None and status.slot <= position.slot
        final = past and status.commitment == FINALIZED
        return Found(node=node, status=status, final=final, overdue=past and not final)
    # The recent statuses of a lagging node prove nothing, but its history up to a believed height does.
    if position is None or not (answer.weight.counts if history else answer.weight.keeps_up):
        return Unavailable(f"{node.name} does not have it, and {answer.weight.why or 'lags behind'}")
    # Several nodes may share one address: the one that looked must have reached the slot of the one that returned the
    # height.
    if answer.reported.slot < position.slot:
        return Unavailable(
            f"{node.name} looked as of slot {answer.reported.slot}, before its finalized slot {position.slot}"
        )
    return NotSeen(position.height, history, node.name, answer.reported.slot)


def combine_answers(
    answers: Sequence[NodeAnswer], index: int, denied_before: frozenset[Node] = frozenset()
) -> LookupResult:
    """What the answers of all nodes, each from its whole history, mean together for the signature at `index`.

    `denied_before` are nodes that did not have the signature when they should have had it.
    """
    results = {
        answer.node: (answer, answer_of_node(answer, index, history=True))
        for answer in answers
        if answer.reported is not None
    }
    found = [result for _, result in results.values() if isinstance(result, Found)]
    if found:
        agreeing = Counter(result.landing for result in found)
        best = max(found, key=lambda result: (agreeing[result.landing], result.status.commitment))
        others = [result for node, result in results.items() if node is not best.node]
        return _weigh_landing(best, others, denied_before)
    counted = [(answer, result) for answer, result in results.values() if answer.weight.counts]
    unavailable = [result for _, result in counted if isinstance(result, Unavailable)]
    unseen = [result for _, result in counted if isinstance(result, NotSeen)]
    if unavailable:
        return unavailable[0]
    if not any(answer.weight.keeps_up for answer, _ in counted):
        return Unavailable(_failures(answers))
    names = ", ".join(result.node for result in unseen)
    # The lowest height decides: a height that is too high would be a false proof of expiry.
    return NotSeen(min(result.height for result in unseen), True, names, min(result.slot for result in unseen))


def _weigh_landing(
    best: Found, others: Sequence[tuple[NodeAnswer, LookupResult]], denied_before: frozenset[Node]
) -> LookupResult:
    """Decides whether a landing is final, given the other nodes' answers.

    It is final if more nodes confirm it than have another landing or deny it, and if not more nodes are past its slot
    without having it, since those may have no history.
    """
    # A node that is stuck far behind will never have it.
    others = [(answer, result) for answer, result in others if answer.weight.counts and not answer.weight.stuck]
    having = [result for _, result in others if isinstance(result, Found)]
    confirming = 1 + sum(result.final and result.landing == best.landing for result in having)
    contradicting = sum(result.overdue or result.landing != best.landing for result in having)
    missing = [answer for answer, result in others if not isinstance(result, Found) and _is_past(answer, best)]
    denying = frozenset(answer.node for answer in missing if _is_recent(answer, best) or answer.node in denied_before)
    # A node that keeps up and has not reached the slot will have it soon. After a failure another swap may follow, so a
    # lagging node is waited for as well: of two nodes, one may only seem to lag because of the other's false slots.
    failed = best.status.failed
    waits = confirming == 1 and any(
        (answer.weight.keeps_up or failed) and not _is_past(answer, best) for answer, _ in others
    )
    final = best.final and not waits and len(denying) + contradicting < confirming and len(missing) <= confirming
    return replace(best, final=final, denied_by=denying, disputed=len(denying) > confirming)


def _is_past(answer: NodeAnswer, found: Found) -> bool:
    return answer.position is not None and answer.position.slot >= found.status.slot


def _is_recent(answer: NodeAnswer, found: Found) -> bool:
    return answer.reported is not None and answer.reported.slot - found.status.slot <= RECENT_SLOTS


def _failures(answers: Sequence[NodeAnswer]) -> str:
    return "; ".join(
        answer.failure
        or f"{answer.node.name} {answer.weight.why or ('lags behind' if answer.reported else 'does not answer')}"
        for answer in answers
    )

"""What nodes say of a signature, alone and together: who is believed when they differ. Pure.

Knowing a signature counts whoever knows it. Not knowing it counts only where the node's heights are believed, and all
those nodes must agree. That a landing is final, or that it failed for good, ends an order or lets another swap be
signed: so it needs more nodes for it than against it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dexexec.domain.swap import NotSeen, Unavailable
from dexexec.settlement.solana.rpc.decode import COMMITMENTS, ChainPosition, ReportedStatus, ReportedStatuses
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_trust import NodeWeight

CONFIRMED, FINALIZED = COMMITMENTS.index("confirmed"), COMMITMENTS.index("finalized")
RECENT = 150
"""Slots for which every node knows what landed, also one without a history."""


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """A node, where it was before the look-up, and what it counts when it does not know; then what it answered. What
    it did not answer is None."""

    node: Node
    epoch: ChainPosition | None
    weight: NodeWeight
    sightings: ReportedStatuses | None = None
    silence: str = ""
    """Why it did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A node knows the signature.

    `final`: that cannot be undone. `overdue`: it should be final by now, and is not. `denied_by`: nodes that do not
    know it and had to; it is `doubtful` when those are more than know it.
    """

    node: Node
    sighting: ReportedStatus
    final: bool = False
    overdue: bool = False
    denied_by: frozenset[Node] = frozenset()
    doubtful: bool = False

    @property
    def landing(self) -> tuple[int, bool]:
        """Where it landed, and whether it failed there."""
        return self.sighting.slot, self.sighting.failed


LookupResult = Found | NotSeen | Unavailable


def answer_of_node(view: NodeAnswer, place: int, *, history: bool) -> LookupResult:
    """What one node says of a signature. With `history`, its whole history was searched."""
    node, epoch, sightings = view.node, view.epoch, view.sightings
    if sightings is None:
        return Unavailable(f"{node.name} does not answer")
    sighting = sightings.found[place]
    if sighting is not None:
        # Only where the node itself has finalized the slot. It told that before, so it may be the next look that finds
        # it so.
        past = epoch is not None and sighting.slot <= epoch.slot
        final = past and sighting.certainty == FINALIZED
        return Found(node=node, sighting=sighting, final=final, overdue=past and not final)
    if epoch is None or not (view.weight.counts if history else view.weight.keeps_up):
        return Unavailable(f"{node.name} does not know it, and {view.weight.why or 'lags behind'}")
    if sightings.slot < epoch.slot:
        return Unavailable(f"{node.name} looked as of slot {sightings.slot}, before its finalized slot {epoch.slot}")
    return NotSeen(epoch.height, history, node.name, sightings.slot)


def combine_answers(views: Sequence[NodeAnswer], place: int, denied: frozenset[Node] = frozenset()) -> LookupResult:
    """What all that answered say of one signature whose whole history they searched: of those who know it the surest,
    else the most careful one. `denied` are nodes that did not know it when they had to."""
    found = {
        view.node: (view, answer_of_node(view, place, history=True)) for view in views if view.sightings is not None
    }
    seen = [one for _, one in found.values() if isinstance(one, Found)]
    if seen:
        same = Counter(one.landing for one in seen)
        best = max(seen, key=lambda one: (same[one.landing], one.sighting.certainty))
        return _agreed(best, [one for node, one in found.items() if node is not best.node], denied)
    counted = [(view, one) for view, one in found.values() if view.weight.counts]
    doubts = [one for _, one in counted if isinstance(one, Unavailable)]
    unseen = [one for _, one in counted if isinstance(one, NotSeen)]
    if doubts:
        return doubts[0]
    if not any(view.weight.keeps_up for view, _ in counted):
        return Unavailable(_why_not(views))
    names = ", ".join(one.node for one in unseen)
    return NotSeen(min(one.height for one in unseen), True, names, min(one.slot for one in unseen))


def _agreed(best: Found, others: Sequence[tuple[NodeAnswer, LookupResult]], denied: frozenset[Node]) -> LookupResult:
    """What is left of a landing when the others are heard. It is final only if more nodes know it so than know it
    otherwise, or do not and had to, and if not more are past it without knowing it, who may have no history."""
    # One that stands still far behind will never have it.
    others = [(view, one) for view, one in others if view.weight.counts and not view.weight.stuck]
    knowing = [one for _, one in others if isinstance(one, Found)]
    for_it = 1 + sum(one.final and one.landing == best.landing for one in knowing)
    otherwise = sum(one.overdue or one.landing != best.landing for one in knowing)
    missing = [view for view, one in others if not isinstance(one, Found) and _is_past(view, best)]
    against = frozenset(view.node for view in missing if _is_recent(view, best) or view.node in denied)
    # Whoever keeps up and has not come to that slot yet soon will have. Another swap follows a failure: so it waits for
    # one that lags, too, which of two may only look so by the other one's slots.
    failed = best.sighting.failed
    waits = for_it == 1 and any((view.weight.keeps_up or failed) and not _is_past(view, best) for view, _ in others)
    final = best.final and not waits and len(against) + otherwise < for_it and len(missing) <= for_it
    return replace(best, final=final, denied_by=against, doubtful=len(against) > for_it)


def _is_past(view: NodeAnswer, seen: Found) -> bool:
    return view.epoch is not None and view.epoch.slot >= seen.sighting.slot


def _is_recent(view: NodeAnswer, seen: Found) -> bool:
    return view.sightings is not None and view.sightings.slot - seen.sighting.slot <= RECENT


def _why_not(views: Sequence[NodeAnswer]) -> str:
    return "; ".join(
        view.silence
        or f"{view.node.name} {view.weight.why or ('lags behind' if view.sightings else 'does not answer')}"
        for view in views
    )

"""What became of signatures: one look-up for many, and what makes not being known a proof.

A node is asked for its finalized height first, and then, the same node, for the signatures. Its answer must be as of a
slot that is not before that finalized one: behind one address there may be several nodes, of which one told the height
and another, which is behind, does not know the signature. A node that is behind the others is not believed either.
Where the whole history is searched, which is what proves expiry, every node is asked, and one that knows is enough.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from dexexec.batcher import Batcher
from dexexec.domain import base58
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, SwapStatus, Unavailable
from dexexec.settlement.rpc import questions
from dexexec.settlement.rpc.node import Node, NodeRefusedError, NodeUnavailableError
from dexexec.settlement.rpc.nodes import Nodes
from dexexec.settlement.rpc.reading import COMMITMENTS, Epoch, Executed, Sighting, Sightings

CONFIRMED, FINALIZED = COMMITMENTS.index("confirmed"), COMMITMENTS.index("finalized")
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """A node knows the signature."""

    node: Node
    sighting: Sighting


Finding = Seen | NotSeen | Unavailable
View = tuple[Node, Epoch, bool]
"""A node, where it was before the look-up, and whether it is believed when it does not know."""


class Looking:
    """Looks signatures up while `run` runs."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._batchers: dict[bool, Batcher[str, Finding]] = {
            history: Batcher(partial(self._look_up, history=history), questions.MAX_STATUSES)
            for history in (False, True)
        }
        self._executed: dict[tuple[str, int], Executed] = {}

    async def run(self) -> None:
        """Ask for what has come together, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for batcher in self._batchers.values():
                group.create_task(batcher.run())

    async def status(self, signatures: Sequence[str], *, history: bool) -> list[SwapStatus]:
        """As `Chain.status`."""
        return await asyncio.gather(*(self._status(signature, history=history) for signature in signatures))

    async def _status(self, signature: str, *, history: bool) -> SwapStatus:
        if not _is_signature(signature):
            return Unavailable("that is no signature")
        finding = await self._batchers[history].put(signature)
        if not isinstance(finding, Seen):
            return finding
        if finding.sighting.certainty < CONFIRMED:
            return Unavailable(f"{finding.node.name}: it is processed only, and may yet be undone")
        return await self._outcome(signature, finding)

    async def _outcome(self, signature: str, seen: Seen) -> SwapStatus:
        slot, finalized = seen.sighting.slot, seen.sighting.certainty == FINALIZED
        executed = self._executed.get((signature, slot))
        if executed is None:
            try:
                executed = await self._nodes.call(questions.transaction(signature), first=seen.node)
            except (NodeUnavailableError, NodeRefusedError) as error:
                return Unavailable(str(error))
            if executed is None or executed.slot != slot:
                return Unavailable(
                    f"{seen.node.name} knows of it in slot {slot}, but does not have the transaction yet"
                )
            self._remember(signature, executed)
        if executed.failure is None:
            return Landed(executed.moved, executed.fee, slot, finalized)
        why = executed.failure
        return FailedOnChain(why.code, why.detail, executed.fee, slot, finalized, why.instruction)

    def _remember(self, signature: str, executed: Executed) -> None:
        """What a transaction did in its slot does not change: only whether it stays is asked again."""
        self._executed[signature, executed.slot] = executed
        if len(self._executed) > _REMEMBERED:
            del self._executed[next(iter(self._executed))]

    async def _look_up(self, signatures: list[str], *, history: bool) -> list[Finding]:
        wanted = list(dict.fromkeys(signatures))
        try:
            found = await (self._everywhere(wanted) if history else self._recent(wanted))
        except (NodeUnavailableError, NodeRefusedError) as error:
            return [Unavailable(str(error)) for _ in signatures]
        by_signature = dict(zip(wanted, found, strict=True))
        return [by_signature[signature] for signature in signatures]

    async def _recent(self, wanted: list[str]) -> list[Finding]:
        """The recent statuses of one node that is not behind."""
        tries = len(self._nodes.order)
        while True:
            node, epoch = await self._nodes.newest(questions.FINALIZED, _height)
            try:
                return await self._ask((node, epoch, True), wanted, history=False)
            except NodeUnavailableError as error:
                self._nodes.failed(node, error)
                tries -= 1
                if not tries:
                    raise

    async def _everywhere(self, wanted: list[str]) -> list[Finding]:
        """The whole history of all nodes that answer."""
        answers = await self._nodes.everywhere(questions.FINALIZED)
        heights = [(node, epoch.height) for node, epoch in answers]
        believed = self._nodes.keeping_up(questions.FINALIZED.method, heights)
        views = [(node, epoch, node in believed) for node, epoch in answers]
        found = await asyncio.gather(*(self._history(view, wanted) for view in views))
        return [_best(findings) for findings in zip(*found, strict=True)]

    async def _ask(self, view: View, wanted: list[str], *, history: bool) -> list[Finding]:
        sightings = await self._nodes.ask(view[0], questions.statuses(wanted, history=history))
        return [_finding(view, sighting, sightings, history=history) for sighting in sightings.found]

    async def _history(self, view: View, wanted: list[str]) -> list[Finding]:
        try:
            return await self._ask(view, wanted, history=True)
        except NodeUnavailableError as error:
            self._nodes.failed(view[0], error)
            return [Unavailable(str(error)) for _ in wanted]
        except NodeRefusedError as error:
            return [Unavailable(str(error)) for _ in wanted]


def _finding(view: View, sighting: Sighting | None, sightings: Sightings, *, history: bool) -> Finding:
    node, epoch, believed = view
    if sighting is not None:
        return Seen(node, sighting)
    if not believed:
        return Unavailable(f"{node.name} lags behind at height {epoch.height}, and does not know it")
    if sightings.slot < epoch.slot:
        return Unavailable(f"{node.name} looked as of slot {sightings.slot}, before its finalized slot {epoch.slot}")
    return NotSeen(epoch.height, history, node.name, sightings.slot)


def _best(findings: Sequence[Finding]) -> Finding:
    """Of what several nodes say of one signature: who knows it, the surest; else the most careful who does not."""
    seen = [one for one in findings if isinstance(one, Seen)]
    if seen:
        return max(seen, key=lambda one: one.sighting.certainty)
    unseen = [one for one in findings if isinstance(one, NotSeen)]
    return min(unseen, key=lambda one: one.height) if unseen else findings[0]


def _height(epoch: Epoch) -> int:
    return epoch.height


def _is_signature(text: str) -> bool:
    try:
        return len(base58.decode(text)) == 64
    except ValueError:
        return False

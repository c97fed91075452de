"""What became of signatures: one look-up for many, and what makes not being known a proof.

A node is asked for its finalized height first, and then, the same node, for the signatures. Its answer must be as of a
slot that is not before that finalized one: behind one address there may be several nodes, of which one told the height
and another, which is behind, does not know the signature. Where the whole history is searched, which is what proves
expiry, every node is asked: one that knows is enough, and the lowest of their heights is the one that counts.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from dexexec.concurrency.batcher import Batcher
from dexexec.domain import base58
from dexexec.domain.swap import FailedOnChain, Landed, SwapStatus, Unavailable
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.decode import ExecutedTransaction
from dexexec.settlement.solana.rpc.node import Node, NodeRefusedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.node_pool import NodePool
from dexexec.settlement.solana.rpc.node_trust import NO_WEIGHT
from dexexec.settlement.solana.rpc.status_quorum import (
    CONFIRMED,
    Found,
    LookupResult,
    NodeAnswer,
    answer_of_node,
    combine_answers,
)

K = TypeVar("K")
V = TypeVar("V")
REMEMBERED = 16_384
"""Signatures of which something is kept. What is confirmed is asked for again until it is final: with fewer than are
on their way there, each look would fetch every transaction anew."""

FETCH_SECONDS = 6.0
"""For what one transaction did, from all nodes. Whoever asks for many at once waits 10 seconds for all of them: one
that hangs at every node must not keep the others from their answers."""


class SignatureStatuses:
    """Looks signatures up while `run` runs."""

    def __init__(self, nodes: NodePool) -> None:
        self._nodes = nodes
        self._batchers: dict[bool, Batcher[str, LookupResult]] = {
            history: Batcher(partial(self._look_up, history=history), methods.MAX_STATUSES) for history in (False, True)
        }
        self._executed: dict[tuple[str, int, bool], ExecutedTransaction] = {}
        self._denied: dict[str, frozenset[Node]] = {}

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
        if not isinstance(finding, Found):
            return finding
        if finding.sighting.certainty < CONFIRMED:
            return Unavailable(f"{finding.node.name}: it is processed only, and may yet be undone")
        if finding.doubtful:
            names = ", ".join(sorted(node.name for node in finding.denied_by))
            return Unavailable(f"{finding.node.name} knows it, and {names} do not")
        return await self._outcome(signature, finding)

    async def _outcome(self, signature: str, seen: Found) -> SwapStatus:
        slot, finalized = seen.sighting.slot, seen.final
        key = signature, *seen.landing
        executed = self._executed.get(key)
        if executed is None:
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    executed = await self._nodes.call(methods.transaction(signature), first=seen.node)
            except (NodeUnavailableError, NodeRefusedError) as error:
                return Unavailable(str(error))
            except TimeoutError:
                return Unavailable(f"{seen.node.name} knows of it, and no node shows the transaction in time")
            if executed is None or executed.slot != slot:
                return Unavailable(
                    f"{seen.node.name} knows of it in slot {slot}, but does not have the transaction yet"
                )
            if (executed.failure is not None) is not seen.sighting.failed:
                return Unavailable(f"{seen.node.name} contradicts itself on whether it failed")
            # What it did in its slot does not change: only whether it stays is asked again.
            _keep(self._executed, key, executed)
        if executed.failure is None:
            return Landed(executed.moved, executed.fee, slot, finalized)
        why = executed.failure
        return FailedOnChain(
            code=why.code, detail=why.detail, fee=executed.fee, slot=slot, finalized=finalized, failure=why.instruction
        )

    async def _look_up(self, signatures: list[str], *, history: bool) -> list[LookupResult]:
        wanted = list(dict.fromkeys(signatures))
        try:
            found = await (self._everywhere(wanted) if history else self._recent(wanted))
        except (NodeUnavailableError, NodeRefusedError) as error:
            return [Unavailable(str(error)) for _ in signatures]
        by_signature = dict(zip(wanted, found, strict=True))
        return [by_signature[signature] for signature in signatures]

    async def _recent(self, wanted: list[str]) -> list[LookupResult]:
        """The recent statuses of one node that is not behind. What it says is final, the others must not deny."""
        tries = len(self._nodes.order)
        while True:
            node, epoch, weight = await self._nodes.finalized()
            try:
                sightings = await self._nodes.ask(node, methods.statuses(wanted, history=False))
            except NodeUnavailableError as error:
                self._nodes.failed(node, error)
                tries -= 1
                if not tries:
                    raise
                continue
            view = NodeAnswer(node, epoch, weight, sightings)
            found = dict(
                zip(wanted, (answer_of_node(view, at, history=False) for at in range(len(wanted))), strict=True)
            )
            checked = [one for one in wanted if _needs_others(found[one])] if len(self._nodes.order) > 1 else []
            if checked:
                found |= zip(checked, await self._everywhere(checked), strict=True)
            return list(found.values())

    async def _everywhere(self, wanted: list[str]) -> list[LookupResult]:
        """The whole history of all nodes that answer. Nobody's heights are needed to know a signature, so those are
        asked for it as well who do not tell where they are."""
        positions = await self._nodes.positions()
        weights = self._nodes.trust.weigh(positions)
        views = [NodeAnswer(node, epoch, weights[node]) for node, epoch in positions]
        silent = self._nodes.order
        views += [NodeAnswer(node, None, NO_WEIGHT) for node in silent if node not in weights]
        views = await asyncio.gather(*(self._history(view, wanted) for view in views))
        return self._agree(views, wanted)

    async def _history(self, view: NodeAnswer, wanted: list[str]) -> NodeAnswer:
        try:
            async with asyncio.timeout(None if view.epoch else self._nodes.grace):
                sightings = await self._nodes.ask(view.node, methods.statuses(wanted, history=True))
            return replace(view, sightings=sightings)
        except NodeUnavailableError as error:
            self._nodes.failed(view.node, error)
            return replace(view, silence=str(error))
        except NodeRefusedError as error:
            return replace(view, silence=str(error))
        except TimeoutError:
            return view  # it says nothing of the signatures

    def _agree(self, views: Sequence[NodeAnswer], signatures: Sequence[str]) -> list[LookupResult]:
        """What all of them say of each. An operator hears, once, of a swap that some know and others deny."""
        found = []
        for place, signature in enumerate(signatures):
            one = combine_answers(views, place, self._denied.get(signature, frozenset()))
            if isinstance(one, Found) and one.denied_by:
                if signature not in self._denied:
                    self._nodes.reports.disputed(one.node, signature, one.denied_by)
                _keep(self._denied, signature, one.denied_by)
            found.append(one)
        return found


def _keep(memory: dict[K, V], key: K, value: V) -> None:
    memory[key] = value
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]


def _needs_others(finding: LookupResult) -> bool:
    """Whether something final hangs on what one node says."""
    return isinstance(finding, Found) and (finding.final or finding.overdue)


def _is_signature(text: str) -> bool:
    try:
        return len(base58.decode(text)) == 64
    except ValueError:
        return False

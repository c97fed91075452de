"""Looks up what became of signatures: concurrent lookups share one request, to one node or to all of them.

The finalized height of a node is read first and the statuses afterwards, so that a signature that it does not have
was not on the chain up to that height. A proof of expiry needs the whole history of every node (`status_quorum`).
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
from dexexec.settlement.solana.rpc.decode.transactions import ExecutedTransaction
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import NodeRefusedError, NodeUnavailableError
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
MAX_REMEMBERED = 16_384
"""Signatures whose transactions are kept in memory. A confirmed swap is looked up until it is final, so fewer than are
confirmed at the same time would fetch every transaction again at each lookup."""
FETCH_SECONDS = 6.0
"""Limit for fetching one transaction, from all nodes. Callers wait 10 seconds for a whole batch, so a transaction that
no node returns must not use up their time."""


class SignatureStatuses:
    """Looks up signatures while `run` runs."""

    def __init__(self, nodes: NodePool) -> None:
        self._nodes = nodes
        self._batchers: dict[bool, Batcher[str, LookupResult]] = {
            history: Batcher(partial(self._look_up, history=history), methods.MAX_STATUSES) for history in (False, True)
        }
        self._executed: dict[tuple[str, int, bool], ExecutedTransaction] = {}
        self._denied: dict[str, frozenset[Node]] = {}

    async def run(self) -> None:
        """Sends the batched lookups, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for batcher in self._batchers.values():
                group.create_task(batcher.run())

    async def status(self, signatures: Sequence[str], *, history: bool) -> list[SwapStatus]:
        """As `Chain.status`."""
        return await asyncio.gather(*(self._status(signature, history=history) for signature in signatures))

    async def _status(self, signature: str, *, history: bool) -> SwapStatus:
        # One malformed signature would make a node refuse the whole batch.
        if not _is_signature(signature):
            return Unavailable("not a signature")
        result = await self._batchers[history].put(signature)
        if not isinstance(result, Found):
            return result
        if result.status.commitment < CONFIRMED:
            return Unavailable(f"{result.node.name} has it as processed only, which may be undone")
        if result.disputed:
            names = ", ".join(sorted(node.name for node in result.denied_by))
            return Unavailable(f"{result.node.name} has it, and {names} do not")
        return await self._landed(signature, result)

    async def _landed(self, signature: str, found: Found) -> SwapStatus:
        """The outcome of a transaction that is confirmed at least."""
        executed = await self._executed_transaction(signature, found)
        if isinstance(executed, Unavailable):
            return executed
        slot = found.status.slot
        if executed.failure is None:
            return Landed(executed.moved, executed.fee, slot, found.final, executed.cost)
        failure = executed.failure
        return FailedOnChain(
            code=failure.code,
            detail=failure.detail,
            fee=executed.fee,
            slot=slot,
            finalized=found.final,
            failure=failure.instruction,
            cost=executed.cost,
        )

    async def _executed_transaction(self, signature: str, found: Found) -> ExecutedTransaction | Unavailable:
        """The transaction, from memory or from the nodes."""
        slot = found.status.slot
        key = signature, *found.landing
        if key in self._executed:
            return self._executed[key]
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                executed = await self._nodes.call(methods.transaction(signature), first=found.node)
        except (NodeUnavailableError, NodeRefusedError) as error:
            return Unavailable(str(error))
        except TimeoutError:
            return Unavailable(f"{found.node.name} has the status, and no node returned the transaction in time")
        # A fork may have moved it to another slot since the status was read.
        if executed is None or executed.slot != slot:
            return Unavailable(f"{found.node.name} has the status in slot {slot}, but not the transaction yet")
        if (executed.failure is not None) is not found.status.failed:
            return Unavailable(f"{found.node.name} contradicts itself on whether it failed")
        # What it did in this slot never changes. Whether it stays there is looked up each time.
        _remember(self._executed, key, executed)
        return executed

    async def _look_up(self, signatures: list[str], *, history: bool) -> list[LookupResult]:
        """The results of one batch, in its order."""
        # Two tasks may wait for the same signature.
        unique = list(dict.fromkeys(signatures))
        try:
            results = await (self._look_up_everywhere(unique) if history else self._look_up_recent(unique))
        except (NodeUnavailableError, NodeRefusedError) as error:
            return [Unavailable(str(error)) for _ in signatures]
        by_signature = dict(zip(unique, results, strict=True))
        return [by_signature[signature] for signature in signatures]

    async def _look_up_recent(self, signatures: list[str]) -> list[LookupResult]:
        """The recent statuses of one node that is not behind. All nodes are called for those that it reports as
        final."""
        attempts = len(self._nodes.order)
        while True:
            node, position, weight = await self._nodes.finalized()
            try:
                reported = await self._nodes.call_node(node, methods.statuses(signatures, history=False))
                break
            except NodeUnavailableError as error:
                self._nodes.failed(node, error)
                attempts -= 1
                if not attempts:
                    raise
        answer = NodeAnswer(node=node, position=position, weight=weight, reported=reported)
        results = {
            signature: answer_of_node(answer, index, history=False) for index, signature in enumerate(signatures)
        }
        if len(self._nodes.order) > 1:
            to_confirm = [signature for signature in signatures if _needs_other_nodes(results[signature])]
            if to_confirm:
                results |= zip(to_confirm, await self._look_up_everywhere(to_confirm), strict=True)
        return list(results.values())

    async def _look_up_everywhere(self, signatures: list[str]) -> list[LookupResult]:
        """The whole history of all nodes that answer."""
        positions = await self._nodes.positions()
        weights = self._nodes.trust.weigh(positions)
        answers = [NodeAnswer(node=node, position=position, weight=weights[node]) for node, position in positions]
        # A node that did not report its position is called too: having a signature counts without a height.
        answers += [
            NodeAnswer(node=node, position=None, weight=NO_WEIGHT) for node in self._nodes.order if node not in weights
        ]
        answers = await asyncio.gather(*(self._search_history(answer, signatures) for answer in answers))
        return self._combine(answers, signatures)

    async def _search_history(self, answer: NodeAnswer, signatures: list[str]) -> NodeAnswer:
        """The answer, completed by what the node's whole history has."""
        try:
            # A node that did not even report its position holds up the others only briefly.
            async with asyncio.timeout(None if answer.position else self._nodes.grace):
                reported = await self._nodes.call_node(answer.node, methods.statuses(signatures, history=True))
            return replace(answer, reported=reported)
        except NodeUnavailableError as error:
            self._nodes.failed(answer.node, error)
            return replace(answer, failure=str(error))
        except NodeRefusedError as error:
            return replace(answer, failure=str(error))
        except TimeoutError:
            return answer

    def _combine(self, answers: Sequence[NodeAnswer], signatures: Sequence[str]) -> list[LookupResult]:
        """The results of all answers together. Reports each disputed signature to the operator once."""
        results = []
        for index, signature in enumerate(signatures):
            result = combine_answers(answers, index, self._denied.get(signature, frozenset()))
            if isinstance(result, Found) and result.denied_by:
                if signature not in self._denied:
                    self._nodes.reports.disputed(result.node, signature, result.denied_by)
                # Later the landing is no longer recent, and a node without a history would not count as denying it.
                _remember(self._denied, signature, result.denied_by)
            results.append(result)
        return results


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    memory[key] = value
    if len(memory) > MAX_REMEMBERED:
        # Dicts keep insertion order: the first key is the oldest.
        del memory[next(iter(memory))]


def _needs_other_nodes(result: LookupResult) -> bool:
    """Whether one node alone reports something final."""
    return isinstance(result, Found) and (result.final or result.overdue)


def _is_signature(text: str) -> bool:
    try:
        return len(base58.decode(text)) == 64
    except ValueError:
        return False

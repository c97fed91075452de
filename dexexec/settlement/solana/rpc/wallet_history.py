"""A wallet's past, as the nodes keep it. Every node is asked, as each may lack a part; what one knows is enough.

A list of signatures comes in pages, each behind the last signature of the one before, and of one node, since another
may not know that one. Behind one address there may be several nodes: so each page must be as of the slot that was told
before, or later.
"""

import asyncio
from dataclasses import dataclass

from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction, NodeHistory
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.node import MethodUnsupportedError, Node, NodeRefusedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.node_pool import NodePool
from dexexec.venue import BadAnswer


@dataclass(frozen=True, slots=True)
class _Position:
    """A node, the slot that it has finalized, and the height if that is believed."""

    node: Node
    slot: int
    height: int | None


async def heights(nodes: NodePool) -> dict[str, int]:
    """The finalized height of every node that answers and is believed. Raises `NodeUnavailableError`,
    `NodeRefusedError`."""
    told = {one.node.name: one.height for one in await _positions(nodes) if one.height is not None}
    if not told:
        raise NodeUnavailableError("no node is believed in what it tells of heights", BadAnswer)
    return told


async def _positions(nodes: NodePool) -> list[_Position]:
    positions = await nodes.positions()
    weights = nodes.trust.weigh(positions)
    return [_Position(node, at.slot, at.height if weights[node].counts else None) for node, at in positions]


async def newest(nodes: NodePool, wallet: str) -> list[HistoryEntry] | None:
    """The newest page of the first node that answers; None when no node does that. Raises `NodeUnavailableError`,
    `NodeRefusedError`."""
    question = methods.signatures(wallet, "confirmed")
    failure: NodeUnavailableError | None = None
    for node in nodes.order_for(question.method):
        try:
            return await nodes.ask(node, question)
        except NodeUnavailableError as error:
            nodes.failed(node, error)
            failure = failure if isinstance(error, MethodUnsupportedError) else error
    if failure is not None:
        raise failure
    return None


async def wallet_history(nodes: NodePool, wallet: str, since: int) -> list[NodeHistory]:
    """Of every node that answers and keeps such lists. Raises `NodeUnavailableError`, `NodeRefusedError` when one that
    is believed does not give its whole list: what it would have said is not known."""
    found = await asyncio.gather(*(_of_node(nodes, one, wallet, since) for one in await _positions(nodes)))
    histories = [one for one in found if isinstance(one, NodeHistory)]
    if not histories:
        raise next(one for one in found if not isinstance(one, NodeHistory))
    return histories


async def _of_node(nodes: NodePool, at: _Position, wallet: str, since: int) -> NodeHistory | NodeUnavailableError:
    node = at.node
    entries: dict[str, HistoryEntry] = {}
    before: str | None = None
    try:
        while page := await nodes.ask(node, methods.signatures(wallet, "finalized", before, at.slot)):
            fresh = {entry.signature: entry for entry in page if entry.signature not in entries}
            if not fresh:
                raise NodeUnavailableError(f"{node.name} lists the same signatures again and again", BadAnswer)
            entries |= fresh
            before = page[-1].signature
            if page[-1].time is not None and page[-1].time < since:
                break
    except NodeUnavailableError as error:
        nodes.failed(node, error)
        if isinstance(error, MethodUnsupportedError) or at.height is None:
            return error
        raise
    return NodeHistory(node.name, at.height, tuple(entries.values()))


async def kept_transaction(nodes: NodePool, signature: str) -> KeptTransaction | None:
    """Of the first node that has it. Raises `NodeUnavailableError`, `NodeRefusedError` when none has it, and one did
    not answer."""
    question = methods.kept_transaction(signature)
    failure: NodeUnavailableError | NodeRefusedError | None = None
    for node in nodes.order_for(question.method):
        try:
            found = await nodes.ask(node, question)
        except NodeUnavailableError as error:
            nodes.failed(node, error)
            failure = error
        except NodeRefusedError as error:
            failure = error
        else:
            if found is not None:
                return found
    if failure is not None:
        raise failure
    return None

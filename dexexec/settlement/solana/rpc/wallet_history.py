"""Reads a wallet's past from all nodes, since each may lack a part.

Each list of signatures is read page by page from one node, because another node may not have the last signature of the
page before. Several nodes may share an address, so every page must be as of the first one's slot or later.
"""

import asyncio
from dataclasses import dataclass

from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction, NodeHistory
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import MethodUnsupportedError, NodeRefusedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.node_pool import NodePool
from dexexec.venue import BadAnswer


@dataclass(frozen=True, slots=True)
class _NodePosition:
    """A node and its finalized slot. It has no `height` if the node's heights are not believed."""

    node: Node
    slot: int
    height: int | None


async def heights(nodes: NodePool) -> dict[str, int]:
    """The finalized height of every node that answers and is believed. Raises `NodeUnavailableError`,
    `NodeRefusedError`."""
    believed = {
        position.node.name: position.height for position in await _positions(nodes) if position.height is not None
    }
    if not believed:
        raise NodeUnavailableError("the heights of no node are believed", BadAnswer)
    return believed


async def _positions(nodes: NodePool) -> list[_NodePosition]:
    positions = await nodes.positions()
    weights = nodes.trust.weigh(positions)
    return [
        _NodePosition(node, position.slot, position.height if weights[node].counts else None)
        for node, position in positions
    ]


async def newest(nodes: NodePool, wallet: str) -> list[HistoryEntry] | None:
    """The newest page of the first node that answers. None: no node keeps such lists. Raises `NodeUnavailableError`,
    `NodeRefusedError`."""
    call = methods.signatures(wallet, "confirmed")
    failure: NodeUnavailableError | None = None
    for node in nodes.order_for(call.method):
        try:
            return await nodes.call_node(node, call)
        except NodeUnavailableError as error:
            nodes.failed(node, error)
            # A node without such lists is no failure: None is returned only if all nodes are without them.
            failure = failure if isinstance(error, MethodUnsupportedError) else error
    if failure is not None:
        raise failure
    return None


async def wallet_history(nodes: NodePool, wallet: str, since: int) -> list[NodeHistory]:
    """The lists of all nodes that answer and keep such lists, back to the time `since`.

    Raises `NodeUnavailableError` or `NodeRefusedError` if a believed node does not return its whole list, because the
    missing part may hold a transaction that no other node has.
    """
    answers = await asyncio.gather(
        *(_history_of(nodes, position, wallet, since) for position in await _positions(nodes))
    )
    histories = [answer for answer in answers if isinstance(answer, NodeHistory)]
    if not histories:
        raise next(answer for answer in answers if not isinstance(answer, NodeHistory))
    return histories


async def _history_of(
    nodes: NodePool, position: _NodePosition, wallet: str, since: int
) -> NodeHistory | NodeUnavailableError:
    """The whole list of one node, or why it can be left out."""
    node = position.node
    entries: dict[str, HistoryEntry] = {}
    before: str | None = None
    try:
        while page := await nodes.call_node(node, methods.signatures(wallet, "finalized", before, position.slot)):
            fresh = {entry.signature: entry for entry in page if entry.signature not in entries}
            # A node that ignores `before` would otherwise return the same page forever.
            if not fresh:
                raise NodeUnavailableError(f"{node.name} returns the same signatures again and again", BadAnswer)
            entries |= fresh
            before = page[-1].signature
            if page[-1].time is not None and page[-1].time < since:
                break
    except NodeUnavailableError as error:
        nodes.failed(node, error)
        if isinstance(error, MethodUnsupportedError) or position.height is None:
            return error
        raise
    return NodeHistory(node.name, position.height, tuple(entries.values()))


async def kept_transaction(nodes: NodePool, signature: str) -> KeptTransaction | None:
    """The transaction, from the first node that has it. Raises `NodeUnavailableError` or `NodeRefusedError` if no node
    has it and one did not answer."""
    call = methods.kept_transaction(signature)
    failure: NodeUnavailableError | NodeRefusedError | None = None
    for node in nodes.order_for(call.method):
        try:
            found = await nodes.call_node(node, call)
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

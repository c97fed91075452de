"""Reads positions and blockhashes of nodes, and checks the numbers against each other.

`NodeTrust` judges the numbers; this class decides what to read in which order, and reads again before it rejects a
node.
"""

from dexexec.domain.swap import VALID_FOR, Blockhash
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.decode.blocks import ChainPosition
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import NodeUnavailableError
from dexexec.settlement.solana.rpc.node_trust import NodeTrust
from dexexec.settlement.solana.rpc.throttled_nodes import ThrottledNodes
from dexexec.venue import BadAnswer

NEAR = 32
"""Blocks by which two tips of one node may differ that it reports one after the other."""


class InconsistentNodeError(NodeUnavailableError):
    """The node's numbers contradict each other: nothing is signed or proven with them."""

    def __init__(self, message: str) -> None:
        super().__init__(message, BadAnswer)


class HeightCheck:
    """Reads where nodes are."""

    def __init__(self, nodes: ThrottledNodes, trust: NodeTrust) -> None:
        self._nodes = nodes
        self._trust = trust

    async def finalized(self, node: Node) -> ChainPosition:
        """The finalized position. `NodeTrust.fault` then returns whether it is believed."""
        position = await self._nodes.call(node, methods.FINALIZED)
        self._trust.judge(node, position)
        return position

    async def position(self, node: Node) -> ChainPosition:
        """The finalized position, checked against the same node's newest block. Only this one may prove expiry."""
        position = await self._nodes.call(node, methods.FINALIZED)
        # Read second, so an honest node's tip can only be at or after the finalized position.
        blockhash = await self._nodes.fresh(node, methods.BLOCKHASH, min_slot=position.slot)
        self._trust.judge(node, position, _tip(blockhash))
        return position

    async def blockhash(self, node: Node, *, wait: bool) -> Blockhash:
        """The newest blockhash, if its last valid height is consistent with the node's position.

        With `wait`, a node that lags behind its own answers is called again until it has caught up. Raises
        `InconsistentNodeError`.
        """
        # A last valid height that is too low would expire a swap that may still land; one that is too high never
        # expires it. So a blockhash from a node that was not checked lately needs a position to compare with.
        position: ChainPosition | None = None
        if not self._trust.is_known(node):
            position = await self._nodes.call(node, methods.FINALIZED)
        before = self._trust.finalized(node) if position is None else position
        blockhash = await self._nodes.fresh(node, methods.BLOCKHASH, wait=wait)
        if before is not None and blockhash.slot < before.slot:
            blockhash = await self._nodes.fresh(node, methods.BLOCKHASH, min_slot=before.slot)
        if blockhash.last_valid_height < VALID_FOR:
            raise InconsistentNodeError(f"{node.name} reports the last valid height {blockhash.last_valid_height}")
        tip = _tip(blockhash)
        if position is not None:
            self._trust.judge(node, position, tip)
        why = self._trust.judge_tip(node, tip)
        if not why:
            return blockhash
        leapt = self._trust.finalized(node) is not None
        if position is not None and not leapt and await self._confirms_tip(node, tip):
            # Two of three numbers agree, so the finalized height is the wrong one. The blockhash is good, and this node
            # proves nothing for now.
            return blockhash
        why = f"{node.name} reports a blockhash with the last valid height {blockhash.last_valid_height}: {why}"
        self._trust.contradicts(node, why)
        if position is None:
            await self.finalized(node)
        raise InconsistentNodeError(f"{why}. Nothing is signed with it")

    async def _confirms_tip(self, node: Node, tip: ChainPosition) -> bool:
        """Whether the node reports about the same height in `getBlockHeight`."""
        height = await self._nodes.call(node, methods.BLOCK_HEIGHT)
        return abs(height - tip.height) <= NEAR


def _tip(blockhash: Blockhash) -> ChainPosition:
    return ChainPosition(blockhash.slot, blockhash.last_valid_height - VALID_FOR)

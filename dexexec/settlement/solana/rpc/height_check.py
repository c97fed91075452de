"""Where a node is: its numbers asked for together, so that they can be held against each other.

`NodeTrust` is the judge; here is what it is shown. A node that tells two heights that do not go together is asked for a
third one before it is left out.
"""

from dexexec.domain.swap import VALID_FOR, Blockhash
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.decode import ChainPosition
from dexexec.settlement.solana.rpc.node import Node, NodeUnavailableError
from dexexec.settlement.solana.rpc.node_trust import NodeTrust
from dexexec.settlement.solana.rpc.throttled_node import ThrottledNodes
from dexexec.venue import BadAnswer

NEAR = 32
"""Blocks by which two tips of one node may differ that are asked for one after the other."""


class InconsistentNodeError(NodeUnavailableError):
    """The node tells numbers of which one must be wrong: nothing is signed or proven by them."""

    def __init__(self, message: str) -> None:
        super().__init__(message, BadAnswer)


class HeightCheck:
    """Asks nodes where they are."""

    def __init__(self, throttled: ThrottledNodes, trust: NodeTrust) -> None:
        self._throttled, self._trust = throttled, trust

    async def finalized(self, node: Node) -> ChainPosition:
        """The finalized position; whether it can be believed, `NodeTrust.fault` says then."""
        epoch = await self._throttled.ask(node, methods.FINALIZED)
        self._trust.judge(node, epoch)
        return epoch

    async def position(self, node: Node) -> ChainPosition:
        """The finalized position, held against the newest block of the same node. Only from this may follow that
        something cannot land any more."""
        epoch = await self._throttled.ask(node, methods.FINALIZED)
        newest = await self._throttled.fresh(node, methods.BLOCKHASH, least=epoch.slot)
        self._trust.judge(node, epoch, _tip(newest))
        return epoch

    async def blockhash(self, node: Node, *, wait: bool) -> Blockhash:
        """The newest blockhash, whose last valid height goes together with where the node is. With `wait`, a node that
        is behind itself is asked until it is not. Raises `InconsistentNodeError`: by a last valid height that is too
        low a swap would be taken for expired that may still land, by one that is too high it never would be."""
        epoch: ChainPosition | None = None
        if not self._trust.is_known(node):
            epoch = await self._throttled.ask(node, methods.FINALIZED)
        before = self._trust.finalized(node) if epoch is None else epoch
        found = await self._throttled.fresh(node, methods.BLOCKHASH, wait=wait)
        if before is not None and found.slot < before.slot:
            found = await self._throttled.fresh(node, methods.BLOCKHASH, least=before.slot)
        if found.last_valid_height < VALID_FOR:
            raise InconsistentNodeError(f"{node.name} tells {found.last_valid_height} as a last valid height")
        tip = _tip(found)
        if epoch is not None:
            self._trust.judge(node, epoch, tip)
        why = self._trust.judge_tip(node, tip)
        if not why:
            return found
        leapt = self._trust.finalized(node) is not None
        if epoch is not None and not leapt and await self._agrees(node, tip):
            return found  # it is the finalized height that is wrong: nothing is proven by this node
        why = f"{node.name} tells a blockhash with the last valid height {found.last_valid_height}: {why}"
        self._trust.contradicts(node, why)
        if epoch is None:
            await self.finalized(node)
        raise InconsistentNodeError(f"{why}. Nothing is signed with it")

    async def _agrees(self, node: Node, tip: ChainPosition) -> bool:
        """Whether the height of a newest block is what the node says when it is asked for that alone."""
        height = await self._throttled.ask(node, methods.BLOCK_HEIGHT)
        return abs(height - tip.height) <= NEAR


def _tip(newest: Blockhash) -> ChainPosition:
    return ChainPosition(newest.slot, newest.last_valid_height - VALID_FOR)

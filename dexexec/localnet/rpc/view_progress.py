"""Follows the block of one commitment from event to event, for the subscriptions of one WebSocket."""

from solders.pubkey import Pubkey

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.ledger import ChainEvent
from dexexec.localnet.rpc.request import Node
from dexexec.localnet.sysvars import CHANGING


class ViewProgress:
    """`view` is the block that was looked at last."""

    def __init__(self, node: Node, commitment: Commitment) -> None:
        self._node = node
        self._commitment = commitment
        self.view: Block = node.block(commitment)

    def advance(self, event: ChainEvent) -> set[Pubkey]:
        """Goes on to the present block. Returns the accounts that may differ from the last look."""
        changed = set(event.written | event.reverted)
        before, now = self.view, self._node.block(self._commitment)
        # Without a fork a view goes back only when its node begins to lag: that node shows nothing new for a while.
        if now.height < before.height and not event.forked:
            return changed
        self.view = now
        # More transactions may have landed in the block that was looked at.
        changed |= self._node.ledger.changed(before.slot, now.slot)
        return changed if now == before else changed | CHANGING

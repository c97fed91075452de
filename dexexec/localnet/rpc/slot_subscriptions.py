"""The subscription to slots (`slotSubscribe`): one notification for each block that the node has seen."""

from dexexec.localnet.blocks import Commitment
from dexexec.localnet.ledger import ChainEvent
from dexexec.localnet.rpc.notifier import Notifier
from dexexec.localnet.rpc.request import Call, Node
from dexexec.localnet.rpc.subscription_group import SubscriptionGroup


class SlotSubscriptions(SubscriptionGroup[None]):
    """The open ones of one WebSocket."""

    kind = "slot"

    def __init__(self, node: Node, notifier: Notifier) -> None:
        super().__init__(node, notifier)
        self._notified_tip = node.block(Commitment.PROCESSED)

    def read(self, call: Call) -> None:
        """It has no parameters."""

    def add(self, number: int, subscription: None) -> None:
        """Opens a subscription, which begins with the next block."""
        if not self.open:
            self._notified_tip = self.node.block(Commitment.PROCESSED)
        super().add(number, subscription)

    def on_change(self, event: ChainEvent) -> None:
        """Notifies of a new block."""
        tip = self.node.block(Commitment.PROCESSED)
        # A node that begins to lag shows nothing new for a while.
        lags = tip.height < self._notified_tip.height and not event.forked
        if event.landed is not None or tip == self._notified_tip or lags:
            return
        root = self.node.block(Commitment.FINALIZED).slot
        for number in self.open:
            self.notify(number, {"slot": tip.slot, "parent": self._notified_tip.slot, "root": root})
        self._notified_tip = tip

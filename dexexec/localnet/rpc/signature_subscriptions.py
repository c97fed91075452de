"""The subscriptions to signatures (`signatureSubscribe`): one notification when the commitment is reached."""

from dataclasses import dataclass

from dexexec.localnet.blocks import Commitment
from dexexec.localnet.ledger import NEW_BLOCK, ChainEvent
from dexexec.localnet.rpc.request import Call, notified, read_commitment
from dexexec.localnet.rpc.subscription_group import SubscriptionGroup

RECEIVED = "receivedSignature"


@dataclass(slots=True)
class SignatureSubscription:
    """A signature and the commitment at which its client gets its last notification.

    `wants_received`: the client also gets a notification that the node has the transaction, once.
    """

    signature: bytes
    commitment: Commitment
    wants_received: bool


class SignatureSubscriptions(SubscriptionGroup[SignatureSubscription]):
    """The open ones of one WebSocket."""

    kind = "signature"

    def read(self, call: Call) -> SignatureSubscription:
        """Reads the signature and its options."""
        options = call.options(1)
        received = bool(options.get("enableReceivedNotification"))
        return SignatureSubscription(call.signature(0, "signature"), read_commitment(options), received)

    def on_change(self, event: ChainEvent) -> None:
        """Notifies of signatures that reached their commitment."""
        for number, subscription in list(self.open.items()):
            # After a new block or a fork any signature may have reached its commitment.
            if event.landed in {None, subscription.signature}:
                self._look(number, subscription)

    def catch_up(self) -> None:
        """Notifies of signatures that had reached their commitment before they were subscribed."""
        self.on_change(NEW_BLOCK)

    def _look(self, number: int, subscription: SignatureSubscription) -> None:
        ledger = self.node.ledger
        processed = self.node.block(Commitment.PROCESSED)
        if subscription.wants_received and ledger.transaction(subscription.signature, processed):
            subscription.wants_received = False
            self.notify(number, notified(processed, RECEIVED))
        view = self.node.block(subscription.commitment)
        transaction = ledger.transaction(subscription.signature, view)
        if transaction is not None:
            self.notify(number, notified(view, {"err": transaction.err}))
            # Solana ends a signature subscription with its notification.
            self.remove(number)

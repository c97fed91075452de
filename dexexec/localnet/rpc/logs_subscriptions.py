"""The subscriptions to the logs of transactions (`logsSubscribe`)."""

from dataclasses import dataclass

from dexexec.domain import base58
from dexexec.localnet.blocks import Commitment
from dexexec.localnet.journal import LandedTransaction
from dexexec.localnet.ledger import ChainEvent
from dexexec.localnet.rpc.errors import InvalidParamsError
from dexexec.localnet.rpc.request import Call, notified, read_commitment, read_pubkey
from dexexec.localnet.rpc.subscription_group import SubscriptionGroup
from dexexec.localnet.rpc.transaction_encoding import names

ALL = ("all", "allWithVotes")


@dataclass(slots=True)
class LogsSubscription:
    """All transactions, or those that name `mentioned`. `next_slot` is the first slot to look at next, and `seen` has
    the signatures that were notified of it already."""

    mentioned: str
    commitment: Commitment
    next_slot: int
    seen: set[bytes]


class LogsSubscriptions(SubscriptionGroup[LogsSubscription]):
    """The open ones of one WebSocket."""

    kind = "logs"

    def about(self, subscription: LogsSubscription) -> str:
        """The address that transactions have to name."""
        return subscription.mentioned

    def read(self, call: Call) -> LogsSubscription:
        """Reads which transactions and which commitment. Transactions that have landed before are not notified."""
        commitment = read_commitment(call.options(1))
        view = self.node.block(commitment)
        subscription = LogsSubscription(_mentioned(call.optional(0)), commitment, view.slot, set())
        subscription.seen = {landed.signature for landed in self.node.ledger.between(view.slot, view.slot)}
        return subscription

    def on_change(self, event: ChainEvent) -> None:
        """Notifies of transactions that reached their commitment."""
        for number, subscription in self.open.items():
            self._look(number, subscription)

    def _look(self, number: int, subscription: LogsSubscription) -> None:
        view = self.node.block(subscription.commitment)
        landed = self.node.ledger.between(subscription.next_slot, view.slot)
        for transaction in landed:
            if transaction.signature not in subscription.seen and _concerns(transaction, subscription.mentioned):
                result = {
                    "signature": base58.encode(transaction.signature),
                    "err": transaction.err,
                    "logs": transaction.meta["logMessages"],
                }
                self.notify(number, notified(view, result))
        # More transactions may land in the newest block, so that is looked at again.
        subscription.seen = {transaction.signature for transaction in landed if transaction.slot == view.slot}
        subscription.next_slot = max(subscription.next_slot, view.slot)


def _mentioned(filter_: object) -> str:
    match filter_:
        case str(word) if word in ALL:
            return ""
        case {"mentions": [address]}:
            return str(read_pubkey(address, "mentions"))
        case {"mentions": list()}:
            raise InvalidParamsError("Only 1 address supported")
    raise InvalidParamsError(f'give {" or ".join(ALL)}, or {{"mentions": [ADDRESS]}} (parameter 1)')


def _concerns(transaction: LandedTransaction, address: str) -> bool:
    return not address or address in names(transaction)

"""The subscriptions to single accounts (`accountSubscribe`), with the notifications of an Agave node.

An account is notified when it differs from what its client was notified of last, at the subscription's commitment: also
when a fork set it back, and when it is gone. All notifications of a block come before those of the next.
"""

from collections import defaultdict
from dataclasses import dataclass

from solders.account import Account
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.ledger import ChainEvent
from dexexec.localnet.rpc import account_encoding
from dexexec.localnet.rpc.notifier import Notifier
from dexexec.localnet.rpc.request import Call, Node, notified, read_commitment
from dexexec.localnet.rpc.subscription_group import SubscriptionGroup
from dexexec.localnet.rpc.view_progress import ViewProgress
from dexexec.localnet.sysvars import CLOCK

GONE = Account(0, b"", SYSTEM)
"""What a node notifies of in place of an account that does not exist."""


@dataclass(slots=True, kw_only=True)
class AccountSubscription:
    """An account at a commitment. `latest` is what its client has, `earlier` what it had before."""

    address: Pubkey
    commitment: Commitment
    data_format: account_encoding.DataFormat
    latest: Account | None = None
    earlier: Account | None = None


class AccountSubscriptions(SubscriptionGroup[AccountSubscription]):
    """The open ones of one WebSocket."""

    kind = "account"

    def __init__(self, node: Node, notifier: Notifier) -> None:
        super().__init__(node, notifier)
        self._progress: dict[Commitment, ViewProgress] = {}
        # With thousands of accounts, only those that changed may cost anything.
        self._numbers: dict[tuple[Commitment, Pubkey], list[int]] = defaultdict(list)

    def about(self, subscription: AccountSubscription) -> str:
        """Its account."""
        return str(subscription.address)

    def read(self, call: Call) -> AccountSubscription:
        """Reads address, commitment and encoding."""
        options = call.options(1)
        return AccountSubscription(
            address=call.pubkey(0, "address"),
            commitment=read_commitment(options),
            data_format=account_encoding.read_data_format(options),
        )

    def add(self, number: int, subscription: AccountSubscription) -> None:
        """Opens a subscription. What the account holds now is not notified."""
        super().add(number, subscription)
        commitment = subscription.commitment
        progress = self._progress.setdefault(commitment, ViewProgress(self.node, commitment))
        subscription.latest = self.node.ledger.account(subscription.address, progress.view)
        subscription.earlier = subscription.latest
        self._numbers[subscription.commitment, subscription.address].append(number)

    def remove(self, number: int) -> bool:
        """Ends a subscription."""
        if number not in self.open:
            return False
        subscription = self.open[number]
        key = (subscription.commitment, subscription.address)
        self._numbers[key].remove(number)
        if not self._numbers[key]:
            del self._numbers[key]
        if not any(commitment is subscription.commitment for commitment, _ in self._numbers):
            # The next subscription of this commitment begins at the block that is present then.
            del self._progress[subscription.commitment]
        return super().remove(number)

    def on_change(self, event: ChainEvent) -> None:
        """Notifies of accounts that changed."""
        for commitment, progress in self._progress.items():
            before = progress.view
            changed = progress.advance(event)
            # The clock last: a client that has it for a block has everything of the blocks before.
            for address in sorted(changed, key=lambda address: (address == CLOCK, bytes(address))):
                for number in self._numbers.get((commitment, address), ()):
                    self._notify_if_changed(number, progress.view)
            if self.node.faults.notifications.replay and progress.view != before:
                self._replay(commitment, progress.view)

    def _notify_if_changed(self, number: int, view: Block) -> None:
        subscription = self.open[number]
        account = self.node.ledger.account(subscription.address, view)
        if account == subscription.latest:
            return
        subscription.earlier, subscription.latest = subscription.latest, account
        self.notify(number, self._result(subscription, account, view))

    def _replay(self, commitment: Commitment, view: Block) -> None:
        for number, subscription in self.open.items():
            if subscription.commitment is commitment and subscription.earlier != subscription.latest:
                self.notify(number, self._result(subscription, subscription.earlier, view))

    def _result(self, subscription: AccountSubscription, account: Account | None, view: Block) -> object:
        body = account_encoding.notified_body(account or GONE, subscription.data_format, self.node.ledger.decimals)
        return notified(view, body)

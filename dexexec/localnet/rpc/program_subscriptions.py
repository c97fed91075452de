"""The subscriptions to the changes of a program's accounts (`programSubscribe`)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from solders.account import Account
from solders.pubkey import Pubkey

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.ledger import ChainEvent, Ledger
from dexexec.localnet.rpc import account_encoding
from dexexec.localnet.rpc.account_methods import Filter, read_filters
from dexexec.localnet.rpc.request import Call, notified, read_commitment
from dexexec.localnet.rpc.subscription_group import SubscriptionGroup


@dataclass(slots=True, kw_only=True)
class ProgramSubscription:
    """The accounts of `program` that match all filters. `next_slot` is the first slot whose changes are not notified
    yet."""

    program: Pubkey
    commitment: Commitment
    filters: list[Filter]
    data_format: account_encoding.DataFormat
    next_slot: int
    notified: dict[Pubkey, Account] = field(default_factory=dict)


class ProgramSubscriptions(SubscriptionGroup[ProgramSubscription]):
    """The open ones of one WebSocket."""

    kind = "program"

    def about(self, subscription: ProgramSubscription) -> str:
        """Its program."""
        return str(subscription.program)

    def read(self, call: Call) -> ProgramSubscription:
        """Reads program, commitment, filters and encoding. The next block of the commitment is the first to notify."""
        options = call.options(1)
        commitment = read_commitment(options)
        return ProgramSubscription(
            program=call.pubkey(0, "program"),
            commitment=commitment,
            filters=read_filters(options),
            data_format=account_encoding.read_data_format(options),
            next_slot=_next_slot(self.node.block(commitment), self.node.ledger),
        )

    def on_change(self, event: ChainEvent) -> None:
        """Notifies of each matching account that changed, as of the commitment."""
        for number, subscription in self.open.items():
            for result in self._changes(subscription):
                self.notify(number, result)

    def _changes(self, subscription: ProgramSubscription) -> Iterator[object]:
        view = self.node.block(subscription.commitment)
        ledger = self.node.ledger
        for address in sorted(ledger.changed(subscription.next_slot, view.slot), key=bytes):
            account = ledger.account(address, view)
            if account is None or account.owner != subscription.program:
                continue
            if not all(matches(account) for matches in subscription.filters):
                continue
            # The newest block is looked at after each of its transactions, and may not have changed this account again.
            if subscription.notified.get(address) == account:
                continue
            subscription.notified[address] = account
            body = account_encoding.notified_body(account, subscription.data_format, ledger.decimals)
            yield notified(view, {"pubkey": str(address), "account": body})
        subscription.next_slot = _next_slot(view, ledger)


def _next_slot(view: Block, ledger: Ledger) -> int:
    """The first slot to look at after `view`."""
    # More transactions may land in the newest block, so that is looked at again.
    return view.slot if view == ledger.blocks.tip else view.slot + 1

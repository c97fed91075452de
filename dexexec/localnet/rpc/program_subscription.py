"""A subscription to the changes of a program's accounts (`programSubscribe`) at a commitment."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.ledger import Ledger
from dexexec.localnet.rpc import encoding
from dexexec.localnet.rpc.account_methods import Filter, read_filters
from dexexec.localnet.rpc.request import Call, Node, read_commitment, with_context


@dataclass(slots=True, kw_only=True)
class ProgramSubscription:
    """The accounts of `program` that match all filters. `next_slot` is the first slot whose changes are not notified
    yet."""

    program: Pubkey
    commitment: Commitment
    filters: list[Filter]
    data_format: encoding.DataFormat
    next_slot: int
    notified: dict[Pubkey, Account] = field(default_factory=dict)

    @classmethod
    def of(cls, call: Call) -> "ProgramSubscription":
        """The subscription that a call requests, from the next block of its commitment on. Raises `RpcError`."""
        options = call.options(1)
        commitment = read_commitment(options)
        view = call.node.block(commitment)
        return cls(
            program=call.pubkey(0, "program"),
            commitment=commitment,
            filters=read_filters(options),
            data_format=encoding.read_data_format(options),
            next_slot=_next_slot(view, call.ledger),
        )

    def changes(self, node: Node) -> Iterator[dict[str, Any]]:
        """The results to notify of since the last call: each matching account that changed, as of the commitment."""
        view = node.block(self.commitment)
        ledger = node.ledger
        for address in sorted(ledger.changed(self.next_slot, view.slot), key=bytes):
            account = ledger.account(address, view)
            if account is None or account.owner != self.program or not all(suits(account) for suits in self.filters):
                continue
            # The newest block is looked at after each of its transactions, and may not have changed this account again.
            if self.notified.get(address) == account:
                continue
            self.notified[address] = account
            body = encoding.account_body(account, self.data_format, ledger.decimals)
            yield with_context(view, {"pubkey": str(address), "account": body})
        self.next_slot = _next_slot(view, ledger)


def _next_slot(view: Block, ledger: Ledger) -> int:
    """The first slot to look at after `view`."""
    # More transactions may land in the newest block, so that is looked at again.
    return view.slot if view == ledger.blocks.tip else view.slot + 1

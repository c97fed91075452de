"""The subscriptions of one WebSocket: opens and ends them, and passes them the events of the ledger."""

from collections.abc import Callable
from itertools import count
from typing import Any

from dexexec.localnet.ledger import ChainEvent
from dexexec.localnet.rpc.account_subscriptions import AccountSubscriptions
from dexexec.localnet.rpc.errors import INVALID_REQUEST, RpcError
from dexexec.localnet.rpc.logs_subscriptions import LogsSubscriptions
from dexexec.localnet.rpc.notifier import Notifier
from dexexec.localnet.rpc.program_subscriptions import ProgramSubscriptions
from dexexec.localnet.rpc.request import Call, Method, Node
from dexexec.localnet.rpc.signature_subscriptions import SignatureSubscriptions
from dexexec.localnet.rpc.slot_subscriptions import RootSubscriptions, SlotSubscriptions, SlotsUpdatesSubscriptions
from dexexec.localnet.rpc.subscription_group import SubscriptionGroup

MAX_SUBSCRIPTIONS = 10_000
KINDS: tuple[type[SubscriptionGroup[Any]], ...] = (
    AccountSubscriptions,
    ProgramSubscriptions,
    LogsSubscriptions,
    SlotSubscriptions,
    RootSubscriptions,
    SlotsUpdatesSubscriptions,
)
"""All but signatures, which also catch up."""

# Unique across all sockets, as on a node.
_ids = count(1)


class Subscriptions:
    """The subscriptions of one socket. `methods` are its JSON-RPC methods; notifications go to `send`."""

    def __init__(self, node: Node, send: Callable[[dict[str, Any]], None]) -> None:
        self._node = node
        self._notifier = Notifier(node, send)
        self._signatures = SignatureSubscriptions(node, self._notifier)
        self._groups: list[SubscriptionGroup[Any]] = [kind(node, self._notifier) for kind in KINDS]
        self._groups.append(self._signatures)
        self.methods: dict[str, Method] = {}
        for group in self._groups:
            self.methods[f"{group.kind}Subscribe"] = self._subscribe_to(group)
            self.methods[f"{group.kind}Unsubscribe"] = self._unsubscribe_from(group)
        node.ledger.listeners.append(self.on_change)
        node.droppers.append(self.drop)

    def close(self) -> None:
        """Ends all subscriptions."""
        self._node.ledger.listeners.remove(self.on_change)
        self._node.droppers.remove(self.drop)

    def catch_up(self) -> None:
        """Notifies of signatures that reached their commitment before they were subscribed. Called after the client got
        the subscription's number."""
        self._signatures.catch_up()

    def drop(self, address: str) -> int:
        """Ends the subscriptions of an address without a notice. Returns how many there were."""
        return sum(group.drop(address) for group in self._groups)

    def on_change(self, event: ChainEvent) -> None:
        """Called by the ledger."""
        for group in self._groups:
            if group.open:
                group.on_change(event)
        self._notifier.send_due()

    def _subscribe_to(self, group: SubscriptionGroup[Any]) -> Method:
        def subscribe(call: Call) -> int:
            subscription = group.read(call)
            if sum(len(other.open) for other in self._groups) >= MAX_SUBSCRIPTIONS:
                raise RpcError(INVALID_REQUEST, f"Too many subscriptions; max {MAX_SUBSCRIPTIONS}")
            number = next(_ids)
            group.add(number, subscription)
            return number

        return subscribe

    def _unsubscribe_from(self, group: SubscriptionGroup[Any]) -> Method:
        def unsubscribe(call: Call) -> bool:
            if not group.remove(call.integer(0, "subscription")):
                raise RpcError(INVALID_REQUEST, "Invalid subscription id.")
            return True

        return unsubscribe

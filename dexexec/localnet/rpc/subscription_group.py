"""What the kinds of subscriptions have in common: the open ones of one WebSocket, by number."""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from dexexec.localnet.ledger import ChainEvent
from dexexec.localnet.rpc.notifier import Notifier
from dexexec.localnet.rpc.request import Call, Node

S = TypeVar("S")


class SubscriptionGroup(ABC, Generic[S]):
    """The subscriptions of one kind. `kind` begins the names of its methods and of its notifications."""

    kind: ClassVar[str]

    def __init__(self, node: Node, notifier: Notifier) -> None:
        self.node = node
        self.notifier = notifier
        self.open: dict[int, S] = {}

    @abstractmethod
    def read(self, call: Call) -> S:
        """The subscription that a call requests. Raises `RpcError`."""

    @abstractmethod
    def on_change(self, event: ChainEvent) -> None:
        """Notifies of what an event of the ledger changed."""

    def about(self, subscription: S) -> str:
        """The address that a subscription is of; empty if it has none."""
        return ""

    def add(self, number: int, subscription: S) -> None:
        """Opens a subscription."""
        self.open[number] = subscription

    def remove(self, number: int) -> bool:
        """Ends a subscription. False: it is not one of these."""
        if number not in self.open:
            return False
        del self.open[number]
        return True

    def drop(self, address: str) -> int:
        """Ends the subscriptions of an address without a notification. Returns how many there were."""
        numbers = [number for number, subscription in self.open.items() if self.about(subscription) == address]
        return sum(self.remove(number) for number in numbers)

    def notify(self, number: int, result: object) -> None:
        """Notifies a subscription."""
        self.notifier.notify(self.kind, number, result, about=self.about(self.open[number]))

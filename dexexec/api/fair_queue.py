"""A queue in which clients take turns: one item of each, then the next of each. Many requests of one client do not
delay those of another."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First in, first out, for the clients and for the items of each."""

    def __init__(self) -> None:
        self._by_client: OrderedDict[str, deque[T]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_client)

    def put(self, client: str, item: T) -> None:
        """Append an item of a client."""
        self._by_client.setdefault(client, deque()).append(item)

    def take(self) -> T:
        """The next item. Raises `KeyError` if the queue is empty."""
        client, items = self._by_client.popitem(last=False)
        item = items.popleft()
        if items:
            self._by_client[client] = items  # its next turn comes after the other clients'
        return item

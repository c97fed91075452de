"""A queue in which clients take turns: one of each, then the next of each, so that no crowd of one client's requests
makes another client wait behind all of it."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First come, first served for the clients and within each."""

    def __init__(self) -> None:
        self._by_client: OrderedDict[str, deque[T]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_client)

    def put(self, client: str, item: T) -> None:
        """Append to what waits of a client."""
        self._by_client.setdefault(client, deque()).append(item)

    def take(self) -> T:
        """The next one. Raises `KeyError` when nothing waits."""
        client, items = self._by_client.popitem(last=False)
        item = items.popleft()
        if items:
            self._by_client[client] = items  # behind the other clients
        return item

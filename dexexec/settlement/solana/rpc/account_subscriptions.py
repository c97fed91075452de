"""Keeps track of the accounts that are watched, and of their subscriptions on the open WebSocket.

Unlike other subscriptions, what these notify of is used. Whether it may be used is decided by the listener.
"""

import asyncio
from collections.abc import Callable, Iterable
from itertools import count
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.solana import Account
from dexexec.settlement.solana.rpc.websocket import (
    AccountChange,
    RpcWebSocket,
    SubscriptionReply,
    read_message,
    subscribe_account_message,
    unsubscribe_account_message,
)

MAX_PENDING = 32
"""Requests without a reply. Nodes limit requests, so the next ones wait for replies."""
REPLY_SECONDS = 10.0
"""A request without a reply for so long is repeated."""
MAX_LATE = 1_024
"""Repeated requests whose replies are still recognized."""
REFUSED_SECONDS = 60.0
"""After a refusal nothing is subscribed for so long: the next one would be refused as well."""


class AccountListener(Protocol):
    """Receives what happens to the subscriptions, in the order of the node's messages."""

    def connected(self) -> None:
        """There is a new connection."""

    def disconnected(self) -> None:
        """There are no subscriptions any more."""

    def subscribed(self, address: str) -> None:
        """Changes of the account are notified from now on."""

    def refused(self, address: str, why: str) -> None:
        """The node does not subscribe the account."""

    def changed(self, address: str, slot: int, account: Account | None) -> None:
        """The node notified of the account."""


class AccountSubscriptions:
    """The watched accounts of one chain, as `Subscriptions` of a `SubscriptionSocket`. `commitment` returns the name at
    which changes are notified."""

    def __init__(self, listener: AccountListener, clock: Clock, commitment: Callable[[], str]) -> None:
        self.any_watched = asyncio.Event()
        self._listener = listener
        self._clock = clock
        self._commitment = commitment
        # A dict keeps the order of insertion: what was watched first is subscribed first.
        self._watched: dict[str, int | None] = {}
        self._waiting: dict[str, None] = {}
        self._requests: dict[int, tuple[str, float]] = {}
        self._late: dict[int, str] = {}
        self._addresses: dict[int, str] = {}
        # Request numbers never repeat, so that a late reply of an old request is not taken for a new one.
        self._request_numbers = count(1)
        self._socket: RpcWebSocket | None = None
        self._refused_until = float("-inf")

    def __len__(self) -> int:
        return len(self._addresses)

    def watch(self, addresses: Iterable[str]) -> None:
        """Subscribes accounts, as soon as there is a connection."""
        for address in addresses:
            if address not in self._watched:
                self._watched[address] = None
                self._waiting[address] = None
        if self._watched:
            self.any_watched.set()
        self.send_due()

    def unwatch(self, addresses: Iterable[str]) -> None:
        """Ends subscriptions."""
        for address in addresses:
            number = self._watched.pop(address, None)
            self._waiting.pop(address, None)
            if number is not None:
                self._unsubscribe(number)
        self.drop_idle()

    def renew(self, address: str) -> None:
        """Subscribes an account again, whose subscription does not work."""
        if address in self._watched:
            self.unwatch([address])
            self.watch([address])

    def send_due(self) -> None:
        """Sends the requests that may be sent now."""
        now = self._clock.monotonic()
        if self._socket is None or now < self._refused_until:
            return
        for request, (address, sent_at) in list(self._requests.items()):
            if now - sent_at > REPLY_SECONDS:
                # If the reply still comes, it counts as well.
                del self._requests[request]
                self._late[request] = address
                self._wait(address)
        while len(self._late) > MAX_LATE:
            del self._late[next(iter(self._late))]
        while self._waiting and len(self._requests) < MAX_PENDING:
            address = next(iter(self._waiting))
            del self._waiting[address]
            request = next(self._request_numbers)
            self._requests[request] = address, now
            self._socket.send(subscribe_account_message(request, address, self._commitment()))

    def restart(self) -> None:
        """Ends the connection. The next one goes to another node, if there is one."""
        if self._socket is not None:
            self._socket.close()

    def drop_idle(self) -> None:
        """The connection is not needed while nothing is watched."""
        if not self._watched:
            self.any_watched.clear()

    def connected(self, socket: RpcWebSocket) -> None:
        """Subscribes everything over a new connection."""
        self._socket = socket
        self._refused_until = float("-inf")
        self._listener.connected()
        self.send_due()

    def disconnected(self) -> None:
        """Nothing is subscribed any more."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._requests.clear()
        self._late.clear()
        self._addresses.clear()
        self._watched = dict.fromkeys(self._watched)
        self._waiting = dict.fromkeys(self._watched)
        self._listener.disconnected()

    def receive(self, message: str | bytes) -> None:
        """Handles a message of the node."""
        match read_message(message):
            case SubscriptionReply(request, number, why):
                self._replied(request, number, why)
            case AccountChange(number, slot, account) if number in self._addresses:
                self._listener.changed(self._addresses[number], slot, account)

    def _replied(self, request: int, number: int | None, why: str) -> None:
        address, _ = self._requests.pop(request, (self._late.pop(request, ""), 0.0))
        if number is None:
            if address in self._watched:
                self._wait(address)
                self._refused_until = self._clock.monotonic() + REFUSED_SECONDS
                self._listener.refused(address, why)
        elif address not in self._watched or self._watched[address] is not None:
            # Dropped, or repeated, before the node's reply: nothing else would end this subscription. But nodes give
            # equal ones of a connection the same number, and the one that is used must not end with the other.
            if number not in self._addresses:
                self._unsubscribe(number)
        else:
            self._waiting.pop(address, None)
            self._watched[address] = number
            self._addresses[number] = address
            self._listener.subscribed(address)
        self.send_due()

    def _wait(self, address: str) -> None:
        if address in self._watched and self._watched[address] is None:
            self._waiting[address] = None

    def _unsubscribe(self, number: int) -> None:
        self._addresses.pop(number, None)
        if self._socket is not None:
            self._socket.send(unsubscribe_account_message(next(self._request_numbers), number))

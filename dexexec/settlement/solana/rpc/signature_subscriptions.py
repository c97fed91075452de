"""Keeps track of the signatures that tasks wait for, and of their subscriptions on the open WebSocket.

`SignatureNotifications` owns the connection; this class reads its messages and sends subscriptions over it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from dexexec.clock import Clock
from dexexec.settlement.backoff import LookupPauses
from dexexec.settlement.solana.rpc.websocket import (
    Notification,
    RpcWebSocket,
    SubscriptionReply,
    read_message,
    subscribe_message,
    unsubscribe_message,
)

IDLE_SECONDS = 30.0
"""Seconds without a waiting task after which a signature is unsubscribed."""


@dataclass(slots=True, kw_only=True)
class WatchedSignature:
    """A signature that tasks wait for.

    `subscription` is its number while the node has one. `notified`: its notification has arrived; nodes send only one.
    """

    poll_pauses: LookupPauses
    last_used: float
    waiting_tasks: int = 0
    subscription: int | None = None
    notified: bool = False
    wake_up: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Wakes all waiting tasks. Until the next subscription they poll, at first in short intervals."""
        self.subscription = None
        self.poll_pauses.restart()
        self.wake_up.set()


class SignatureSubscriptions:
    """The watched signatures of one chain. `commitment` returns the name at which a landing is notified, and
    `slot_seconds` the length of a slot."""

    def __init__(self, clock: Clock, commitment: Callable[[], str], slot_seconds: Callable[[], float]) -> None:
        self.any_watched = asyncio.Event()
        self._clock = clock
        self._commitment = commitment
        self._slot_seconds = slot_seconds
        self._watched: dict[str, WatchedSignature] = {}
        self._requests: dict[int, str] = {}
        self._subscriptions: dict[int, str] = {}
        # Request numbers never repeat, so that a late reply of an old request is not taken for a new one.
        self._request_numbers = count(1)
        self._socket: RpcWebSocket | None = None

    def watch(self, signature: str) -> WatchedSignature:
        """Starts watching a signature, or returns it if it is watched already."""
        watched = self._watched.get(signature)
        if watched is None:
            self.drop_idle()
            watched = WatchedSignature(poll_pauses=LookupPauses(self._slot_seconds), last_used=self._clock.monotonic())
            self._watched[signature] = watched
            self.any_watched.set()
            self._subscribe(signature)
        return watched

    def connected(self, socket: RpcWebSocket) -> None:
        """Subscribes everything over a new connection."""
        self._socket = socket
        for signature, watched in self._watched.items():
            if not watched.notified:
                self._subscribe(signature)

    def disconnected(self) -> None:
        """Wakes every waiting task: what happens from now on is not notified."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._requests.clear()
        self._subscriptions.clear()
        for watched in self._watched.values():
            watched.wake()

    def receive(self, message: str | bytes) -> None:
        """Handles a message of the node."""
        match read_message(message):
            case SubscriptionReply(request, subscription):
                self._subscribed(self._requests.pop(request, ""), subscription)
            case Notification(subscription):
                self._notified(self._subscriptions.pop(subscription, ""))

    def drop_idle(self) -> None:
        """Unsubscribes the signatures that no task has waited for in the last `IDLE_SECONDS`."""
        idle_since = self._clock.monotonic() - IDLE_SECONDS
        for signature, watched in list(self._watched.items()):
            if watched.waiting_tasks or watched.last_used > idle_since:
                continue
            del self._watched[signature]
            if watched.subscription is not None and self._socket is not None:
                self._subscriptions.pop(watched.subscription, None)
                self._socket.send(unsubscribe_message(next(self._request_numbers), watched.subscription))
        if not self._watched:
            self.any_watched.clear()

    def _subscribe(self, signature: str) -> None:
        if self._socket is not None:
            request = next(self._request_numbers)
            self._requests[request] = signature
            self._socket.send(subscribe_message(request, signature, self._commitment()))

    def _subscribed(self, signature: str, subscription: int | None) -> None:
        watched = self._watched.get(signature)
        if subscription is None or watched is None:
            return
        watched.subscription = subscription
        self._subscriptions[subscription] = signature
        # The swap may have been confirmed before the node had the subscription: look up once now.
        watched.wake_up.set()

    def _notified(self, signature: str) -> None:
        watched = self._watched.get(signature)
        if watched is not None:
            watched.notified = True
            watched.wake()

"""Keeps track of the programs whose accounts are watched, and of their subscriptions on the open WebSocket.

A notification gives an address to read and proves nothing. Nodes drop notifications under load without a sign of it, so
a watch also needs a search from time to time.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from dexexec.clock import Clock
from dexexec.domain.solana import AccountFilters
from dexexec.settlement.solana.rpc.event_wait import wait_for_event
from dexexec.settlement.solana.rpc.websocket import (
    AccountNotification,
    RpcWebSocket,
    SubscriptionReply,
    read_message,
    subscribe_program_message,
    unsubscribe_program_message,
)
from dexexec.venue import ProgramChanges

MAX_ADDRESSES = 1_000
"""Addresses that one watch keeps until they are read. More only cause a search."""


@dataclass(slots=True, kw_only=True, eq=False)
class WatchedProgram:
    """As `ProgramWatch`. `numbers` are the node's subscriptions, one for each of `filters`, as far as they exist."""

    program: str
    filters: tuple[AccountFilters, ...]
    clock: Clock
    subscriptions: "ProgramSubscriptions"
    numbers: dict[AccountFilters, int] = field(default_factory=dict)
    addresses: set[str] = field(default_factory=set)
    missed: bool = True
    wake_up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def live(self) -> bool:
        """Whether the node has a subscription for each of the searches."""
        return len(self.numbers) == len(self.filters)

    async def changes(self, seconds: float) -> ProgramChanges:
        """As `ProgramWatch`."""
        if not self.addresses and not self.missed:
            self.wake_up.clear()
            await wait_for_event(self.wake_up, seconds, self.clock)
        changes = ProgramChanges(frozenset(self.addresses), missed=self.missed)
        self.addresses.clear()
        self.missed = False
        return changes

    def close(self) -> None:
        """As `ProgramWatch`."""
        self.subscriptions.drop(self)

    def notified(self, address: str) -> None:
        """Adds a changed account."""
        if len(self.addresses) >= MAX_ADDRESSES:
            self.missed = True
        else:
            self.addresses.add(address)
        self.wake_up.set()

    def interrupted(self) -> None:
        """From now on, or until now, changes may not have been notified."""
        self.missed = True
        self.wake_up.set()


class ProgramSubscriptions:
    """The watched programs of one chain. `commitment` returns the name at which changes are notified."""

    def __init__(self, clock: Clock, commitment: Callable[[], str]) -> None:
        self.any_watched = asyncio.Event()
        self._clock = clock
        self._commitment = commitment
        self._watched: set[WatchedProgram] = set()
        self._requests: dict[int, tuple[WatchedProgram, AccountFilters]] = {}
        self._numbers: dict[int, WatchedProgram] = {}
        # Request numbers never repeat, so that a late reply of an old request is not taken for a new one.
        self._request_numbers = count(1)
        self._socket: RpcWebSocket | None = None

    def watch(self, program: str, filters: Sequence[AccountFilters]) -> WatchedProgram:
        """Starts a watch of the accounts of `program` that match one of `filters`."""
        watched = WatchedProgram(
            program=program, filters=tuple(dict.fromkeys(filters)), clock=self._clock, subscriptions=self
        )
        self._watched.add(watched)
        self._subscribe(watched)
        self.any_watched.set()
        return watched

    def drop(self, watched: WatchedProgram) -> None:
        """Ends a watch."""
        self._watched.discard(watched)
        for number in watched.numbers.values():
            self._unsubscribe(number)
        watched.numbers.clear()
        self.drop_idle()

    def drop_idle(self) -> None:
        """The connection is not needed while nothing is watched."""
        if not self._watched:
            self.any_watched.clear()

    def connected(self, socket: RpcWebSocket) -> None:
        """Subscribes everything over a new connection."""
        self._socket = socket
        for watched in self._watched:
            self._subscribe(watched)

    def disconnected(self) -> None:
        """Wakes every watch: what happens from now on is not notified."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._requests.clear()
        self._numbers.clear()
        for watched in self._watched:
            watched.numbers.clear()
            watched.interrupted()

    def receive(self, message: str | bytes) -> None:
        """Handles a message of the node."""
        match read_message(message):
            case SubscriptionReply(request, subscription) if request in self._requests:
                self._subscribed(*self._requests.pop(request), subscription)
            case AccountNotification(subscription, address) if subscription in self._numbers:
                self._numbers[subscription].notified(address)

    def _subscribe(self, watched: WatchedProgram) -> None:
        if self._socket is None:
            return
        for filters in watched.filters:
            request = next(self._request_numbers)
            self._requests[request] = watched, filters
            self._socket.send(subscribe_program_message(request, watched.program, filters, self._commitment()))

    def _subscribed(self, watched: WatchedProgram, filters: AccountFilters, number: int | None) -> None:
        if number is None:
            return  # the node refuses: its accounts are searched instead
        if watched not in self._watched:
            # Dropped before the node's reply, so nothing else would end this subscription.
            self._unsubscribe(number)
            return
        watched.numbers[filters] = number
        self._numbers[number] = watched
        # What happened before the node had the subscription was not notified: search once.
        watched.interrupted()

    def _unsubscribe(self, number: int) -> None:
        self._numbers.pop(number, None)
        if self._socket is not None:
            self._socket.send(unsubscribe_program_message(next(self._request_numbers), number))

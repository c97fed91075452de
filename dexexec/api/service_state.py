"""The state of the service as a process reads it for `GET /api/overview`: rarely, however many pages are open."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from dexexec.clock import Clock
from dexexec.domain.halt import Halt
from dexexec.domain.program_version import Quarantine
from dexexec.errors import UnavailableError
from dexexec.store.measurements import OpenOrders
from dexexec.store.operator_lists import ListedWorker
from dexexec.venue import VenueError

T = TypeVar("T")

READ_SECONDS = 2.0
"""The time limit of one part."""
FRESH_SECONDS = 1.0
MOST_OWNERS = 1_000
"""Keys whose figures are kept."""
BALANCES_FRESH_SECONDS = 10.0
"""A balance is a request to a node, whose budget is for orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletBalance:
    """What a wallet has of a mint, and what open attempts may still take of it, in base units. `amount` is None where
    no balance is read."""

    mint: str
    symbol: str
    decimals: int
    amount: int | None
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletState:
    """A wallet on a network."""

    name: str
    network: str
    address: str
    balances: Sequence[WalletBalance]


class ServiceState(Protocol):
    """What an overview shows of the service."""

    @property
    def network(self) -> tuple[str, str]:
        """The network that orders settle on: its name, and its kind."""

    def halts(self) -> Sequence[Halt]:
        """All halts."""

    def quarantines(self) -> Sequence[Quarantine]:
        """The venues that get no orders, because a program of theirs was upgraded."""

    def nodes(self) -> Mapping[str, int] | None:
        """How many slots each node is behind, by its name; None in a process without a worker."""

    async def open_orders(self, owner: int | None) -> OpenOrders:
        """Orders of `owner` (None: of all) that have not ended."""

    async def workers(self) -> Sequence[ListedWorker]:
        """All workers."""

    async def wallets(self) -> Sequence[WalletState]:
        """The wallets of this process' worker; none without a worker."""


class Kept(Generic[T]):
    """A value that is read again when it is older than `seconds`; None while it cannot be read."""

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float, clock: Clock) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._turn = asyncio.Lock()
        self._at = float("-inf")
        self._value: T | None = None

    async def get(self) -> T | None:
        """The value."""
        async with self._turn:  # many readers at once are one read
            # With the lock held: a caller that waited finds what the one before it has read.
            if self._clock.monotonic() - self._at >= self._seconds:
                try:
                    async with asyncio.timeout(READ_SECONDS):
                        self._value = await self._read()
                except (UnavailableError, VenueError, TimeoutError):
                    self._value = None
                # After a failure too: a server that is away must not get a query from every request.
                self._at = self._clock.monotonic()
            return self._value


class Overviews:
    """The state of the service, as this process has read it last."""

    def __init__(self, state: ServiceState, clock: Clock) -> None:
        self.state = state
        self._clock = clock
        self._open_orders: dict[int | None, Kept[OpenOrders]] = {}
        self.workers = Kept(state.workers, FRESH_SECONDS, clock)
        self.wallets = Kept(state.wallets, BALANCES_FRESH_SECONDS, clock)

    async def open_orders(self, owner: int | None) -> OpenOrders | None:
        """Orders of `owner` (None: of all) that have not ended."""
        if owner not in self._open_orders:
            # Keys come and go. What is dropped is read again.
            if len(self._open_orders) >= MOST_OWNERS:
                self._open_orders.clear()
            self._open_orders[owner] = Kept(partial(self.state.open_orders, owner), FRESH_SECONDS, self._clock)
        return await self._open_orders[owner].get()

"""Follows the pools of one pair on chain: those that exist, new ones, and changes of their reserves.

A node's reports over WebSocket only name accounts to read. Since nodes drop reports without a sign, there is also a
search now and then; without reports, a search every few seconds.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dexexec.domain.launch import NewPool
from dexexec.domain.solana import AccountFilters
from dexexec.venue import (
    ProgramChanges,
    ProgramWatch,
    ProgramWatchingChain,
    SolanaChain,
    VenueContext,
    VenueError,
    pace_of,
)
from dexexec_adapters.pools.search import discover

SEARCH_SECONDS = 2.0
"""Between two searches while the node reports nothing."""
CHECK_SECONDS = 30.0
"""Between two searches while it reports changes."""
REREAD_SLOTS = 1
"""Slots between two reads of pools that are known: a busy pool changes in every slot."""
CLOCK_SECONDS = 0.001
"""The accuracy of times."""
MAX_FAILED_SEARCHES = 3
"""In a row, while the node reports nothing either."""
MAX_UNREADABLE = 25
"""How often an address without a readable pool is read. One node may report an account that another has not yet."""
MAX_KNOWN = 1_000
"""Pools that are remembered. Every wallet can create pools of a pair, and they must not fill the memory."""

ReadPools = Callable[[Collection[str]], Awaitable[Sequence[NewPool]]]
"""Reads the pools at these addresses from the chain, and skips what is not a pool of the pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSearch:
    """How the pools of a pair are found: the searches, and likely addresses for nodes that cannot search."""

    chain: SolanaChain
    program: str
    filters: Sequence[AccountFilters]
    derived: Sequence[str]

    async def find(self) -> frozenset[str]:
        """The addresses of the accounts that match. Raises `VenueError`."""
        return frozenset(await discover(self.chain, self.program, self.filters, self.derived))


async def follow_pools(
    search: PairSearch, read: ReadPools, context: VenueContext[Any]
) -> AsyncGenerator[NewPool, None]:
    """The pools of a pair, as `Venue.watch_pools` does. Raises `VenueError`."""
    chain = search.chain
    watch: ProgramWatch = _NoReports(context)
    if isinstance(chain, ProgramWatchingChain):
        watch = chain.watch_program(search.program, search.filters)
    follower = _Follower(search, read, context, watch)
    try:
        while True:
            for pool in await follower.next_pools():
                yield pool
    finally:
        watch.close()


@dataclass(slots=True)
class _Follower:
    """`unread` are addresses to read, with the number of times that they were read in vain."""

    search: PairSearch
    read: ReadPools
    context: VenueContext[Any]
    watch: ProgramWatch
    known: dict[str, NewPool] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    search_at: float = -math.inf
    reread_at: float = -math.inf
    failed_searches: int = 0

    async def next_pools(self) -> list[NewPool]:
        """Wait until something is to be read, and return the pools that are new or have changed."""
        until = min(self.search_at, self.reread_at if self.unread else math.inf)
        changes = await self.watch.changes(max(until - self.context.clock.monotonic(), 0))
        found = changes.addresses
        if changes.missed or self._is_due(self.search_at):
            found |= await self._search()
        is_new = not found <= self.known.keys() | self.unread.keys()
        # Sorted, since the order of a set differs from run to run, and with it what is forgotten first.
        for address in sorted(found):
            self.unread.setdefault(address, 0)
        # A new pool is read at once: orders may be waiting for it.
        if not self.unread or (not is_new and not self._is_due(self.reread_at)):
            return []
        return await self._read_unread()

    def _is_due(self, at: float) -> bool:
        # A wait may end a rounding error too early.
        return at - self.context.clock.monotonic() < CLOCK_SECONDS

    async def _search(self) -> frozenset[str]:
        try:
            found = await self.search.find()
        except VenueError:
            self.failed_searches += 1
            # While the node reports changes they are enough: many nodes do not support searches.
            if not self.watch.live and self.failed_searches >= MAX_FAILED_SEARCHES:
                raise
            found = frozenset()
        else:
            self.failed_searches = 0
        self.search_at = self.context.clock.monotonic() + (CHECK_SECONDS if self.watch.live else SEARCH_SECONDS)
        return found

    async def _read_unread(self) -> list[NewPool]:
        pools = await self.read(self.unread.keys())
        self.reread_at = self.context.clock.monotonic() + pace_of(self.context.chain).seconds(REREAD_SLOTS)
        changed = []
        for pool in pools:
            # The slot alone is no change.
            before = self.known.pop(pool.address, None)
            if before is None or replace(before, slot=pool.slot) != pool:
                changed.append(pool)
            self.known[pool.address] = pool
            self.unread.pop(pool.address, None)
        while len(self.known) > MAX_KNOWN:
            del self.known[next(iter(self.known))]
        tries = {address: count + 1 for address, count in self.unread.items()}
        # A later report or search brings an address back that was given up here.
        self.unread = {address: count for address, count in tries.items() if count < MAX_UNREADABLE}
        return changed


@dataclass(slots=True)
class _NoReports:
    """A chain without reports."""

    context: VenueContext[Any]
    live: bool = False

    async def changes(self, seconds: float) -> ProgramChanges:
        """Nothing, after a wait."""
        if seconds:
            await self.context.clock.sleep(seconds)
        return ProgramChanges(frozenset(), missed=False)

    def close(self) -> None:
        """There is nothing to close."""

"""Keeps the pools of pairs known in the background, so that no order waits for a search.

The pools of a pair are searched again before they are too old, and as soon as a node reports an account that the last
search did not find. A pair is kept for an hour after its last use.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dexexec.domain.solana import AccountFilters
from dexexec.venue import ProgramWatch, ProgramWatchingChain, VenueContext
from dexexec_adapters.pools.search import Mints

KEPT_SECONDS = 3_600.0
"""A pair that was not used for so long is not kept."""
MAX_PAIRS = 32
"""Pairs that are kept, the last used ones: each has subscriptions at a node."""
LOOK_SECONDS = 0.5
"""Between two looks at what was reported."""
CHECK_SECONDS = 30.0
"""Between two searches for a pair whose pools may change at any time, since reports get lost without a sign. Also the
longest pause after searches in vain: a node may fail each, or report accounts that none of them finds."""
MAX_REPORTED = 16
MAX_REPORTED_PAIRS = 1_024
"""Launched pools of a pair, and their pairs, that are remembered."""


@dataclass(slots=True, kw_only=True)
class _KeptPair:
    """A pair, when it was last used, and what a node reports of it; None if the chain reports nothing. `found` are the
    accounts of the last search, and `reported` those that make another one due. After one in vain none begins before
    `search_at`, and `pause` is the time until then."""

    used_at: float
    watch: ProgramWatch | None
    found: frozenset[str] = frozenset()
    reported: frozenset[str] = frozenset()
    missed: bool = True
    pause: float = LOOK_SECONDS
    search_at: float = 0.0

    @property
    def live(self) -> bool:
        return self.watch is not None and self.watch.live and not self.missed


class KnownPools(Protocol):
    """The part of `PoolCache` that this module uses."""

    def age(self, key: Mints) -> float:
        """As `PoolCache`."""

    async def refresh(self, key: Mints) -> bool:
        """As `PoolCache`."""


class PoolKeeper:
    """Keeps the pools of pairs known while it is started. `filters` returns the searches for a pair's pools of
    `program`. Pools are cached for `max_age` seconds; those of `is_new` pairs may change at any time."""

    def __init__(
        self,
        context: VenueContext[Any],
        program: str,
        *,
        filters: Callable[[Mints], Sequence[AccountFilters]],
        is_new: Callable[[Mints], bool],
        max_age: float,
    ) -> None:
        self._chain = context.chain
        self._clock = context.clock
        self._program = program
        self._filters = filters
        self._is_new = is_new
        self._max_age = max_age
        self._pairs: dict[Mints, _KeptPair] = {}
        self._reported: dict[Mints, dict[str, None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, cache: KnownPools) -> None:
        """Keep pairs from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(cache))

    def use(self, pair: Mints) -> None:
        """A pair is used by an order."""
        if self._task is None:
            return
        kept = self._pairs.pop(pair, None)
        if kept is None:
            watch = None
            if isinstance(self._chain, ProgramWatchingChain):
                watch = self._chain.watch_program(self._program, self._filters(pair))
            kept = _KeptPair(used_at=0.0, watch=watch)
        kept.used_at = self._clock.monotonic()
        self._pairs[pair] = kept
        # A dict keeps the order of insertion, so the first one was used longest ago.
        while len(self._pairs) > MAX_PAIRS:
            self._drop(next(iter(self._pairs)))

    def follows(self, pair: Mints) -> bool:
        """Whether a node reports new pools of the pair, and nothing was missed since the last search."""
        kept = self._pairs.get(pair)
        return kept is not None and kept.live

    def searched(self, pair: Mints, found: Iterable[str]) -> None:
        """A search found these accounts. Reports of them are no reason for another one."""
        if (kept := self._pairs.get(pair)) is not None:
            kept.found = frozenset(found)

    def remember(self, pair: Mints, address: str) -> None:
        """A pool was launched. It is looked at from now on, also where a node cannot search for it."""
        pools = self._reported.setdefault(pair, {})
        pools[address] = None
        # A dict keeps the order of insertion, so the oldest go first.
        while len(pools) > MAX_REPORTED:
            del pools[next(iter(pools))]
        while len(self._reported) > MAX_REPORTED_PAIRS:
            del self._reported[next(iter(self._reported))]

    def reported(self, pair: Mints) -> Sequence[str]:
        """The launched pools of a pair."""
        return tuple(self._reported.get(pair, ()))

    async def aclose(self) -> None:
        """Keep nothing any more."""
        for pair in list(self._pairs):
            self._drop(pair)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, cache: KnownPools) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            for pair, kept in list(self._pairs.items()):
                if self._clock.monotonic() - kept.used_at > KEPT_SECONDS:
                    self._drop(pair)
                elif await self._is_due(pair, kept, cache):
                    await self._search(pair, kept, cache)

    async def _is_due(self, pair: Mints, kept: _KeptPair, cache: KnownPools) -> bool:
        if kept.watch is not None and kept.watch.live:
            changes = await kept.watch.changes(0)
            if changes.missed or not changes.addresses <= kept.found:
                kept.missed = True
                kept.reported = changes.addresses
        if self._clock.monotonic() < kept.search_at:
            return False
        limit = self._max_age / 2
        if self._is_new(pair):
            limit = min(limit, CHECK_SECONDS)
        return (kept.missed and kept.watch is not None and kept.watch.live) or cache.age(pair) > limit

    async def _search(self, pair: Mints, kept: _KeptPair, cache: KnownPools) -> None:
        # What is reported while the search runs is looked at after it, and may start another one.
        reported = kept.reported
        kept.reported = frozenset()
        kept.missed = not await cache.refresh(pair)
        # Else it would be repeated at each look for an hour, and searches are what nodes allow least of.
        in_vain = kept.missed or not reported <= kept.found
        kept.pause = min(kept.pause * 2, CHECK_SECONDS) if in_vain else LOOK_SECONDS
        kept.search_at = self._clock.monotonic() + kept.pause if in_vain else 0.0

    def _drop(self, pair: Mints) -> None:
        kept = self._pairs.pop(pair)
        if kept.watch is not None:
            kept.watch.close()

"""Watches launches for the snipers that wait for them, and triggers those whose conditions hold. A duty of the leader.

Each pair that is waited for is watched at every venue that reports pools. A report is recorded and acted upon at once;
an order that a condition stops is looked at again when its pools change, and now and then. The order's row decides, so
that two leaders for a moment never trigger an order twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.launch import NewPool
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.resting.launched_pools import LaunchedPools, problem_of
from dexexec.resting.sniper_trigger import SniperStore, SniperTrigger
from dexexec.store import SniperPair
from dexexec.venue import AnyVenue, VenueError

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
"""Pauses after a watch has failed, and between two looks at a pair whose pools do not change."""
FORGET_SECONDS = 3_600.0
"""Between two deletions of old launches."""


class LaunchWatchStore(SniperStore, Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def sniper_pairs(self) -> list[SniperPair]:
        """The pairs that resting snipers wait for."""

    async def forget_launches(self) -> None:
        """Delete launches of long ago."""


class Launches:
    """A duty of the leader. `trigger` decides which orders are executed."""

    name = "watching launches"

    def __init__(
        self,
        store: LaunchWatchStore,
        venues: Mapping[str, AnyVenue],
        trigger: SniperTrigger,
        *,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._store = store
        self._venues = venues
        self._trigger = trigger
        self._clock = clock
        self._observer = observer
        self._watches: dict[tuple[str, str], PairWatch] = {}
        self._forget_at = clock.monotonic()

    async def turn(self) -> None:
        """Watch the pairs that are waited for now, and look at those that are due. Raises `UnavailableError`."""
        waiting = {(pair.spent, pair.wanted): pair.newest for pair in await self._store.sniper_pairs()}
        # A watch costs subscriptions and searches, so it ends with the last order that waits for its pair.
        for pair in self._watches.keys() - waiting.keys():
            self._watches.pop(pair).close()
        for pair, newest in waiting.items():
            if pair not in self._watches:
                self._watches[pair] = PairWatch(
                    pair, self._venues, self._trigger, clock=self._clock, observer=self._observer
                )
            # Its pools may have been reported long before this order came.
            self._watches[pair].order_waits(newest)
        for watch in list(self._watches.values()):
            await watch.look_if_due()
        if self._clock.monotonic() >= self._forget_at:
            await self._store.forget_launches()
            self._forget_at = self._clock.monotonic() + FORGET_SECONDS

    def resign(self) -> None:
        """End all watches."""
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()


class PairWatch:
    """The watch of one pair (spent, wanted) at all venues."""

    def __init__(
        self,
        pair: tuple[str, str],
        venues: Mapping[str, AnyVenue],
        trigger: SniperTrigger,
        *,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._pair = pair
        self._trigger = trigger
        self._clock = clock
        self._observer = observer
        self._pools = LaunchedPools(pair[0])
        self._newest = 0
        self._due_at = clock.monotonic()
        self._pause = FIRST_PAUSE_SECONDS
        # One look at a time: two would trigger and note the same orders.
        self._looking = asyncio.Lock()
        self._tasks = [asyncio.create_task(self._follow(name, venue.watch_pools)) for name, venue in venues.items()]

    def order_waits(self, newest: int) -> None:
        """Another order waits for the pair if `newest` has changed."""
        if newest != self._newest:
            self._newest = newest
            self._pause = FIRST_PAUSE_SECONDS
            self._due_at = self._clock.monotonic()

    def close(self) -> None:
        """End the watch."""
        for task in self._tasks:
            task.cancel()

    async def look_if_due(self) -> None:
        """Look at the pair's orders if it is time. Raises `UnavailableError`."""
        if len(self._pools) and self._clock.monotonic() >= self._due_at:
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            await self._look()

    async def _look(self) -> None:
        async with self._looking:
            # Until it has succeeded, the next turn tries again.
            self._due_at = self._clock.monotonic()
            await self._trigger.look(self._pair, self._pools)
            # Prices move without a report, and a pool that is known may open by time alone.
            pause = self._pause
            now_ms = self._clock.unix_ms()
            opens_at_ms = self._pools.next_opening_ms(now_ms)
            if opens_at_ms is not None:
                pause = min(pause, (opens_at_ms - now_ms) / 1000)
            self._due_at = self._clock.monotonic() + pause

    async def _follow(
        self, venue: str, watch_pools: Callable[[tuple[str, str]], AsyncGenerator[NewPool, None] | None]
    ) -> None:
        """Act upon every report of a venue, and begin again after errors, until cancelled."""
        pause = FIRST_PAUSE_SECONDS
        reported = ""
        while True:
            try:
                pools = watch_pools(self._pair)
                if pools is None:
                    return
                async with aclosing(pools):
                    async for pool in pools:
                        pause = FIRST_PAUSE_SECONDS
                        reported = ""
                        await self._reported(venue, pool)
                problem = "it ended"
            except VenueError as error:
                problem = clean(error)
            except asyncio.CancelledError:
                raise_if_cancelled()
                problem = "something that it waited for was cancelled"
            except Exception as error:  # noqa: BLE001 - a bug of an adapter must not end the watch of the others
                problem = f"{type(error).__name__}: {clean(error)}"
            # Once per outage: the same problem returns with every try.
            if problem != reported:
                self._observer.launch_watch_failed(venue, self._pair[1], problem)
                reported = problem
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _reported(self, venue: str, pool: NewPool) -> None:
        problem = problem_of(pool, venue, self._pair)
        if problem:
            self._observer.launch_refused(venue, self._pair[1], clean(problem))
            return
        if not self._pools.put(pool):
            return
        self._pause = FIRST_PAUSE_SECONDS
        try:
            await self._look()
        except UnavailableError:
            # The turn reports the outage and looks again.
            self._due_at = self._clock.monotonic()

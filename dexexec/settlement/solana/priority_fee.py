"""Estimates the priority fee of a transaction: what others paid lately for the same accounts, between floor and cap.

Sealing requests it for each transaction. A node returns the lowest fee that was enough in each recent slot. The answer
is cached for some seconds, and `run` renews it before that for the accounts that were lately written to. A fee for
accounts that are only `expect`ed is requested early. Without an answer in time, the last one counts, or the floor.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.funds import PriorityFee
from dexexec.venue import VenueError

RecentFees = Callable[[Sequence[str]], Awaitable[Sequence[int]]]
"""`RpcChain.recent_priority_fees`: the lowest micro-lamports per compute unit that landed in each recent slot."""

PERCENTILE = 75
"""The value of a slot is the lowest fee that landed there, so this percentile would have landed in three of four recent
slots. The median would miss every other slot; the maximum would follow the highest bidder of a single slot. There is no
factor on top: it would raise the market that all others then see.
"""
REMEMBERED_SECONDS = 10.0
"""At most a third of the 150 slots that an answer covers: the percentile hardly changes in that time."""
WAIT_SECONDS = 1.0
"""A fee that arrives later is worth less than the slots lost by waiting for it."""
RENEWED_SECONDS = 5.0
"""The age at which the answer for accounts in use is renewed in the background."""
RENEWAL_PAUSE = 0.5
"""Seconds between two renewals at least: they take two requests per second, so ten sets of accounts are kept fresh."""
USED_SECONDS = 3_600.0
"""How long after their last transaction the fee for a set of accounts is kept fresh."""
MOST_KNOWN = 256
"""The most sets of accounts in the cache: trades in ever new pools must not fill the memory."""
MOST_ADDRESSES = 128
"""A node takes no more in one request."""
MOST_EXPECTED = 32
WARN_SECONDS = 60.0
"""Seconds between two warnings about the cap."""


class PriorityFeeObserver(Protocol):
    """Receives events: the first two once per change, the last at most once in `WARN_SECONDS`."""

    def priority_fee_unknown(self, why: str) -> None:
        """No node returns recent fees: the last known fee is offered, or the floor."""

    def priority_fee_known(self) -> None:
        """A node returns recent fees again."""

    def priority_fee_capped(self, market: int, cap: int) -> None:
        """Others pay more than the cap (micro-lamports per compute unit)."""


@dataclass(frozen=True, slots=True)
class _CachedFee:
    """An offer: when it was last looked up, when a node last answered (None: never), and when it was last used."""

    offer: PriorityFee
    at: float
    read_at: float | None
    used: float

    @property
    def until(self) -> float:
        """Until when it is used without a request."""
        return self.at + REMEMBERED_SECONDS


class PriorityFeeEstimator:
    """Estimates priority fees in micro-lamports per compute unit: at least `floor`, at most `cap`."""

    def __init__(
        self, recent_fees: RecentFees, floor: int, cap: int, clock: Clock, observer: PriorityFeeObserver
    ) -> None:
        self._recent_fees = recent_fees
        self._floor = min(floor, cap)
        self._cap = cap
        self._clock = clock
        self._observer = observer
        self._cache: dict[frozenset[str], _CachedFee] = {}
        self._requests: dict[frozenset[str], asyncio.Task[None]] = {}
        self._expected: dict[frozenset[str], None] = {}
        self._unknown = False
        self._no_warning_until = -math.inf

    async def __call__(self, addresses: Sequence[str]) -> PriorityFee:
        """Returns the fee for a transaction that writes to `addresses`. Concurrent callers share one request."""
        if self._cap == self._floor:
            return PriorityFee(self._cap, self._cap)
        key = frozenset(addresses)
        cached = self._fresh(key) or await self._from_expected(key)
        if cached is None:
            # Shielded: if this caller is cancelled, the others still need the answer.
            await asyncio.shield(self._requests.get(key) or self._begin(key))
            cached = self._cache.get(key)
        if cached is None:
            return PriorityFee(self._floor, self._cap)
        now = self._clock.monotonic()
        self._cache[key] = replace(cached, used=now)
        return replace(cached.offer, age_ms=None if cached.read_at is None else round(1000 * (now - cached.read_at)))

    def expect(self, addresses: Sequence[str]) -> None:
        """A transaction is about to write to some of these accounts. A fee that is enough for all is requested now."""
        key = frozenset(addresses[:MOST_ADDRESSES])
        if not key or self._cap == self._floor or self._fresh(key) is not None:
            return
        self._expected[key] = None
        while len(self._expected) > MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]
        if key not in self._requests:
            # Never used as such, so that it is not renewed.
            self._begin(key, used=-math.inf)

    async def run(self) -> None:
        """Renews the fees of accounts in use before they age, until cancelled."""
        while True:
            key = self._next_renewal()
            if key is not None and key not in self._requests:
                # Shielded as well: an order may wait for the same answer when this loop ends.
                await asyncio.shield(self._begin(key))
            await self._clock.sleep(RENEWAL_PAUSE)

    def _next_renewal(self) -> frozenset[str] | None:
        """The accounts whose fee is to be renewed now: those that were used last, of all that are old enough."""
        now = self._clock.monotonic()
        due = (
            (cached.used, key)
            for key, cached in self._cache.items()
            if now - cached.at >= RENEWED_SECONDS and now - cached.used < USED_SECONDS
        )
        return max(due, key=lambda one: one[0], default=(0.0, None))[1]

    def _fresh(self, key: frozenset[str]) -> _CachedFee | None:
        cached = self._cache.get(key)
        return cached if cached is not None and self._clock.monotonic() < cached.until else None

    async def _from_expected(self, key: frozenset[str]) -> _CachedFee | None:
        """The fee of the smallest expected set that has all accounts of `key`. It may be more than enough, but never
        less, since a node returns the highest of its accounts; the own one follows in the background."""
        for wider in sorted((one for one in self._expected if key <= one), key=len):
            if wider in self._requests:
                await asyncio.shield(self._requests[wider])
            found = self._fresh(wider)
            if found is not None and found.read_at is not None:
                # So old that it is renewed next.
                taken = replace(found, at=found.at - RENEWED_SECONDS, used=self._clock.monotonic())
                self._keep(key, taken)
                return taken
        return None

    def _begin(self, key: frozenset[str], used: float | None = None) -> asyncio.Task[None]:
        task = self._requests[key] = asyncio.create_task(self._look_up(key, used))
        task.add_done_callback(lambda _: self._requests.pop(key, None))
        return task

    async def _look_up(self, key: frozenset[str], used: float | None) -> None:
        last = self._cache.get(key)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                market = percentile(await self._recent_fees(sorted(key)))
        except (TimeoutError, VenueError) as error:
            read_at = last.read_at if last else None
            offer = last.offer if last else PriorityFee(self._floor, self._cap)
            if not self._unknown:
                self._unknown = True
                self._observer.priority_fee_unknown(str(error) or f"no answer within {WAIT_SECONDS:g} s")
        else:
            read_at = self._clock.monotonic()
            offer = PriorityFee(max(self._floor, min(self._cap, market)), self._cap, market)
            if self._unknown:
                self._unknown = False
                self._observer.priority_fee_known()
            self._warn_if_capped(offer)
        now = self._clock.monotonic()
        known = self._cache.get(key)
        first = now if used is None else used
        self._keep(key, _CachedFee(offer, now, read_at, known.used if known else first))

    def _keep(self, key: frozenset[str], fee: _CachedFee) -> None:
        self._cache.pop(key, None)  # so that the newest entry is the last, and the oldest is dropped first
        self._cache[key] = fee
        while len(self._cache) > MOST_KNOWN:
            del self._cache[next(iter(self._cache))]

    def _warn_if_capped(self, offer: PriorityFee) -> None:
        now = self._clock.monotonic()
        if offer.market is not None and offer.capped and now >= self._no_warning_until:
            self._no_warning_until = now + WARN_SECONDS
            self._observer.priority_fee_capped(offer.market, offer.cap)


def percentile(prices: Sequence[int]) -> int:
    """Returns the `PERCENTILE`th percentile of `prices` by the nearest rank; 0 if there are none."""
    if not prices:
        return 0
    return sorted(prices)[-(-len(prices) * PERCENTILE // 100) - 1]


async def no_priority_fee(addresses: Sequence[str]) -> PriorityFee:
    """Returns a fee of zero: for a chain without competition for blocks."""
    return PriorityFee(0, 0)

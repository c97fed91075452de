"""What a compute unit is offered: from what others paid lately to write to the same accounts, between floor and cap.

Sealing asks for each transaction. A node tells for each recent slot the least price that was enough there; what it said
counts for some seconds, so that many swaps of one pool ask once. A node that does not answer holds up no swap for long:
then what was known last for these accounts counts, or the floor.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.funds import PriorityFee
from dexexec.venue import VenueError

Ask = Callable[[Sequence[str]], Awaitable[Sequence[int]]]
"""`RpcChain.recent_priority_fees`: for each recent slot the least micro-lamports per compute unit that landed there."""

PERCENTILE = 75
"""A slot's value is the least that got in, so this price would have got in in three of four recent slots. The median
would miss every other one, and a bound on waiting is worth more than the little it saves; the highest would pay for
good what one bidder paid in one slot. It is offered as it is: a factor on top would drive up what all others then see.
"""
REMEMBERED_SECONDS = 10.0
"""About 25 of the 150 slots that an answer covers: the percentile hardly moves meanwhile."""
WAIT_SECONDS = 1.0
"""A price that comes later than this is worth less than the slots that were lost over it."""
MOST_KNOWN = 256
"""Sets of accounts that are remembered: whoever trades ever new pools may not fill the memory."""
WARN_SECONDS = 60.0
"""At most one warning about the cap in this time."""


class PriorityFeeObserver(Protocol):
    """Who is told: of the first two once per change, of the last at most once in `WARN_SECONDS`."""

    def priority_fee_unknown(self, why: str) -> None:
        """Nodes do not tell what a compute unit costs: what was known last is offered, or the floor."""

    def priority_fee_known(self) -> None:
        """They do again."""

    def priority_fee_capped(self, market: int, cap: int) -> None:
        """Others pay more for a compute unit than may be offered (micro-lamports)."""


@dataclass(frozen=True, slots=True)
class _Known:
    offer: PriorityFee
    until: float


class PriorityFeeEstimator:
    """The price for a transaction, in micro-lamports per compute unit: never under `floor`, never over `cap`."""

    def __init__(self, ask: Ask, floor: int, cap: int, clock: Clock, watcher: PriorityFeeObserver) -> None:
        self._ask, self._floor, self._cap, self._clock, self._watcher = ask, min(floor, cap), cap, clock, watcher
        self._known: dict[frozenset[str], _Known] = {}
        self._asking: dict[frozenset[str], asyncio.Task[None]] = {}
        self._silent = False
        self._quiet_until = -math.inf

    async def __call__(self, addresses: Sequence[str]) -> PriorityFee:
        """What to offer for a transaction that writes to `addresses`. Those who ask at once share one question."""
        if self._cap == self._floor:
            return PriorityFee(self._cap, self._cap)
        key = frozenset(addresses)
        known = self._known.get(key)
        if known is None or self._clock.monotonic() >= known.until:
            await asyncio.shield(self._asking.get(key) or self._begin(key))
            known = self._known.get(key)
        return known.offer if known else PriorityFee(self._floor, self._cap)

    def _begin(self, key: frozenset[str]) -> asyncio.Task[None]:
        task = self._asking[key] = asyncio.create_task(self._look_up(key))
        task.add_done_callback(lambda _: self._asking.pop(key, None))
        return task

    async def _look_up(self, key: frozenset[str]) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                market = percentile(await self._ask(sorted(key)))
        except (TimeoutError, VenueError) as error:
            last = self._known.get(key)
            offer = last.offer if last else PriorityFee(self._floor, self._cap)
            if not self._silent:
                self._silent = True
                self._watcher.priority_fee_unknown(str(error) or f"no answer within {WAIT_SECONDS:g} s")
        else:
            offer = PriorityFee(max(self._floor, min(self._cap, market)), self._cap, market)
            if self._silent:
                self._silent = False
                self._watcher.priority_fee_known()
            self._warn(offer)
        self._known.pop(key, None)  # so that the newest stands last
        self._known[key] = _Known(offer, self._clock.monotonic() + REMEMBERED_SECONDS)
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def _warn(self, offer: PriorityFee) -> None:
        now = self._clock.monotonic()
        if offer.market is not None and offer.capped and now >= self._quiet_until:
            self._quiet_until = now + WARN_SECONDS
            self._watcher.priority_fee_capped(offer.market, offer.cap)


def percentile(prices: Sequence[int]) -> int:
    """The least of `prices` that is not under `PERCENTILE` hundredths of them; 0 of none."""
    if not prices:
        return 0
    return sorted(prices)[-(-len(prices) * PERCENTILE // 100) - 1]


async def no_priority_fee(addresses: Sequence[str]) -> PriorityFee:
    """Nothing is offered: for a chain on which nobody competes."""
    return PriorityFee(0, 0)

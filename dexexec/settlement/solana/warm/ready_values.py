"""Values that every transaction needs and that are the same for all: blockhash and rent, read before an order comes.

`run` refreshes them. Without it, or while a value is too old, the nodes are requested as if nothing were kept.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.rent import Rent
from dexexec.domain.swap import VALID_FOR, Blockhash
from dexexec.venue import VenueError

LEAST_LEFT = 100
"""Blocks for which a kept blockhash must still be valid to be used: two thirds of its life, in which the swap lands."""
REFRESH_BLOCKS = 10
"""Blocks between two readings: four may fail before a blockhash is too old."""
SHORTEST_PAUSE = 0.5
"""Seconds between two readings at least, on a localnet with very short slots."""
RENT_SECONDS = 60.0
"""Seconds between two readings of the rent, which changes a few times a year."""


class ReadyNode(Protocol):
    """The nodes that the values are read from."""

    async def blockhash(self) -> Blockhash:
        """As `Chain`."""

    async def rent(self) -> Rent:
        """The cluster's rent. Raises `VenueError`."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A blockhash, and the monotonic time before it was requested."""

    blockhash: Blockhash
    at: float


class ReadyValues:
    """Keeps values of `node`. `slot_seconds` is the cluster's measured slot time, and `newest_slot` the newest slot
    that is known here, 0 if none is."""

    def __init__(
        self,
        node: ReadyNode,
        clock: Clock,
        *,
        slot_seconds: Callable[[], float],
        newest_slot: Callable[[], int] = lambda: 0,
    ) -> None:
        self._node = node
        self._clock = clock
        self._slot_seconds = slot_seconds
        self._newest_slot = newest_slot
        self._kept: _Kept | None = None
        self._rent: Rent | None = None
        self._rent_at = 0.0

    async def blockhash(self) -> Blockhash:
        """As `Chain`: the kept one while enough of its life is left, otherwise the node's."""
        kept = self._kept
        if kept is not None and (age := self._blocks_since(kept)) <= VALID_FOR - LEAST_LEFT:
            # With its age: a quote is compared with the newest slot, not with the one of this blockhash.
            return replace(kept.blockhash, age=max(0, int(age)))
        return await self._read_blockhash()

    async def rent(self) -> Rent:
        """The cluster's rent. Raises `VenueError` if it was never read and no node answers."""
        return self._rent or await self._read_rent()

    def blockhash_age(self) -> float | None:
        """The age of the kept blockhash, in blocks at most; None without one."""
        return None if self._kept is None else self._blocks_since(self._kept)

    async def run(self) -> None:
        """Refreshes the values until cancelled."""
        while True:
            try:
                await self._read_blockhash()
                if self._rent is None or self._clock.monotonic() >= self._rent_at + RENT_SECONDS:
                    await self._read_rent()
            except VenueError:
                # The nodes' troubles are logged where they are found. What is kept serves until it is too old.
                await asyncio.sleep(0)
            await self._clock.sleep(max(SHORTEST_PAUSE, REFRESH_BLOCKS * self._slot_seconds()))

    def _blocks_since(self, kept: _Kept) -> float:
        """How many blocks may have passed since the blockhash was the newest."""
        # By time and by slots, whichever is more: a node that hides new slots cannot hide the time, and a slot time
        # that was measured too long cannot hide the slots. A slot has one block at most.
        by_time = (self._clock.monotonic() - kept.at) / self._slot_seconds()
        return max(by_time, float(self._newest_slot() - kept.blockhash.slot))

    async def _read_blockhash(self) -> Blockhash:
        # The time before the request: a slow answer must not make the blockhash look younger.
        at = self._clock.monotonic()
        blockhash = await self._node.blockhash()
        # Readings may overlap: the one that began last counts, whenever it ends.
        if self._kept is None or at >= self._kept.at:
            self._kept = _Kept(blockhash, at)
        return blockhash

    async def _read_rent(self) -> Rent:
        self._rent = await self._node.rent()
        self._rent_at = self._clock.monotonic()
        return self._rent

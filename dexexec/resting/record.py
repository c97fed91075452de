"""The oracle's copy of the resting orders, kept in line with Postgres.

Changes are read by transaction number, so that none is missed in any order of commits. An order that leaves its
rest, by a cancel for instance, does not appear among them: its entry is dropped when its trigger is refused, or by the
next complete reading, which a growing copy brings forward.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from dexexec.clock import Clock
from dexexec.resting.conditions import WatchedOrder
from dexexec.resting.watched_order import high_water_of
from dexexec.resting.watches import Watches
from dexexec.store import RestingOrder
from dexexec.store.resting import BEFORE_ALL

RELOAD_SECONDS = 900.0
"""How often all resting orders are read anew."""
RELOAD_GROWTH = 10_000
"""Entries above twice the number at the last complete reading after which the next one begins: it bounds the memory for
orders that were cancelled."""
DISAGREEMENT_SECONDS = 60.0
"""How long the reference must not have held an order back until the next time is reported by another event."""
ROWS_AT_ONCE = 250
"""Rows after which other tasks of the process get a turn."""


class RestingStore(Protocol):
    """The part of `dexexec.store.Store` that is read here."""

    async def rested_horizon(self) -> int:
        """The transaction number from which `rested_since` finds what is not committed yet."""

    async def rested_since(self, since: int) -> tuple[list[RestingOrder], int]:
        """Orders that began to rest or were amended since a transaction number, and the next number."""

    async def rested_page(self, behind: tuple[datetime, UUID]) -> list[RestingOrder]:
        """A page of all resting orders, from behind the given one."""

    async def rested_among(self, order_ids: Sequence[UUID]) -> list[RestingOrder]:
        """Those of the orders that rest."""


class _Reading:
    """A complete reading on its way: how far it is, and which orders it has seen."""

    def __init__(self) -> None:
        self.behind = BEFORE_ALL
        self.seen: set[UUID] = set()


class RestingRecord:
    """What is known of the resting orders since this process leads. `read` turns a row into an order to watch, or None
    if its price is not watched."""

    def __init__(self, store: RestingStore, read: Callable[[RestingOrder], WatchedOrder | None], clock: Clock) -> None:
        self.watches = Watches()
        self._store = store
        self._read = read
        self._clock = clock
        self._since: int | None = None
        self._reading: _Reading | None = None
        self._reload_at = -math.inf
        self._loaded = 0
        self._held_at: dict[UUID, float] = {}
        """When the reference held an order back last, of those of which an event reports it."""

    async def refresh(self) -> None:
        """Read what has changed. The first time everything is read; later a page for each call while a complete reading
        is due. Raises `UnavailableError`."""
        if self._since is None:
            self._since = await self._read_all()
        rows, since = await self._store.rested_since(self._since)
        await self._put(rows)
        if since < self._since:
            # Numbers never go back in one Postgres, so another one answers: a standby that was promoted. What has begun
            # to rest there may have numbers that were passed in the one before, and what was read before may be lost.
            self.watches = Watches()
            since = await self._read_all()
        self._since = since
        if self._reading is None and self._is_reload_due():
            self._reading = _Reading()
        if self._reading is not None:
            await self._read_page()

    async def _read_all(self) -> int:
        """Read all resting orders; returns the number from which changes are read afterwards."""
        since = await self._store.rested_horizon()
        self._reading = _Reading()
        while not await self._read_page():
            pass
        return since

    async def read_again(self, order_ids: Collection[UUID]) -> None:
        """Read orders whose trigger was refused: they may rest, at another version. Raises `UnavailableError`."""
        # First removed: should the read fail, the next complete reading finds them.
        for order_id in order_ids:
            self.watches.remove(order_id)
        await self._put(await self._store.rested_among(list(order_ids)))

    async def resize(self, rows: Iterable[RestingOrder]) -> None:
        """Watch orders with the size that `read` gives them now. They are the same orders otherwise."""
        for number, row in enumerate(rows, 1):
            known = self.watches.get(row.id)
            if known is None or known.version != row.version:
                continue
            # The mark has no version: the one that was raised since the row was read counts.
            mark = row.high_water if known.best is None else high_water_of(known, known.best)
            order = self._read(replace(row, high_water=mark))
            if order is not None:
                order.disagreed = known.disagreed
                order.quiet_until = known.quiet_until
                self.watches.put(order)
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def hold(self, order: WatchedOrder) -> None:
        """Remember that an event reports that the reference holds this order back."""
        order.disagreed = True
        self._held_at[order.id] = self._clock.monotonic()

    def end_disagreements(self, held: Collection[UUID]) -> None:
        """Forget that for orders that were not held back for a while; `held` are those of this turn."""
        now = self._clock.monotonic()
        self._held_at.update((order_id, now) for order_id in held if order_id in self._held_at)
        # Not at once: a price that crosses a limit to and fro would write an event each time.
        for order_id in [one for one, at in self._held_at.items() if now >= at + DISAGREEMENT_SECONDS]:
            del self._held_at[order_id]
            order = self.watches.get(order_id)
            if order is not None:
                order.disagreed = False

    def _is_reload_due(self) -> bool:
        grown = len(self.watches) > 2 * self._loaded + RELOAD_GROWTH
        return grown or self._clock.monotonic() >= self._reload_at

    async def _read_page(self) -> bool:
        """Read the next page of the complete reading; returns whether it was the last."""
        reading = self._reading or _Reading()
        rows = await self._store.rested_page(reading.behind)
        await self._put(rows)
        if rows:
            reading.behind = rows[-1].created_at, rows[-1].id
            return False
        gone = [order.id for order in self.watches if order.id not in reading.seen]
        for order_id in gone:
            self.watches.remove(order_id)
        self._reading = None
        self._loaded = len(self.watches)
        self._reload_at = self._clock.monotonic() + RELOAD_SECONDS
        return True

    async def _put(self, rows: Sequence[RestingOrder]) -> None:
        for number, row in enumerate(rows, 1):
            self._put_one(row)
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _put_one(self, row: RestingOrder) -> None:
        if self._reading is not None:
            # What changes during a complete reading counts as seen: its page may have been read before.
            self._reading.seen.add(row.id)
        known = self.watches.get(row.id)
        # The same version, or a page that was read before the last change. The high-water mark has no version.
        if known is not None and (
            known.version > row.version or (known.version == row.version and not known.trail_bps)
        ):
            return
        order = self._read(row)
        if order is None:
            self.watches.remove(row.id)
            return
        if known is not None:
            order.disagreed = known.disagreed
        self.watches.put(order)

"""The part of `Store` for orders that rest, and for orders that are made or cancelled when another one ends.

Used by the leader's duties (`dexexec.resting`): each method is one bounded statement or transaction, and announces the
events that it has committed.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.launch import NewPool
from dexexec.domain.token import Tokens
from dexexec.errors import UnavailableError
from dexexec.store import follow_ups, launches, leases, oco_groups, resting, resting_marks, slices
from dexexec.store.claims import Unreadable
from dexexec.store.database import Database
from dexexec.store.follow_ups import EndedOrder, FollowUp
from dexexec.store.launches import NotedStop, SniperPair
from dexexec.store.resting import RestingOrder, Triggering
from dexexec.store.resting_marks import HighWater, RestingNote

T = TypeVar("T")


class RestingOrders:
    """Reads and writes orders that rest. The arguments are as in `Store`."""

    def __init__(
        self,
        database: Database,
        announce: Callable[[Sequence[Event]], None],
        timeout: float,
        unreadable: Unreadable,
    ) -> None:
        self._database = database
        self._announce = announce
        self._timeout = timeout
        self._unreadable = unreadable

    async def leads(self, worker: int) -> bool:
        """Return whether this worker session looks after resting orders, among all living ones."""
        return await self._bounded(leases.leads(self._database, worker))

    async def rested_horizon(self) -> int:
        """Return the transaction number from which `rested_since` finds what is not committed yet."""
        return await self._bounded(resting.horizon(self._database))

    async def rested_since(self, since: int) -> tuple[list[RestingOrder], int]:
        """Return the orders that began to rest or were amended since a transaction number, and the next number."""
        return await self._bounded(resting.changed(self._database, since, self._unreadable))

    async def rested_page(self, behind: tuple[datetime, UUID]) -> list[RestingOrder]:
        """Return a page of all resting orders, oldest first, from behind the given order."""
        return await self._bounded(resting.page(self._database, behind, self._unreadable))

    async def rested_among(self, order_ids: Sequence[UUID]) -> list[RestingOrder]:
        """Return those of the orders that rest."""
        return await self._bounded(resting.among(self._database, order_ids, self._unreadable))

    async def raise_high_water(self, marks: Sequence[HighWater]) -> None:
        """Raise the high-water marks of resting orders in one commit; a lower mark changes nothing."""
        await self._bounded(resting_marks.raise_high_water(self._database, marks))

    async def note_resting(self, notes: Sequence[RestingNote]) -> None:
        """Add an event to each order that still rests at its version, in one commit."""
        self._announce(await self._bounded(resting_marks.note(self._database, notes)))

    async def trigger(self, items: Sequence[Triggering]) -> list[UUID]:
        """Trigger orders in one commit; returns those that still rested at their version, in the given order."""
        events = await self._bounded(resting.trigger(self._database, items))
        self._announce(events)
        return [event.order_id for event in events]

    async def ended_orders(self, after: follow_ups.Place, limit: int) -> list[EndedOrder]:
        """Return orders that ended and whose end concerns others, until that is done; from behind `after`."""
        return await self._bounded(follow_ups.ended(self._database, after, limit))

    async def follow_up(self, order: EndedOrder, tokens: Tokens) -> FollowUp:
        """Do what the end of this order means for others, in one commit."""
        result = await self._bounded(follow_ups.follow_up(self._database, order, tokens, self._unreadable))
        self._announce(result.events)
        return result

    async def join_groups(self, limit: int) -> tuple[int, list[UUID]]:
        """Cancel new orders whose group was filled before they came, of up to `limit` new ones. Returns how many of
        these need no further look, and which were cancelled."""
        count, events = await self._bounded(follow_ups.join(self._database, limit))
        self._announce(events)
        return count, [event.order_id for event in events]

    async def wake_landed(self, group: str, signatures: Sequence[str]) -> None:
        """Make resting orders of a group due that have one of these attempts, since it was found on chain."""
        await self._bounded(oco_groups.wake(self._database, group, signatures))

    async def sniper_pairs(self) -> list[SniperPair]:
        """Return the pairs that resting snipers wait for."""
        return await self._bounded(launches.pairs(self._database))

    async def snipers(self, pair: tuple[str, str], behind: tuple[datetime, UUID]) -> list[RestingOrder]:
        """Return a page of the resting snipers of a pair (spent, wanted), oldest first, from behind the given order."""
        return await self._bounded(launches.waiting(self._database, pair, behind, self._unreadable))

    async def record_launches(self, pools: Sequence[NewPool]) -> None:
        """Record pools, or what they are like now."""
        await self._bounded(launches.record(self._database, pools))

    async def launches_of(self, mints: tuple[str, str]) -> list[NewPool]:
        """Return the recorded pools of two mints."""
        return await self._bounded(launches.of_pair(self._database, mints))

    async def noted_stops(self, order_ids: Sequence[UUID]) -> list[NotedStop]:
        """Return what the events of snipers have of pools that stopped them, the latest last."""
        return await self._bounded(launches.noted(self._database, order_ids))

    async def forget_launches(self) -> None:
        """Delete launches of long ago that no order waits for."""
        await self._bounded(launches.forget(self._database))

    async def wake(self) -> list[UUID]:
        """Make resting orders due whose expiry has come; returns a bounded number of them."""
        return await self._bounded(resting.wake(self._database))

    async def make_slices(self, tokens: Tokens) -> list[UUID] | None:
        """Make the slices of recurring orders that are due, of a bounded number of them; returns the new orders, or
        None if no recurring order was due. `tokens` have the decimals of their prices."""
        turn = await self._bounded(slices.make_due(self._database, tokens, self._unreadable))
        self._announce(turn.events)
        return turn.made if turn.parents else None

    async def _bounded(self, call: Awaitable[T], seconds: float = math.inf) -> T:
        try:
            async with asyncio.timeout(min(self._timeout, seconds)):
                return await call
        except TimeoutError:
            # The cause is left out: it is only this time limit.
            raise UnavailableError("Postgres does not answer") from None

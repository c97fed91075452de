"""Follows up orders that ended: cancels the others of their group, and arms the exits of their bracket.

The store finds them by an index and does each in one commit (`dexexec.store.follow_ups`); this gives it its turns.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.token import Tokens
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import EndedOrder, FollowUp
from dexexec.store.follow_ups import FROM_THE_START, Place

PAGE = 200
"""How many orders are read at once."""
MOST_REMEMBERED = 10_000
"""Orders whose trouble was logged. It only keeps the log short, so it may be forgotten."""


class FollowUpStore(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def ended_orders(self, after: Place, limit: int) -> list[EndedOrder]:
        """Orders that ended and are to be followed up."""

    async def follow_up(self, order: EndedOrder, tokens: Tokens) -> FollowUp:
        """Do what the end of an order means for others."""

    async def join_groups(self, limit: int) -> tuple[int, Sequence[UUID]]:
        """Cancel new orders whose group was filled before."""


class FollowUps:
    """A duty of the leader. `tokens` have the decimals of the amounts of exits."""

    name = "following up orders that ended"

    def __init__(
        self, store: FollowUpStore, tokens: Tokens, *, observer: Observer, failpoints: Failpoints = NO_FAILPOINTS
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._observer = observer
        self._failpoints = failpoints
        self._reported: set[UUID] = set()

    async def turn(self) -> None:
        """Follow up all that has ended. Raises `UnavailableError`."""
        await self._join_groups()
        place = FROM_THE_START
        while orders := await self._store.ended_orders(place, PAGE):
            for order in orders:
                await self._failpoints.reach(Failpoint.FOLLOWING)
                self._report(order.id, await self._store.follow_up(order, self._tokens))
                await self._failpoints.reach(Failpoint.FOLLOWED)
                raise_if_cancelled()
            # Behind the last one: an order that cannot be completed yet is tried again in the next turn, and must not
            # keep this turn from the others.
            place = (orders[-1].finished_at, orders[-1].id)

    def resign(self) -> None:
        """Forget what was logged."""
        self._reported.clear()

    async def _join_groups(self) -> None:
        while True:
            count, cancelled = await self._store.join_groups(PAGE)
            for order_id in cancelled:
                self._observer.group_member_late(order_id)
            # Also when some of a full page must be looked at again: that is for the next turn.
            if count < PAGE:
                return
            raise_if_cancelled()

    def _report(self, order_id: UUID, result: FollowUp) -> None:
        if result.cancelled:
            self._observer.group_filled(order_id, len(result.cancelled))
        if result.armed:
            self._observer.bracket_armed(order_id, len(result.armed))
        # These repeat with each turn until a person or the chain has settled them.
        if (not result.also_filled and not result.unknown_mints) or order_id in self._reported:
            return
        if len(self._reported) >= MOST_REMEMBERED:
            self._reported.clear()
        self._reported.add(order_id)
        if result.also_filled:
            self._observer.group_filled_twice(order_id, result.also_filled)
        if result.unknown_mints:
            self._observer.bracket_not_armed(order_id, result.unknown_mints)

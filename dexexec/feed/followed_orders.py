"""The orders that subscribers of this process follow, and the events of this process that wait for their delivery.

Between `feed.publisher`, which puts events in as soon as they are committed, and `feed.feed`, which takes them out.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from dexexec.feed.publisher import Outgoing
from dexexec.feed.recent_events import RecentEvents
from dexexec.feed.subscriber import Follower
from dexexec.feed.subscription import Subscription


class FollowedOrders:
    """The subscriptions of each followed order, with the subscribers that they belong to."""

    def __init__(self) -> None:
        self._followers: dict[UUID, dict[Subscription, Follower]] = {}
        self._committed: asyncio.Queue[list[Outgoing]] = asyncio.Queue()
        self.recent = RecentEvents()
        """What this process has written of its newest orders, followed or not."""

    def __len__(self) -> int:
        return len(self._followers)

    def __contains__(self, order_id: UUID) -> bool:
        return order_id in self._followers

    def attach(self, subscription: Subscription, follower: Follower) -> None:
        """Pass the order's live events and versions to `follower`."""
        self._followers.setdefault(subscription.order_id, {})[subscription] = follower

    def detach(self, subscription: Subscription) -> None:
        """Stop passing them. Harmless when repeated."""
        followers = self._followers.get(subscription.order_id)
        if followers is not None:
            followers.pop(subscription, None)
            if not followers:
                del self._followers[subscription.order_id]

    def order_ids(self) -> tuple[UUID, ...]:
        """All followed orders."""
        return tuple(self._followers)

    def followers(self, order_id: UUID) -> tuple[tuple[Subscription, Follower], ...]:
        """The subscriptions of one order, each with its subscriber."""
        # A copy: a delivery may end a subscription, which changes the dictionary.
        return tuple(self._followers.get(order_id, {}).items())

    def put_committed(self, events: Sequence[Outgoing]) -> None:
        """Keep events of followed orders, which this process has just committed, until they are delivered."""
        # The feed's own task delivers them. If a subscriber fails, the feed ends, as with events of other processes;
        # the error must never reach the commit, which runs this call.
        self.recent.put(events)
        followed = [outgoing for outgoing in events if outgoing.event.order_id in self._followers]
        if followed:
            self._committed.put_nowait(followed)

    async def next_committed(self) -> list[Outgoing]:
        """Wait for the next committed events of followed orders."""
        return await self._committed.get()

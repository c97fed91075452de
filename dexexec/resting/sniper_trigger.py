"""Looks at the snipers that wait for a pair: triggers those whose conditions hold, and notes what stops the others."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from dexexec.clock import Clock
from dexexec.domain.launch import NewPool
from dexexec.resting.conditions import Market
from dexexec.resting.due_queue import DueQueue
from dexexec.resting.launch_choice import (
    Obstacle,
    PoolStop,
    bound_of,
    choose,
    conditions_of,
    request_of,
    stops_of_pools,
    trigger_detail,
)
from dexexec.resting.launched_pools import LaunchedPools
from dexexec.resting.quotes import OracleQuotes
from dexexec.resting.stop_notes import StopNotes
from dexexec.resting.wakes import enqueue
from dexexec.store import NotedStop, RestingNote, RestingOrder, Triggering
from dexexec.store.resting import BEFORE_ALL
from dexexec.venues.router import Routing

Pair = tuple[str, str]
"""The mint that is spent, and the one that is bought."""


class SniperStore(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def record_launches(self, pools: Sequence[NewPool]) -> None:
        """Record pools, or what they are like now."""

    async def snipers(self, pair: Pair, behind: tuple[datetime, UUID]) -> list[RestingOrder]:
        """A page of the resting snipers of a pair, oldest first."""

    async def noted_stops(self, order_ids: Sequence[UUID]) -> list[NotedStop]:
        """What the events of these orders have of pools that stopped them."""

    async def trigger(self, items: Sequence[Triggering]) -> list[UUID]:
        """Trigger orders in one commit; returns those that still rested at their version."""

    async def note_resting(self, notes: Sequence[RestingNote]) -> None:
        """Add an event to orders that rest on, in one commit."""


class SniperTrigger:
    """Decides on fresh quotes. `max_price_impact_bps` is for orders without a limit of their own."""

    def __init__(
        self, store: SniperStore, queue: DueQueue, quotes: OracleQuotes, *, max_price_impact_bps: int, clock: Clock
    ) -> None:
        self._store = store
        self._queue = queue
        self._quotes = quotes
        self._max_price_impact_bps = max_price_impact_bps
        self._clock = clock
        self._notes = StopNotes()

    async def look(self, pair: Pair, launched: LaunchedPools) -> None:
        """Look at all orders that wait for the pair, in the order in which they were accepted. Raises
        `UnavailableError`."""
        # Before anything is triggered: the worker executes an order only in pools that are recorded.
        unrecorded = launched.unrecorded()
        if unrecorded:
            await self._store.record_launches(unrecorded)
            launched.recorded(unrecorded)
        pools = dict(launched.by_address)
        quoted: dict[int, Routing] = {}
        # In pages, so that the first of many orders does not wait for the quotes of the last.
        behind = BEFORE_ALL
        while page := await self._store.snipers(pair, behind):
            behind = page[-1].created_at, page[-1].id
            await self._decide(page, pools, quoted)

    async def _decide(
        self, orders: Sequence[RestingOrder], pools: Mapping[str, NewPool], quoted: dict[int, Routing]
    ) -> None:
        triggered: list[Triggering] = []
        stopped: list[tuple[RestingOrder, Sequence[Obstacle]]] = []
        for order in orders:
            # After a trigger that came to nothing it is left alone for a while.
            if order.quiet_ms > 0:
                continue
            now_ms = self._clock.unix_ms()
            # Before any quote: most pools fail here, and a quote costs requests to a node.
            stops = stops_of_pools(order, list(pools.values()), now_ms)
            if not self._is_any_left(pools, stops, now_ms):
                stopped.append((order, stops))
                continue
            impact_bps = conditions_of(order).impact_bps(self._max_price_impact_bps)
            routing = await self._quote(order, quoted)
            choice = choose(order, pools, stops, routing, impact_bps=impact_bps, now_ms=now_ms)
            if choice.quote is None or choice.pool is None:
                stopped.append((order, choice.obstacles))
                continue
            triggered.append(
                Triggering(
                    order_id=order.id,
                    version=order.version,
                    detail=trigger_detail(choice.quote, choice.pool, order.output_mint, self._clock.unix_ms()),
                    bound=bound_of(order, choice.pool),
                    mint_decimals=choice.pool.token(order.output_mint).decimals,
                )
            )
        # The commit comes first: an id on the queue is only a hint, and the sweeper finds what is due without it.
        if triggered:
            await enqueue(self._queue, await self._store.trigger(triggered))
        await self._note(stopped)

    def _is_any_left(self, pools: Mapping[str, NewPool], stops: Sequence[PoolStop], now_ms: int) -> bool:
        """Whether a quote could lead anywhere: an open pool that nothing stops."""
        stopped = {stop.pool.address for stop in stops}
        return any(pool.launched_at_ms <= now_ms and pool.address not in stopped for pool in pools.values())

    async def _quote(self, order: RestingOrder, quoted: dict[int, Routing]) -> Routing:
        """A fresh quote for the order's size. Orders of one size share it within a look."""
        if order.amount_base not in quoted:
            request = request_of(order)
            market = Market(request.mint_in, request.mint_out, request.mode)
            quoted[order.amount_base] = await self._quotes.quote(market, request.amount)
        return quoted[order.amount_base]

    async def _note(self, stopped: Sequence[tuple[RestingOrder, Sequence[Obstacle]]]) -> None:
        """Write an event for each obstacle that is new or whose figure has changed."""
        unknown = [order.id for order, _ in stopped if not self._notes.knows(order)]
        if unknown:
            self._notes.learn(await self._store.noted_stops(unknown))
        now = self._clock.monotonic()
        pending = [(order, self._notes.to_write(order, obstacles, now)) for order, obstacles in stopped]
        version_shift = 0
        # One event per order and statement: each raises the version that the next one names.
        while notes := [
            RestingNote(order.id, order.version + version_shift, obstacles[version_shift].detail())
            for order, obstacles in pending
            if len(obstacles) > version_shift
        ]:
            await self._store.note_resting(notes)
            version_shift += 1

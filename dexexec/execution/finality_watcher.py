"""Looks up confirmed orders, many at a time, until their swaps are final or the chain took them back.

Runs beside the orders of a worker, which keeps those that it has confirmed (`execution.watched_orders`): one request to
the chain covers a page of them. Of orders that no worker holds any more, Postgres hands out pages under new claims,
with the time of their next look.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from dexexec.broker.queue import Queue
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.outcome import Outcome
from dexexec.domain.stage import Stage
from dexexec.domain.wait_reason import NOT_FINAL, Waiting, WaitsFor
from dexexec.errors import ClaimLostError, UnavailableError
from dexexec.execution.event_detail import Presenter
from dexexec.execution.fill_writer import FillWriter
from dexexec.execution.job import Job, located
from dexexec.execution.step_writer import StepWriter
from dexexec.execution.wait_notes import WaitNotes
from dexexec.execution.watched_orders import WatchedOrder, WatchedOrders
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.settlement.finality import ConfirmedSwap, Final, TakenBack, Verdict
from dexexec.settlement.settlement import Settlement
from dexexec.store import Claimed, ConfirmedPage, Resolution, Store
from dexexec.venue import AnyVenue

PAGE = 256
"""Orders of one look: as many signatures as a Solana node accepts in one request."""
LONGEST_PAUSE = 1.0
"""Seconds between two searches for due orders."""
UNSERVED_AFTER_MS = 60_000.0
"""An order that has been due for so long belongs to a network that no process serves."""
MOST_REMEMBERED = 10_000
"""Orders whose last look failed. It only decides what they are reported to wait for, so it may be forgotten."""


class FinalityWatcher:
    """Looks at each confirmed order every `finality_ms` (None: by the pace of its chain), on the networks of
    `settlement`. `venues` have the network of old attempts, which do not name it."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        settlement: Settlement,
        venues: Mapping[str, AnyVenue],
        presenter: Presenter,
        finality_ms: float | None,
        watched: WatchedOrders,
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self.watched = watched
        """The confirmed orders that the worker still holds."""
        self._store = store
        self._queue = queue
        self._settlement = settlement
        self._venues = venues
        self._finality_ms = finality_ms
        self._clock = clock
        self._observer = observer
        self._failpoints = failpoints
        self._fills = FillWriter(store, StepWriter(store), presenter, observer)
        self._notes = WaitNotes(store, observer)
        self._failed_last_time: set[UUID] = set()

    async def run(self, worker: int) -> None:
        """Watch as the worker session `worker`, until cancelled."""
        self.watched.open()
        try:
            async with asyncio.TaskGroup() as loops:
                # A loop for each network, so that a slow one does not delay the others.
                for network in self._settlement.networks:
                    loops.create_task(self._repeat(partial(self.look, network, worker), partial(self._pause, network)))
                unserved = partial(self.report_unserved, worker)
                loops.create_task(self._repeat(unserved, lambda: UNSERVED_AFTER_MS / 1_000))
        finally:
            self.watched.close()

    def _next_look_ms(self, network: str | None = None) -> float:
        return self._finality_ms or self._settlement.finality_pause_ms(network)

    def _pause(self, network: str) -> float:
        """Seconds until the next search for due orders: a part of the time between two looks at one of them."""
        return min(LONGEST_PAUSE, self._next_look_ms(network) / 4_000)

    async def _repeat(self, action: Callable[[], Awaitable[None]], pause: Callable[[], float]) -> None:
        down_since: float | None = None
        while True:
            await self._clock.sleep(pause())
            try:
                await action()
            except UnavailableError as error:
                if down_since is None:
                    down_since = self._clock.monotonic()
                    self._observer.server_unavailable("looking at confirmed orders", error)
            except asyncio.CancelledError:
                # Either this task was cancelled, or a shared request that it waited for: the next look repeats that.
                raise_if_cancelled()
            except Exception as error:  # noqa: BLE001 - a bug must cost one look, not the whole worker
                self._observer.finality_check_failed(error)
            else:
                if down_since is not None:
                    self._observer.server_recovered("looking at confirmed orders", self._clock.monotonic() - down_since)
                    down_since = None
            raise_if_cancelled()

    async def look(self, network: str, worker: int) -> None:
        """Look once at every due order of `network`: those that this worker holds, then those that no worker holds.
        Raises `UnavailableError`."""
        next_look_ms = self._next_look_ms(network)
        held = self.watched.due(network)
        # Before the look, so that one that fails is not repeated at once.
        self.watched.look_again(held, next_look_ms)
        for first in range(0, len(held), PAGE):
            await self._look_at(network, held[first : first + PAGE])
        page = ConfirmedPage(
            next_look_ms=next_look_ms,
            network=network,
            genesis=self._settlement.networks[network],
            venues=[name for name, venue in self._venues.items() if venue.capabilities.network == network],
            limit=PAGE,
        )
        async for orders in self._pages(page, worker):
            await self._look_at(network, orders)

    async def _look_at(self, network: str, orders: Sequence[WatchedOrder]) -> None:
        await self._failpoints.reach(Failpoint.WATCHING)
        verdicts = await self._settlement.check_finality(network, [self._swap(order) for order in orders])
        await self._failpoints.reach(Failpoint.WATCHED)
        await self._write(orders, verdicts)

    async def report_unserved(self, worker: int) -> None:
        """Record the reason for orders that no process looks at. Raises `UnavailableError`."""
        page = ConfirmedPage(next_look_ms=self._next_look_ms(), overdue_ms=UNSERVED_AFTER_MS, limit=PAGE)
        async for orders in self._pages(page, worker):
            for order in orders:
                problem = self._settlement.why_unreachable(order.attempt.signed)
                if problem:
                    order_id = order.job.order.id
                    if self._is_first_failure(order_id):
                        self._observer.attempt_chain_unavailable(order_id, order.attempt.venue, problem)
                    detail = f"its transaction cannot be looked up here: {problem}"
                    await self._notes.write(order.job, Waiting(WaitsFor.NETWORK, detail))

    async def _pages(self, page: ConfirmedPage, worker: int) -> AsyncIterator[list[WatchedOrder]]:
        """All due orders, page by page."""
        while True:
            requested_at = self._clock.monotonic()
            claimed = await self._store.take_confirmed(worker, page)
            if claimed:
                yield [self._taken(order, requested_at) for order in claimed]
            if len(claimed) < page.limit:
                return
            # By creation time and id, as the index has them. An offset would skip orders, since those of this page are
            # not due any more.
            page = replace(page, behind=(claimed[-1].order.created_at, claimed[-1].order.id))
            raise_if_cancelled()

    def _taken(self, claimed: Claimed, requested_at: float) -> WatchedOrder:
        assert claimed.attempt is not None  # noqa: S101 - only orders with an open attempt are taken
        # Nothing is ever sent from here, so this job may not send.
        job = Job.of(claimed, requested_at, lambda: False)
        return WatchedOrder(job, located(claimed.attempt, self._venues))

    def _swap(self, order: WatchedOrder) -> ConfirmedSwap:
        job, attempt = order.job, order.attempt
        return ConfirmedSwap(
            signed=attempt.signed,
            request=job.order.swap,
            earlier_signatures=job.signatures_except(attempt),
            landed_slot=attempt.landed_slot,
            signed_ago=self._clock.monotonic() - job.begun + attempt.age_ms / 1000,
        )

    async def _write(self, orders: Sequence[WatchedOrder], verdicts: Sequence[Verdict]) -> None:
        """Write the verdicts of a page. A failure of one order does not affect the others."""
        # All at once, so that the store writes them in one commit.
        results = await asyncio.gather(
            *(self._write_one(order, verdict) for order, verdict in zip(orders, verdicts, strict=True)),
            return_exceptions=True,
        )
        await self._failpoints.reach(Failpoint.BOOKED)
        taken_back = [
            order.job.order.id
            for order, verdict, result in zip(orders, verdicts, results, strict=True)
            if isinstance(verdict, TakenBack) and result is None
        ]
        with contextlib.suppress(UnavailableError):  # then the sweeper finds them
            await self._queue.enqueue(taken_back)
        outage: BaseException | None = None
        for order, verdict, result in zip(orders, verdicts, results, strict=True):
            job = order.job
            match result:
                case None if isinstance(verdict, Final | TakenBack):
                    self.watched.remove(order)
                case ClaimLostError():
                    self.watched.remove(order)
                    self._observer.claim_lost(job.order.id)
                case UnavailableError() | asyncio.CancelledError():
                    outage = result
                case BaseException() if self._is_first_failure(job.order.id):
                    self._observer.order_run_crashed(job.order.id, job.order.claims, result)
        if outage is not None:
            raise outage

    async def _write_one(self, order: WatchedOrder, verdict: Verdict) -> None:
        job, attempt = order.job, order.attempt
        # Each order of a page is written in a task of its own, which enters the trace of that order.
        self._observer.tracer.enter(job.order.traceparent)
        match verdict:
            case Final(fill, proof, earlier):
                signed_at = job.begun - attempt.age_ms / 1000
                self._observer.tracer.stage(Stage.FINALIZING, signed_at, self._clock.monotonic(), venue=attempt.venue)
                await self._fills.write(job, attempt, fill, Resolution(attempt.n, Outcome.LANDED, proof), earlier)
            case TakenBack():
                await self._fills.take_back(job, attempt, verdict)
            case Waiting():
                # The first failed look is not recorded: most nodes answer the next one.
                if not self._is_first_failure(job.order.id):
                    await self._notes.write(job, verdict)
                return
            case None if job.order.id in self._failed_last_time:
                await self._notes.write(job, NOT_FINAL)
        self._failed_last_time.discard(job.order.id)

    def _is_first_failure(self, order_id: UUID) -> bool:
        """Remember that this look failed. Returns whether the one before, if it was made here, did not."""
        if order_id in self._failed_last_time:
            return False
        if len(self._failed_last_time) >= MOST_REMEMBERED:
            self._failed_last_time.clear()
        self._failed_last_time.add(order_id)
        return True

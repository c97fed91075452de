"""Leases order ids from the queue, claims their orders in Postgres, and starts executing them."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from uuid import UUID

from dexexec.broker.queue import BLOCK_MS, Entry, Queue
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import cancelled, raise_if_cancelled, unless_stopped
from dexexec.errors import UnavailableError
from dexexec.execution.accepted_orders import AcceptedOrders
from dexexec.execution.early_quotes import EarlyQuotes
from dexexec.execution.order_tasks import OrderTasks
from dexexec.failpoints import Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import Claimed, Store, WorkerSession

BATCH = 64
OUTAGE_PAUSE = 0.25
LONGEST_RATE_PAUSE = 0.5
RATE_KEY = "orders"
FEW_ORDERS = 4
FIRST_STEPS = 20
"""Turns of the event loop: about as many as an order needs until it waits for the commit of its attempt."""
STOP_SECONDS = 2.0
"""How long a stop waits for a lease in progress: normally it returns within `BLOCK_MS`."""


class LeaseLoop:
    """Leases as the consumer `name`, until `stop` is set, for at most `concurrency` orders at once. `changed` is set
    when fewer are executed."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        queue: Queue,
        limiter: RateLimiter,
        tasks: OrderTasks,
        accepted: AcceptedOrders,
        early: EarlyQuotes | None,
        concurrency: int,
        orders_per_minute: int | None,
        stop: asyncio.Event,
        changed: asyncio.Event,
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints,
    ) -> None:
        self._name = name
        self._store = store
        self._queue = queue
        self._limiter = limiter
        self._tasks = tasks
        self._accepted = accepted
        self._early = early
        self._concurrency = concurrency
        self._orders_per_minute = orders_per_minute
        self._stop = stop
        self._changed = changed
        self._clock = clock
        self._observer = observer
        self._failpoints = failpoints
        self._background: set[asyncio.Task[None]] = set()
        self.claiming: frozenset[UUID] = frozenset()
        """Orders of a claim that Postgres has not answered yet."""
        self._done: Sequence[Entry] = ()  # their orders are claimed, and they are still on the stream

    async def run(self, session: WorkerSession, heartbeat: "asyncio.Task[str]") -> None:
        """Lease until the worker stops or `heartbeat` has ended, and the session with it."""
        down_since: float | None = None
        while not self._stop.is_set() and not heartbeat.done():
            raise_if_cancelled()
            # Cleared before the orders are counted: a change in between must not be missed.
            self._changed.clear()
            wanted = min(self._concurrency - len(self._tasks), BATCH)
            if wanted <= 0:
                self._acknowledge_done()
                await self._changed.wait()
                continue
            try:
                await unless_stopped(self._stop, self._lease(session, heartbeat, wanted), STOP_SECONDS)
            except UnavailableError as error:
                if down_since is None:
                    down_since = self._clock.monotonic()
                    self._observer.server_unavailable("leasing orders", error)
                await sleep_unless_stopped(self._stop, OUTAGE_PAUSE)
            else:
                if down_since is not None:
                    self._observer.server_recovered("leasing orders", self._clock.monotonic() - down_since)
                    down_since = None
        # Not only when the orders in progress have ended: an id that is still on the stream is not added again, so no
        # other worker would retry them.
        self._acknowledge_done()

    async def finish(self, seconds: float) -> None:
        """Let acknowledgements end, for up to `seconds`; then cancel them."""
        self._acknowledge_done()
        if self._background:
            await asyncio.wait(self._background, timeout=seconds)
        await cancelled(self._background)

    async def _lease(self, session: WorkerSession, heartbeat: "asyncio.Task[str]", wanted: int) -> None:
        """Lease up to `wanted` entries and claim their orders, within the rate limit."""
        units: Sequence[bytes] = ()
        if self._orders_per_minute is not None:
            self._acknowledge_done()
            grant = await self._limiter.take(RATE_KEY, self._orders_per_minute, wanted)
            wanted = grant.granted
            units = grant.units
            if not wanted:
                await sleep_unless_stopped(self._stop, min(grant.retry_after, LONGEST_RATE_PAUSE))
                return
        claimed: list[Claimed] = []
        done = self._done
        self._done = ()
        try:
            if done:
                await self._failpoints.reach(Failpoint.ACKNOWLEDGING)
            try:
                entries = await self._queue.lease(self._name, wanted, BLOCK_MS, done)
            except UnavailableError:
                # Perhaps they were acknowledged, and perhaps not. To do it twice is harmless.
                self._done = done
                raise
            if done:
                await self._failpoints.reach(Failpoint.ACKNOWLEDGED)
            if entries:
                await self._failpoints.reach(Failpoint.LEASED)
            if entries and (self._stop.is_set() or heartbeat.done()):
                await self._put_back(entries)
            elif entries:
                claimed = await self._claim(session, entries)
        finally:
            # What was taken and not used would slow down the other workers.
            await self._limiter.give_back(RATE_KEY, units[len(claimed) :])

    async def _claim(self, session: WorkerSession, entries: Sequence[Entry]) -> list[Claimed]:
        """Claim the orders of these entries in one commit, and start executing them."""
        requested_at = self._clock.monotonic()
        ids = [entry.order_id for entry in entries]
        self.claiming = frozenset(ids)
        accepted = self._accepted.take(ids)
        known = {order_id: each.order for order_id, each in accepted.items()}
        # The tasks begin with the next wait, that for Postgres: first the claim is sent, then the requests to venues.
        early = self._early.begin(accepted) if self._early else {}
        try:
            claimed = await self._store.claim(session.id, ids, self._tasks.suspects_wanted(), known)
            await self._failpoints.reach(Failpoint.CLAIMED)
            for order in claimed:
                self._tasks.start(order, requested_at, early.pop(order.order.id, None))
        except UnavailableError:
            # The commit may have happened or not. `StrayClaims` releases what was claimed; the rest is leased again.
            self._in_background(self._put_back(entries))
            raise
        finally:
            self.claiming = frozenset()
            for unused in early.values():
                unused.drop()
        # Only now, with the next lease: from the commit on, the lease in Postgres brings an order back after a crash.
        self._done = entries
        await self._let_begin()
        return claimed

    async def _let_begin(self) -> None:
        """Let the claimed orders take their first steps before the next lease is sent, if few are executed."""
        # Sending costs as much of the event loop as building a swap. With many orders the loop is never free, and its
        # turns are long.
        if len(self._tasks) <= FEW_ORDERS:
            for _ in range(FIRST_STEPS):
                await asyncio.sleep(0)

    def _acknowledge_done(self) -> None:
        """Acknowledge without a lease, where the next one may not come soon."""
        if self._done:
            self._in_background(self._acknowledge(self._done))
            self._done = ()

    async def _acknowledge(self, entries: Sequence[Entry]) -> None:
        with contextlib.suppress(UnavailableError):  # then they are reclaimed later, and claim nothing
            await self._failpoints.reach(Failpoint.ACKNOWLEDGING)
            await self._queue.ack(entries)
            await self._failpoints.reach(Failpoint.ACKNOWLEDGED)

    async def _put_back(self, entries: Sequence[Entry]) -> None:
        with contextlib.suppress(UnavailableError):  # then they stay pending, and are reclaimed later
            # Acknowledged first: an id that is on the queue already is not added again.
            await self._queue.ack(entries)
            await self._queue.enqueue([entry.order_id for entry in entries])

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def sleep_unless_stopped(stop: asyncio.Event, seconds: float) -> None:
    """Sleep for `seconds`, or until `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()

"""The worker: leases ids from the queue, claims their orders, gives each its turn, and drains on a stop.

It works in sessions with Postgres (`dexexec.store.leases`). While one lasts, a heartbeat renews the leases of all its
orders, a look releases what is claimed in its name and not in hand, and the watcher ends confirmed orders. When one
ends, every order in hand is dropped where it stands, whoever claims it next resumes from the record, and the next
session begins.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from uuid import UUID

from dexexec.broker.queue import BLOCK_MS, Entry, Queue
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import cancelled, raise_if_cancelled, unless_stopped
from dexexec.errors import UnavailableError
from dexexec.execution.direct_dispatch import DirectDispatcher
from dexexec.execution.finality_watcher import FinalityWatcher
from dexexec.execution.order_tasks import OrderTasks
from dexexec.execution.pipeline import Pipeline
from dexexec.execution.retry_timers import RetryTimers
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.recovery.signing_permission import SigningPermission, Unrestricted
from dexexec.store import Claimed, Release, Store, WorkerSession

BATCH = 64
OUTAGE_PAUSE = 0.25
RATE_KEY = "orders"
CHORE_SECONDS = 1.0
"""What the end of a session, or of the worker, waits for each thing that others can do later as well."""
LEASE_SECONDS = 2.0
"""What a stop waits for a lease that is under way: as a rule it brings entries, or nothing, within `BLOCK_MS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`concurrency` orders in flight; `orders_per_minute` over all workers (None: no limit); `max_claims` turns
    that ended in crashes make an order poison; leases, heartbeats and drains in seconds."""

    concurrency: int
    orders_per_minute: int | None
    max_claims: int
    lease_seconds: float
    heartbeat_seconds: float
    drain_seconds: float


class Worker:
    """`name` is unique per process: it is also the consumer's name on the stream. `trouble` says why no order can be
    executed now, if that is so: it is told with each renewal of the lease."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        queue: Queue,
        limiter: RateLimiter,
        pipeline: Pipeline,
        watcher: FinalityWatcher,
        limits: Limits,
        clock: Clock,
        observer: Observer,
        permission: SigningPermission | None = None,
        trouble: Callable[[], str] = str,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._failpoints = failpoints
        self.name = name
        self._store, self._queue, self._limiter, self._pipeline = store, queue, limiter, pipeline
        self._watcher, self._limits, self._clock, self._observer = watcher, limits, clock, observer
        self._permission, self._trouble = permission or Unrestricted(), trouble
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()  # there is more room, the session ended, or we are to stop
        self._lease_until = 0.0
        self._chores: set[asyncio.Task[None]] = set()
        self._claiming: frozenset[UUID] = frozenset()  # orders of a claim that has not been answered
        self._blameless: set[UUID] = set()  # orders whose turn was cut short by a stop or a lost session
        self._timers = RetryTimers(queue, clock, failpoints)
        self._tasks = OrderTasks(
            store=store,
            timers=self._timers,
            pipeline=pipeline,
            max_claims=limits.max_claims,
            has_lease=self._has_lease,
            changed=self._changed.set,
            clock=clock,
            observer=observer,
            failpoints=failpoints,
        )
        self.direct = DirectDispatcher(
            self._tasks,
            limits.concurrency,
            paced=limits.orders_per_minute is not None,
            changed=self._changed.set,
            clock=clock,
        )
        """Where the store of this process may give new orders to."""

    def stop(self) -> None:
        """Lease no more; `run` ends when what is in flight has finished or was handed back."""
        self._stop.set()
        self._changed.set()
        self.direct.close()

    async def run(self) -> None:
        """Work until `stop`. Orders that rest then are left to the sweepers of others."""
        async with asyncio.TaskGroup() as beside:
            timers = beside.create_task(self._timers.run())
            while not self._stop.is_set():
                session = await self._begin()
                if session is not None:
                    await self._live(session)
            timers.cancel()
        await self._unblame_quickly()

    # A session

    async def _begin(self) -> WorkerSession | None:
        """Register, as soon as Postgres lets us; None when we are to stop before."""
        begun = self._clock.monotonic()
        told = False
        while not self._stop.is_set():
            asked = self._clock.monotonic()
            try:
                session = await unless_stopped(self._stop, self._register())
            except UnavailableError as error:
                if not told:
                    self._observer.server_unavailable("registering the worker", error)
                told = True
                await self._pause(OUTAGE_PAUSE)
                continue
            if session is None:
                break
            self._lease_until = asked + self._limits.lease_seconds
            if told:
                self._observer.server_recovered("registering the worker", self._clock.monotonic() - begun)
            self._observer.worker_started(self.name, session.id, self._limits.concurrency)
            return session
        return None

    async def _register(self) -> WorkerSession:
        await self._unblame()
        return await self._store.begin(self.name, self._limits.lease_seconds)

    async def _live(self, session: WorkerSession) -> None:
        """One session, from its registration until it is lost or the worker stops."""
        heartbeat = asyncio.create_task(self._heartbeat(session))
        heartbeat.add_done_callback(lambda _: self._changed.set())
        left: list[UUID] = []
        if not self._stop.is_set():
            self.direct.open(session.id)
        try:
            async with asyncio.TaskGroup() as beside:
                looks = [beside.create_task(self._release_strays(session.id))]
                if await self._obtain_permission(heartbeat):
                    looks.append(beside.create_task(self._watcher.run(session.id)))
                await self._lease_loop(session, heartbeat)
                if heartbeat.done():
                    self._observer.worker_lease_lost(self.name, heartbeat.result(), len(self._tasks))
                    self._blameless.update(self._tasks.order_ids)
                else:
                    left = await self._drain()
                for look in looks:
                    look.cancel()
        finally:
            self.direct.close()
            if self._chores:
                await asyncio.wait(self._chores, timeout=CHORE_SECONDS)
            await cancelled([heartbeat, *self._chores])
            await self._tasks.drop()
            await session.end()
        with contextlib.suppress(UnavailableError, TimeoutError):  # then the sweepers of other workers find them
            async with asyncio.timeout(CHORE_SECONDS):
                await self._queue.enqueue(left)

    async def _obtain_permission(self, heartbeat: "asyncio.Task[str]") -> bool:
        """Wait until orders may be signed for; False when this session, or the worker, ends before."""
        obtaining = asyncio.create_task(self._permission.obtain())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([obtaining, stopping, heartbeat], return_when=asyncio.FIRST_COMPLETED)
            if obtaining.done():
                obtaining.result()
            return obtaining.done()
        finally:
            await cancelled([obtaining, stopping])

    async def _heartbeat(self, session: WorkerSession) -> str:
        """Renew until that fails for good; why it did."""
        while True:
            await self._clock.sleep(self._limits.heartbeat_seconds)
            asked = self._clock.monotonic()
            try:
                if not await session.renew(self._trouble()):
                    return "it was declared dead"
            except UnavailableError as error:
                return str(error)
            raise_if_cancelled()
            self._lease_until = asked + self._limits.lease_seconds

    def _has_lease(self) -> bool:
        """Whether our lease cannot have run out yet, by our own clock: renewals count from before they were asked."""
        return self._clock.monotonic() < self._lease_until

    async def _release_strays(self, session: int) -> None:
        """Once per heartbeat, release what is claimed in our name and not in hand: after a claim or a new order whose
        answer was lost, or a release that failed.

        What is being claimed or stored right now is not in hand yet, so an order must be astray at two looks in a row,
        under the same claim. Should it be ours all the same, its next claim fences it like any other.
        """
        before: dict[UUID, int] = {}
        while True:
            await self._clock.sleep(self._limits.heartbeat_seconds)
            with contextlib.suppress(UnavailableError):  # the heartbeat says so
                held = await self._store.held(session)
                astray = {
                    order_id: claim
                    for order_id, claim in held.items()
                    if order_id not in self._claiming and not self._tasks.has(order_id, claim)
                }
                again = [order_id for order_id, claim in astray.items() if before.get(order_id) == claim]
                before = astray
                for order_id in again:
                    self._observer.order_released(order_id, "it was claimed in our name, and nobody worked on it")
                    await self._store.release(Release(order_id, astray[order_id], blame=False, resume_in_ms=0))
                await self._queue.enqueue(again)
            raise_if_cancelled()

    async def _drain(self) -> list[UUID]:
        """Let orders in flight finish; those that did not in time. Leases are still renewed meanwhile."""
        self._observer.worker_draining(self.name, len(self._tasks))
        self._blameless.update(self._tasks.order_ids)
        await self._unblame_quickly()  # now, since whoever stops us may lose patience and kill us
        await self._tasks.wait(self._limits.drain_seconds)
        left = self._tasks.order_ids
        self._observer.worker_stopped(self.name, len(left))
        return left

    async def _unblame(self) -> None:
        """Have the turns that were cut short not count against their orders."""
        if self._blameless:
            await self._store.unblame(list(self._blameless))
            self._blameless.clear()

    async def _unblame_quickly(self) -> None:
        with contextlib.suppress(UnavailableError, TimeoutError):  # nothing can be written then
            async with asyncio.timeout(CHORE_SECONDS):
                await self._unblame()

    # Leasing

    async def _lease_loop(self, session: WorkerSession, heartbeat: "asyncio.Task[str]") -> None:
        outage: float | None = None
        while not self._stop.is_set() and not heartbeat.done():
            raise_if_cancelled()
            self._changed.clear()
            wanted = self.direct.begin_lease(BATCH)
            if not wanted:
                await self._changed.wait()
                continue
            try:
                await unless_stopped(self._stop, self._lease_some(session, heartbeat, wanted), LEASE_SECONDS)
            except UnavailableError as error:
                if outage is None:
                    outage = self._clock.monotonic()
                    self._observer.server_unavailable("leasing orders", error)
                await self._pause(OUTAGE_PAUSE)
            else:
                if outage is not None:
                    self._observer.server_recovered("leasing orders", self._clock.monotonic() - outage)
                    outage = None
            finally:
                self.direct.end_lease()

    async def _lease_some(self, session: WorkerSession, heartbeat: "asyncio.Task[str]", wanted: int) -> None:
        """Lease up to `wanted` entries, claim their orders in one commit, start them, and acknowledge the entries:
        from the commit on, it is the lease in Postgres that brings an order back."""
        units: Sequence[bytes] = ()
        if self._limits.orders_per_minute is not None:
            grant = await self._limiter.take(RATE_KEY, self._limits.orders_per_minute, wanted)
            wanted, units = grant.granted, grant.units
            if not wanted:
                await self._pause(min(grant.retry_after, 0.5))
                return
        claimed: list[Claimed] = []
        try:
            entries = await self._queue.lease(self.name, wanted, BLOCK_MS)
            self.direct.learn(queue_empty=len(entries) < wanted)
            if entries:
                await self._failpoints.reach(Failpoint.LEASED)
            if entries and (self._stop.is_set() or heartbeat.done()):
                await self._put_back(entries)
            elif entries:
                claimed = await self._claim(session, entries)
        finally:
            await self._limiter.give_back(RATE_KEY, units[len(claimed) :])

    async def _claim(self, session: WorkerSession, entries: Sequence[Entry]) -> list[Claimed]:
        """Claim and start the orders of these entries."""
        asked, ids = self._clock.monotonic(), [entry.order_id for entry in entries]
        self._claiming = frozenset(ids)
        try:
            claimed = await self._store.claim(session.id, ids, self._tasks.suspects_wanted())
            await self._failpoints.reach(Failpoint.CLAIMED)
            for one in claimed:
                self._tasks.start(one, asked)
        except UnavailableError:
            # They may be claimed, or not. What is goes with our next looks, and the rest is leased again.
            self._chore(self._put_back(entries))
            raise
        finally:
            self._claiming = frozenset()
        self._chore(self._acknowledge(entries))
        return claimed

    async def _acknowledge(self, entries: Sequence[Entry]) -> None:
        with contextlib.suppress(UnavailableError):  # then they stay pending, are reclaimed, and claim nothing
            await self._failpoints.reach(Failpoint.ACKNOWLEDGING)
            await self._queue.ack(entries)
            await self._failpoints.reach(Failpoint.ACKNOWLEDGED)

    async def _put_back(self, entries: Sequence[Entry]) -> None:
        with contextlib.suppress(UnavailableError):  # then they stay pending, and are reclaimed
            await self._queue.ack(entries)
            await self._queue.enqueue([entry.order_id for entry in entries])

    def _chore(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past a stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

"""The worker: leases ids from the queue, claims their orders, runs each through the pipeline, and drains on a stop.

A worker lives in incarnations (`dexexec.store.workers`): each is one session with Postgres. While it lasts, a
heartbeat renews the leases of all its orders at once. When it ends (Postgres gone, the lease run out) every order in
flight is dropped where it stands: nothing can be written about it any more, and whoever claims it next resumes from
the record. Then the next incarnation begins. A crash of the whole process is the same thing without the second part.

In a process that also takes orders in, new ones come to the worker without the queue while that is empty and there is
room (`dexexec.store.seats`).
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from uuid import UUID

from dexexec.cancellation import raise_if_cancelled
from dexexec.clock import Clock, Failpoint
from dexexec.domain.order import Order
from dexexec.domain.status import Status
from dexexec.errors import ClaimLostError, UnavailableError
from dexexec.limiter import RateLimiter
from dexexec.observe import Observer
from dexexec.pipeline import Later, Pipeline
from dexexec.queue import BLOCK_MS, Entry, Queue
from dexexec.recovery.permission import SigningPermission, Unrestricted
from dexexec.store import Claimed, Incarnation, Release, Seats, Store

BATCH = 64
OUTAGE_PAUSE = 0.25
CRASH_PAUSE_MS = 1_000.0
RATE_KEY = "orders"
SUSPECT_SECONDS = 5.0
"""Past this a suspect has not crashed us, and the next one may be taken up, although its turn may last longer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`concurrency` orders in flight; `orders_per_minute` over all workers (None: no limit); `max_claims` turns
    that ended in crashes make an order poison; leases, heartbeats and drains in seconds."""

    concurrency: int
    orders_per_minute: int | None
    max_claims: int
    lease_seconds: float
    heartbeat_seconds: float
    drain_seconds: float


class _OverError(Exception):
    """This incarnation must end: nobody can tell any more what it holds."""


class Worker:
    """`name` is unique per process: it is also the consumer's name on the stream."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        queue: Queue,
        limiter: RateLimiter,
        pipeline: Pipeline,
        limits: Limits,
        clock: Clock,
        observer: Observer,
        permission: SigningPermission | None = None,
    ) -> None:
        self.name = name
        self._store, self._queue, self._limiter, self._pipeline = store, queue, limiter, pipeline
        self._limits, self._clock, self._observer = limits, clock, observer
        self._permission = permission or Unrestricted()
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()  # a slot came free, or the incarnation ended
        self._flight: dict[UUID, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._lease_until = 0.0
        self._lost: str | None = None  # why an order is neither worked on nor handed back: our end will free it
        self._incarnation: Incarnation | None = None
        self._asked_for = 0  # entries that may be leased right now
        self._drained = False  # the queue had less than what was asked for last
        self._reserved = 0  # seats for new orders that are being stored
        self._suspects: dict[UUID, float] = {}  # those in flight, and since when
        self._suspects_at_once = 1  # doubled with each one whose turn ends well
        self._blameless: set[UUID] = set()  # dropped with a lost session: their turns do not count against them

    # New orders of this process (dexexec.store.Taker)

    def reserve(self, wanted: int) -> Seats | None:
        """Room for orders that are about to be stored. Only while the queue is empty, so that none waits there longer
        for it; and not where the pace of execution is limited, since that is kept by leases."""
        me, ending = self._incarnation, self._stop.is_set() or self._lost is not None
        if me is None or ending or not self._drained or self._limits.orders_per_minute is not None:
            return None
        count = min(wanted, self._free() - self._asked_for)
        if count <= 0:
            return None
        self._reserved += count
        return Seats(me.id, count, self._clock.monotonic())

    def take(self, seats: Seats, claimed: Sequence[Claimed]) -> bool:
        """Start what was stored under our claim. False when that incarnation is over."""
        self._leave(seats)
        if self._incarnation is None or self._incarnation.id != seats.worker:
            return False
        for one in claimed:
            self._start(one, seats.asked, taken=True)
        return True

    def doubt(self, seats: Seats, error: BaseException) -> None:
        """End this incarnation: orders may be ours that we know nothing of."""
        self._leave(seats)
        if self._incarnation is not None and self._incarnation.id == seats.worker:
            self._lost = f"{error}: a new order may or may not be ours"

    def _leave(self, seats: Seats) -> None:
        self._reserved -= seats.count
        self._changed.set()

    def _free(self) -> int:
        return self._limits.concurrency - len(self._flight) - self._reserved

    # Its life

    def stop(self) -> None:
        """Lease no more; `run` ends when what is in flight has finished or was handed back."""
        self._stop.set()
        self._changed.set()

    async def run(self) -> None:
        """Work until `stop`."""
        while not self._stop.is_set():
            incarnation = await self._begin()
            if incarnation is not None:
                await self._live(incarnation)
        with contextlib.suppress(UnavailableError):  # nothing can be written then
            await self._unblame()

    async def _begin(self) -> Incarnation | None:
        begun = self._clock.monotonic()
        told = False
        while not self._stop.is_set():
            asked = self._clock.monotonic()
            try:
                await self._unblame()
                incarnation = await self._store.begin(self.name, self._limits.lease_seconds)
            except UnavailableError as error:
                if not told:
                    self._observer.waiting_for("registering the worker", error)
                told = True
                await self._pause(OUTAGE_PAUSE)
                continue
            self._lease_until = asked + self._limits.lease_seconds
            if told:
                self._observer.back_again("registering the worker", self._clock.monotonic() - begun)
            self._observer.worker_started(self.name, incarnation.id, self._limits.concurrency)
            return incarnation
        return None

    async def _unblame(self) -> None:
        """Have the turns that were cut short by a lost session, or by a stop, not count against their orders."""
        if self._blameless:
            await self._store.unblame(list(self._blameless))
            self._blameless.clear()

    def _lease_lives(self) -> bool:
        """Whether our lease cannot have run out yet, by our own clock: renewals count from before they were asked."""
        return self._clock.monotonic() < self._lease_until

    async def _live(self, incarnation: Incarnation) -> None:
        """One incarnation, from its registration until it is lost or the worker stops."""
        heartbeat = asyncio.create_task(self._heartbeat(incarnation))
        heartbeat.add_done_callback(lambda _: self._changed.set())
        left: list[UUID] = []
        self._incarnation, self._lost, self._drained = incarnation, None, False
        self._suspects_at_once = 1
        try:
            await self._obtain_permission(heartbeat)
            await self._lease_loop(incarnation, heartbeat)
            if heartbeat.done():
                raise _OverError(heartbeat.result())
            if self._lost:
                raise _OverError(self._lost)
            left = await self._drain()
        except _OverError as why:
            self._observer.worker_lost_its_lease(self.name, str(why), len(self._flight))
            self._blameless.update(self._flight)
        finally:
            self._incarnation = None
            heartbeat.cancel()
            await self._drop_flight()
            await incarnation.end()
        await self._enqueue_again(left)

    async def _obtain_permission(self, heartbeat: "asyncio.Task[str]") -> None:
        """Wait until orders may be signed for; or until the end of this incarnation, or of the worker."""
        obtaining = asyncio.create_task(self._permission.obtain())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([obtaining, stopping, heartbeat], return_when=asyncio.FIRST_COMPLETED)
            if obtaining.done():
                obtaining.result()
        finally:
            obtaining.cancel()
            stopping.cancel()
            await asyncio.gather(obtaining, stopping, return_exceptions=True)

    async def _heartbeat(self, incarnation: Incarnation) -> str:
        """Renew until that fails for good; why it did."""
        while True:
            await self._clock.sleep(self._limits.heartbeat_seconds)
            asked = self._clock.monotonic()
            try:
                if not await incarnation.renew():
                    return "it was declared dead"
            except UnavailableError as error:
                return str(error)
            self._lease_until = asked + self._limits.lease_seconds

    async def _lease_loop(self, incarnation: Incarnation, heartbeat: "asyncio.Task[str]") -> None:
        outage: float | None = None
        while not self._stop.is_set() and not heartbeat.done() and not self._lost:
            raise_if_cancelled()
            free = self._free()
            if free <= 0:
                self._drained = False  # what comes meanwhile goes on the queue, and then has the first turn
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                # While nothing waits on the queue, half of the room is left to new orders that need not go there.
                self._asked_for = min(-(-free // 2) if self._drained else free, BATCH)
                await self._lease_some(incarnation, self._asked_for)
            except UnavailableError as error:
                if outage is None:
                    outage = self._clock.monotonic()
                    self._observer.waiting_for("leasing orders", error)
                await self._pause(OUTAGE_PAUSE)
            else:
                if outage is not None:
                    self._observer.back_again("leasing orders", self._clock.monotonic() - outage)
                    outage = None
            finally:
                self._asked_for = 0

    async def _lease_some(self, incarnation: Incarnation, wanted: int) -> None:
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
            self._drained = len(entries) < wanted
            if entries:
                await self._clock.failpoint(Failpoint.LEASED)
            if entries and self._stop.is_set():
                await self._queue.ack(entries)
                await self._queue.enqueue([entry.order_id for entry in entries])
            elif entries:
                asked = self._clock.monotonic()
                try:
                    claimed = await self._store.claim(
                        incarnation.id, [entry.order_id for entry in entries], self._suspects_wanted()
                    )
                except UnavailableError as error:
                    raise _OverError(f"{error}: a claim may or may not be ours") from error
                await self._clock.failpoint(Failpoint.CLAIMED)
                for one in claimed:
                    self._start(one, asked)
                self._chore(self._acknowledge(entries))
        finally:
            started = sum(one.order.status is not Status.CONFIRMED for one in claimed)  # the others only look again
            await self._limiter.give_back(RATE_KEY, units[started:])

    def _suspects_wanted(self) -> int:
        now = self._clock.monotonic()
        return self._suspects_at_once - sum(now < since + SUSPECT_SECONDS for since in self._suspects.values())

    async def _acknowledge(self, entries: Sequence[Entry]) -> None:
        with contextlib.suppress(UnavailableError):  # then they stay pending, are reclaimed, and claim nothing
            await self._clock.failpoint(Failpoint.ACKNOWLEDGING)
            await self._queue.ack(entries)
            await self._clock.failpoint(Failpoint.ACKNOWLEDGED)

    def _start(self, claimed: Claimed, asked: float, *, taken: bool = False) -> None:
        order_id = claimed.order.id
        task = asyncio.create_task(self._work(claimed, asked, taken))
        self._flight[order_id] = task
        if claimed.suspect:
            self._suspects[order_id] = self._clock.monotonic()
        task.add_done_callback(lambda done: self._landed(order_id, done))

    def _landed(self, order_id: UUID, task: "asyncio.Task[None]") -> None:
        if self._flight.get(order_id) is task:
            del self._flight[order_id]
            if self._suspects.pop(order_id, None) is not None:
                self._suspects_at_once = min(2 * self._suspects_at_once, BATCH)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.order_stranded(order_id, error)
            self._lost = "an order could not be handed back"
        self._changed.set()

    async def _work(self, claimed: Claimed, asked: float, taken: bool) -> None:
        """One order. Whatever happens, it ends in the record or goes back, and never takes others with it."""
        order = claimed.order
        try:
            if taken:
                await asyncio.sleep(0)  # whoever posted it is answered first
                await self._clock.failpoint(Failpoint.TAKEN)
            if order.claims > self._limits.max_claims:
                if claimed.attempt is None:
                    await self._pipeline.poison(claimed)
                    return
                self._observer.order_stuck(order.id, order.claims)
            later = await self._pipeline.run(claimed, asked, self._lease_lives)
            if later is not None:
                await self._delay(order.id, later)
        except ClaimLostError:
            # Also when it is still ours in the record, after a lease that ran out by our clock alone: then it must go.
            self._observer.claim_lost(order.id)
            await self._hand_back(order)
        except UnavailableError as error:
            await self._hand_back(order)
            self._observer.order_handed_back(order.id, str(error))
        except Exception as error:  # noqa: BLE001 - a bug must cost one order its turn, not the worker its life
            self._observer.order_crashed(order.id, order.claims, error)
            self._suspects_at_once = 1
            self._suspects.pop(order.id, None)
            await self._hand_back(order, blame=True, pause_ms=CRASH_PAUSE_MS)

    async def _hand_back(self, order: Order, *, blame: bool = False, pause_ms: float = 0) -> None:
        """Release the claim, so that the order is resumed from the record; without effect where it is another's. Until
        Postgres takes it, or the heartbeat ends this incarnation and with it the claim."""
        await self._clock.failpoint(Failpoint.RELEASING)
        while True:
            try:
                await self._store.release(Release(order.id, order.claim, blame, pause_ms))
            except UnavailableError:
                await self._clock.sleep(OUTAGE_PAUSE)
            else:
                await self._clock.failpoint(Failpoint.RELEASED)
                await self._delay(order.id, Later(pause_ms))
                return

    async def _delay(self, order_id: UUID, later: Later) -> None:
        with contextlib.suppress(UnavailableError):  # then the sweeper finds it when it is due
            await self._clock.failpoint(Failpoint.DELAYING)
            await self._queue.delay(order_id, later.delay_ms)
            await self._clock.failpoint(Failpoint.DELAYED)

    async def _drain(self) -> list[UUID]:
        """Let orders in flight finish; those that did not in time. Leases are still renewed meanwhile."""
        self._observer.worker_draining(self.name, len(self._flight))
        self._blameless.update(self._flight)
        with contextlib.suppress(UnavailableError):  # nothing can be written then
            await self._unblame()
        if self._flight:
            await asyncio.wait(self._flight.values(), timeout=self._limits.drain_seconds)
        left = list(self._flight)
        self._observer.worker_stopped(self.name, len(left))
        return left

    async def _enqueue_again(self, order_ids: Sequence[UUID]) -> None:
        with contextlib.suppress(UnavailableError):  # then the sweepers of other workers find them
            await self._queue.enqueue(order_ids)

    async def _drop_flight(self) -> None:
        """Stop working on everything. What was claimed is freed by the end of the incarnation."""
        tasks = [*self._flight.values(), *self._chores]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _chore(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past a stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

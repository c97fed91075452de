"""Runs a worker: registers it in Postgres, renews its lease, executes orders, and finishes them when it has to stop.

A worker lives in sessions (`dexexec.store.leases`). When a session is lost, it drops its orders and starts a new one;
the worker that claims them next resumes them from the record.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from uuid import UUID

from dexexec.broker.queue import Queue
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import cancelled, raise_if_cancelled, unless_stopped
from dexexec.domain.worker_trouble import NOT_COMPARED
from dexexec.errors import UnavailableError
from dexexec.execution.accepted_orders import AcceptedOrders
from dexexec.execution.early_quotes import EarlyQuotes
from dexexec.execution.finality_watcher import FinalityWatcher
from dexexec.execution.lease_loop import OUTAGE_PAUSE, LeaseLoop, sleep_unless_stopped
from dexexec.execution.order_tasks import OrderTasks
from dexexec.execution.pipeline import Pipeline
from dexexec.execution.retry_timers import RetryTimers
from dexexec.execution.stray_claims import StrayClaims
from dexexec.failpoints import NO_FAILPOINTS, Failpoints
from dexexec.observe.observer import Observer
from dexexec.recovery.signing_permission import SigningPermission, Unrestricted
from dexexec.store import Store, WorkerSession

CLEANUP_SECONDS = 1.0
"""How long the end of a session or of the worker waits for each step that another process can do later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`concurrency` orders at once; `orders_per_minute` over all workers (None: no limit); `max_claims` crashes in a
    row make an order poisoned; times in seconds."""

    concurrency: int
    orders_per_minute: int | None
    max_claims: int
    lease_seconds: float
    heartbeat_seconds: float
    drain_seconds: float


SessionLoop = Callable[[int], Coroutine[object, object, None]]


class Worker:
    """`name` is unique per process, and also the consumer's name on the stream. Without `early`, quotes are requested
    after the claim. `trouble` returns why no order can be executed now, or an empty text; it is stored with each
    heartbeat. `session_loops` run beside each session, with its id, until they are cancelled."""

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
        early: EarlyQuotes | None = None,
        trouble: Callable[[], str] = str,
        session_loops: Sequence[SessionLoop] = (),
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self.name = name
        self._store = store
        self._queue = queue
        self._watcher = watcher
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._permission = permission or Unrestricted()
        self._trouble = trouble
        self._session_loops = session_loops
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()  # there is more capacity, the session ended, or the worker has to stop
        self._lease_until = 0.0
        self._may_sign = False
        self._blameless: set[UUID] = set()  # orders whose execution was interrupted by a stop or a lost session
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
        self.accepted = AcceptedOrders()
        """Where intake of this process puts the orders that it has stored."""
        self._leases = LeaseLoop(
            name=name,
            store=store,
            queue=queue,
            limiter=limiter,
            tasks=self._tasks,
            accepted=self.accepted,
            early=early,
            concurrency=limits.concurrency,
            orders_per_minute=limits.orders_per_minute,
            stop=self._stop,
            changed=self._changed,
            clock=clock,
            observer=observer,
            failpoints=failpoints,
        )
        self._strays = StrayClaims(
            store=store,
            queue=queue,
            works_on=self._works_on,
            claiming=lambda: self._leases.claiming,
            interval=limits.heartbeat_seconds,
            clock=clock,
            observer=observer,
        )

    @property
    def load(self) -> tuple[int, int]:
        """The orders that are executed now, and how many may be at once."""
        return len(self._tasks), self._limits.concurrency

    def _works_on(self, order_id: UUID, claim: int) -> bool:
        """Whether this process executes that order under that claim, or watches it until it is final."""
        return self._tasks.has(order_id, claim) or self._watcher.watched.has(order_id, claim)

    def stop(self) -> None:
        """Lease no more orders. `run` ends when the current ones have finished or were released."""
        self._stop.set()
        self._changed.set()

    async def run(self) -> None:
        """Work until `stop`. Orders that wait for a retry then are left to the sweepers of other workers."""
        async with asyncio.TaskGroup() as beside:
            timers = beside.create_task(self._timers.run())
            while not self._stop.is_set():
                session = await self._begin_session()
                if session is not None:
                    await self._run_session(session)
            timers.cancel()
        await self._unblame_quickly()

    # A session: register, work, clean up

    async def _begin_session(self) -> WorkerSession | None:
        """Register in Postgres, as soon as it is available. None if the worker has to stop before."""
        begun = self._clock.monotonic()
        was_down = False
        while not self._stop.is_set():
            requested_at = self._clock.monotonic()
            try:
                session = await unless_stopped(self._stop, self._register())
            except UnavailableError as error:
                if not was_down:
                    self._observer.server_unavailable("registering the worker", error)
                was_down = True
                await sleep_unless_stopped(self._stop, OUTAGE_PAUSE)
                continue
            if session is None:
                break
            self._lease_until = requested_at + self._limits.lease_seconds
            if was_down:
                self._observer.server_recovered("registering the worker", self._clock.monotonic() - begun)
            self._observer.worker_started(self.name, session.id, self._limits.concurrency)
            return session
        return None

    async def _register(self) -> WorkerSession:
        # Before the new session claims anything: the interruption must not count as a crash of these orders.
        await self._unblame()
        # Stored with the registration: between that and the comparison, readiness must not count this worker.
        self._may_sign = self._permission.identity() is None
        return await self._store.begin(self.name, self._limits.lease_seconds, self._current_trouble())

    async def _run_session(self, session: WorkerSession) -> None:
        """One session, until it is lost or the worker stops."""
        heartbeat = asyncio.create_task(self._heartbeat(session))
        heartbeat.add_done_callback(lambda _: self._changed.set())
        unfinished: list[UUID] = []
        try:
            async with asyncio.TaskGroup() as beside:
                background = [beside.create_task(self._strays.run(session.id))]
                background += [beside.create_task(loop(session.id)) for loop in self._session_loops]
                # Nothing is leased and no confirmed order is taken before this process may write to the record.
                if await self._obtain_permission(heartbeat):
                    await self._report_permission(session)
                    background.append(beside.create_task(self._watcher.run(session.id)))
                await self._leases.run(session, heartbeat)
                if heartbeat.done():
                    self._observer.worker_lease_lost(self.name, heartbeat.result(), len(self._tasks))
                    self._blameless.update(self._tasks.order_ids)
                else:
                    unfinished = await self._drain()
                for task in background:
                    task.cancel()
        finally:
            # The session ends last: until then its claims keep other workers away from orders that still run here.
            await self._leases.finish(CLEANUP_SECONDS)
            await cancelled([heartbeat])
            await self._tasks.drop()
            await session.end()
        with contextlib.suppress(UnavailableError, TimeoutError):  # then the sweepers of other workers find them
            async with asyncio.timeout(CLEANUP_SECONDS):
                await self._queue.enqueue(unfinished)

    async def _obtain_permission(self, heartbeat: "asyncio.Task[str]") -> bool:
        """Wait until orders may be signed. False if this session or the worker ends before."""
        obtaining = asyncio.create_task(self._permission.obtain())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([obtaining, stopping, heartbeat], return_when=asyncio.FIRST_COMPLETED)
            if obtaining.done():
                obtaining.result()
            return obtaining.done()
        finally:
            await cancelled([obtaining, stopping])

    async def _report_permission(self, session: WorkerSession) -> None:
        """Let readiness count this worker now, and not only at the next heartbeat."""
        if not self._may_sign:
            self._may_sign = True
            with contextlib.suppress(UnavailableError):  # the heartbeat repeats it, or ends the session
                await session.renew(self._current_trouble())

    def _current_trouble(self) -> str:
        """Why this worker cannot execute orders now, for its row; empty if it can."""
        return self._trouble() if self._may_sign else str(NOT_COMPARED)

    # The lease

    async def _heartbeat(self, session: WorkerSession) -> str:
        """Renew the lease until that fails for good. Returns the reason."""
        while True:
            await self._clock.sleep(self._limits.heartbeat_seconds)
            requested_at = self._clock.monotonic()
            try:
                if not await session.renew(self._current_trouble()):
                    return "it was declared dead"
            except UnavailableError as error:
                return str(error)
            raise_if_cancelled()
            # From before the request: by the clock of Postgres the lease ends later than by this one, never sooner.
            self._lease_until = requested_at + self._limits.lease_seconds

    def _has_lease(self) -> bool:
        """Whether the lease cannot have run out yet."""
        return self._clock.monotonic() < self._lease_until

    # The end

    async def _drain(self) -> list[UUID]:
        """Let the current orders finish, while the lease is renewed. Returns those that did not finish in time."""
        self._observer.worker_draining(self.name, len(self._tasks))
        self._blameless.update(self._tasks.order_ids)
        # Now and not at the end: a supervisor that loses patience kills this process.
        await self._unblame_quickly()
        await self._tasks.wait(self._limits.drain_seconds)
        unfinished = self._tasks.order_ids
        self._observer.worker_stopped(self.name, len(unfinished))
        return unfinished

    async def _unblame(self) -> None:
        """Do not count interrupted executions as crashes of their orders."""
        if self._blameless:
            await self._store.uncount_claims(list(self._blameless))
            self._blameless.clear()

    async def _unblame_quickly(self) -> None:
        with contextlib.suppress(UnavailableError, TimeoutError):  # Postgres is unavailable: nothing can be written
            async with asyncio.timeout(CLEANUP_SECONDS):
                await self._unblame()

"""The asyncio tasks of a worker, one for each order that it executes: started, counted, awaited and cancelled.

A task never affects another one, even when it crashes. An order that cannot be released is found by
`execution.stray_claims`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from uuid import UUID

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import cancelled
from dexexec.domain.order import Order
from dexexec.domain.stage import Stage
from dexexec.domain.status import Status
from dexexec.errors import ClaimLostError, UnavailableError
from dexexec.execution.early_quotes import EarlyRound
from dexexec.execution.pipeline import Pipeline
from dexexec.execution.retry_timers import RetryTimers
from dexexec.failpoints import Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import Claimed, Release, Store

CRASH_PAUSE_MS = 1_000.0
OUTAGE_PAUSE_MS = 500.0
"""Where an order can be claimed but its steps cannot be written, it must not be retried in a tight loop."""
SUSPECT_SECONDS = 5.0
"""A suspect that has not crashed the process by then no longer delays the next one."""
MAX_SUSPECTS = 64


class OrderTasks:
    """The orders that a worker executes now. `has_lease` returns whether their swaps may be sent; `changed` is called
    when one fewer is executed."""

    def __init__(
        self,
        *,
        store: Store,
        timers: RetryTimers,
        pipeline: Pipeline,
        max_claims: int,
        has_lease: Callable[[], bool],
        changed: Callable[[], None],
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints,
    ) -> None:
        self._store = store
        self._timers = timers
        self._pipeline = pipeline
        self._max_claims = max_claims
        self._has_lease = has_lease
        self._changed = changed
        self._clock = clock
        self._observer = observer
        self._failpoints = failpoints
        self._running: dict[UUID, tuple[int, asyncio.Task[None]]] = {}  # the claim and the task of each order
        self._suspects: dict[UUID, float] = {}  # running suspects, and since when
        self._suspects_at_once = 1

    def __len__(self) -> int:
        return len(self._running)

    @property
    def order_ids(self) -> list[UUID]:
        """The orders that are executed now."""
        return list(self._running)

    def has(self, order_id: UUID, claim: int) -> bool:
        """Whether that order is executed under that claim."""
        return order_id in self._running and self._running[order_id][0] == claim

    def suspects_wanted(self) -> int:
        """How many suspects (orders whose last execution may have crashed a worker) may be claimed now."""
        # One at first, and twice as many after each that ends well: a single poisonous order among many suspects then
        # crashes the process only a few times, and harmless ones are not held up for long.
        now = self._clock.monotonic()
        return self._suspects_at_once - sum(now < since + SUSPECT_SECONDS for since in self._suspects.values())

    def start(self, claimed: Claimed, claimed_at: float, early: EarlyRound | None = None) -> None:
        """Start executing an order whose claim was requested at `claimed_at` (monotonic seconds). `early` are quotes
        that were requested meanwhile."""
        order_id = claimed.order.id
        task = asyncio.create_task(self._run(claimed, claimed_at, early))
        self._running[order_id] = (claimed.order.claim, task)
        if claimed.suspect:
            self._suspects[order_id] = self._clock.monotonic()
        task.add_done_callback(lambda done: self._ended(order_id, done))

    async def wait(self, seconds: float) -> None:
        """Let tasks end, for up to `seconds`."""
        if self._running:
            await asyncio.wait([task for _, task in self._running.values()], timeout=seconds)

    async def drop(self) -> None:
        """Cancel all tasks. Their orders are freed when the worker session ends. A task that an adapter keeps from
        ending is left behind; its claim is fenced, so it cannot write any more."""
        await cancelled(task for _, task in self._running.values())
        self._suspects_at_once = 1

    def _ended(self, order_id: UUID, task: "asyncio.Task[None]") -> None:
        # The same order may be running again under a newer claim by now; then this task is not the one in the table.
        if order_id in self._running and self._running[order_id][1] is task:
            del self._running[order_id]
            if self._suspects.pop(order_id, None) is not None:
                self._suspects_at_once = min(2 * self._suspects_at_once, MAX_SUSPECTS)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.order_release_failed(order_id, error)
        self._changed()

    async def _run(self, claimed: Claimed, claimed_at: float, early: EarlyRound | None) -> None:
        order = claimed.order
        self._observer.tracer.enter(order.traceparent)
        if order.status is Status.PENDING and order.claims == 1:
            now = self._clock.monotonic()
            self._observer.tracer.stage(Stage.QUEUE, now - order.age_ms / 1000, now)
        try:
            if order.claims > self._max_claims:
                if claimed.attempt is None:
                    await self._pipeline.poison(claimed)
                    return
                # Its transaction may still land, so it must be settled, however often that crashes.
                self._observer.order_stuck(order.id, order.claims)
            retry_after = await self._pipeline.run(claimed, claimed_at, self._has_lease, early)
            if retry_after is not None:
                self._timers.add(order.id, retry_after.delay_ms)
        except ClaimLostError:
            # Also when the record still has it under this claim, after a lease that ran out only by this machine's
            # clock. Then no other worker would take it up, so it is released.
            self._observer.claim_lost(order.id)
            await self._release(order)
        except UnavailableError as error:
            self._observer.order_released(order.id, str(error))
            await self._release(order, pause_ms=OUTAGE_PAUSE_MS)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a bug must cost one execution, not the whole worker
            self._observer.order_run_crashed(order.id, order.claims, error)
            # Not a suspect that ended well, so the number of suspects at once starts again.
            self._suspects.pop(order.id, None)
            self._suspects_at_once = 1
            await self._release(order, blame=True, pause_ms=CRASH_PAUSE_MS)
        finally:
            if early is not None:
                early.drop()

    async def _release(self, order: Order, *, blame: bool = False, pause_ms: float = 0) -> None:
        """Release the claim, so that the order is resumed from the record. Without effect on a newer claim."""
        await self._failpoints.reach(Failpoint.RELEASING)
        with contextlib.suppress(UnavailableError):  # then `StrayClaims` finds it
            await self._store.release(Release(order_id=order.id, claim=order.claim, blame=blame, resume_in_ms=pause_ms))
            await self._failpoints.reach(Failpoint.RELEASED)
            self._timers.add(order.id, pause_ms)

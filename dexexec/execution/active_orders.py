"""The turns of a worker's orders: the pipeline carries each claimed order on, until it ends, rests or is released.

A turn takes no other order with it, whatever happens in it. What cannot be released is found by the worker's next look
(`dexexec.execution.worker`).
"""

import asyncio
import contextlib
from collections.abc import Callable
from uuid import UUID

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import cancelled
from dexexec.domain.order import Order
from dexexec.errors import ClaimLostError, UnavailableError
from dexexec.execution.pipeline import Pipeline
from dexexec.execution.retry_timers import RetryTimers
from dexexec.failpoints import Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import Claimed, Release, Store

CRASH_PAUSE_MS = 1_000.0
OUTAGE_PAUSE_MS = 500.0
"""Where an order can be claimed and handed back, and its steps cannot be written, it is not tried without a pause."""
SUSPECT_SECONDS = 5.0
"""A suspect that has not crashed the process by then is no reason to let the next one wait, however long its turn."""
MOST_SUSPECTS = 64


class Turns:
    """The orders that a worker has in hand. `lease_lives` says whether they may be sent; `changed` is called when one
    fewer is in hand."""

    def __init__(
        self,
        *,
        store: Store,
        timers: RetryTimers,
        pipeline: Pipeline,
        max_claims: int,
        lease_lives: Callable[[], bool],
        changed: Callable[[], None],
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints,
    ) -> None:
        self._failpoints = failpoints
        self._store, self._timers, self._pipeline = store, timers, pipeline
        self._max_claims, self._lease_lives, self._changed = max_claims, lease_lives, changed
        self._clock, self._observer = clock, observer
        self._running: dict[UUID, tuple[int, asyncio.Task[None]]] = {}  # by order: its claim, its turn
        self._suspects: dict[UUID, float] = {}  # those that run, and since when
        self._suspects_at_once = 1

    def __len__(self) -> int:
        return len(self._running)

    @property
    def order_ids(self) -> list[UUID]:
        """The orders in hand."""
        return list(self._running)

    def has(self, order_id: UUID, claim: int) -> bool:
        """Whether that order is in hand, under that claim."""
        return order_id in self._running and self._running[order_id][0] == claim

    def suspects_wanted(self) -> int:
        """How many suspects may be taken up now: one at first, and twice as many after each whose turn ended well."""
        now = self._clock.monotonic()
        return self._suspects_at_once - sum(now < since + SUSPECT_SECONDS for since in self._suspects.values())

    def start(self, claimed: Claimed, asked: float, *, direct: bool = False) -> None:
        """Begin the turn of an order that was claimed when it was asked for at `asked` (monotonic seconds); `direct`:
        by the commit that stored it."""
        order_id = claimed.order.id
        task = asyncio.create_task(self._run(claimed, asked, direct))
        self._running[order_id] = claimed.order.claim, task
        if claimed.suspect:
            self._suspects[order_id] = self._clock.monotonic()
        task.add_done_callback(lambda done: self._ended(order_id, done))

    async def wait(self, seconds: float) -> None:
        """Let turns end, for up to `seconds`."""
        if self._running:
            await asyncio.wait([task for _, task in self._running.values()], timeout=seconds)

    async def drop(self) -> None:
        """Stop all turns where they are. Their orders are freed by the end of the worker's session; one that an adapter
        does not let go of is left behind, and writes nothing more."""
        await cancelled(task for _, task in self._running.values())
        self._suspects_at_once = 1

    def _ended(self, order_id: UUID, task: "asyncio.Task[None]") -> None:
        if order_id in self._running and self._running[order_id][1] is task:
            del self._running[order_id]
            if self._suspects.pop(order_id, None) is not None:
                self._suspects_at_once = min(2 * self._suspects_at_once, MOST_SUSPECTS)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.order_release_failed(order_id, error)
        self._changed()

    async def _run(self, claimed: Claimed, asked: float, direct: bool) -> None:
        order = claimed.order
        try:
            if direct:
                await asyncio.sleep(0)  # whoever posted it is answered first
                await self._failpoints.reach(Failpoint.TAKEN)
            if order.claims > self._max_claims:
                if claimed.attempt is None:
                    await self._pipeline.poison(claimed)
                    return
                self._observer.order_stuck(order.id, order.claims)
            later = await self._pipeline.run(claimed, asked, self._lease_lives)
            if later is not None:
                self._timers.add(order.id, later.delay_ms)
        except ClaimLostError:
            # Also when it is still ours in the record, after a lease that ran out by our clock alone: then it must go.
            self._observer.claim_lost(order.id)
            await self._release(order)
        except UnavailableError as error:
            self._observer.order_released(order.id, str(error))
            await self._release(order, pause_ms=OUTAGE_PAUSE_MS)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a bug must cost one order its turn, not the worker its life
            self._observer.order_run_crashed(order.id, order.claims, error)
            self._suspects.pop(order.id, None)
            self._suspects_at_once = 1
            await self._release(order, blame=True, pause_ms=CRASH_PAUSE_MS)

    async def _release(self, order: Order, *, blame: bool = False, pause_ms: float = 0) -> None:
        """Release the claim, so that the order is resumed from the record; without effect where it is another's."""
        await self._failpoints.reach(Failpoint.RELEASING)
        with contextlib.suppress(UnavailableError):  # then the worker's next look finds it
            await self._store.release(Release(order.id, order.claim, blame, pause_ms))
            await self._failpoints.reach(Failpoint.RELEASED)
            self._timers.add(order.id, pause_ms)

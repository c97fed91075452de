"""Accepts orders: checks the client's limit and the queue's capacity, stores the order, and puts its id on the queue.

Nothing here depends on HTTP. Every refusal comes before the store, so it leaves nothing behind. After the commit the
order is accepted even if Redis fails: the sweeper finds orders that are not on the queue.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from dexexec.broker.rate_limiter import Grant
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import cancelled
from dexexec.config.settings import Settings
from dexexec.domain.halt import NO_HALTS, Halt
from dexexec.domain.order import NewOrder
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_check import breaches, posted_trade
from dexexec.domain.stage import Stage
from dexexec.errors import (
    QueueFullError,
    RequestError,
    TooManyOrdersError,
    UnavailableError,
)
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.intake.queue_gate import DEPTH_TIMEOUT_SECONDS, OrderQueue, QueueGate
from dexexec.observe.observer import Observer
from dexexec.operator_errors import HaltedError, PolicyError
from dexexec.store import Created

REFUSALS_LOG_SECONDS = 1.0
"""Orders that a full queue refuses within this time become one log line."""
CLOSE_SECONDS = 2.0
ENQUEUE_LIMIT = 500
"""Ids that one command puts on the queue at most."""


class OrderStore(Protocol):
    """The part of `dexexec.store.Store` that intake uses."""

    async def create(
        self, order: NewOrder, *, read_at: float, answer_by: float, policy: Policy, committed: Callable[[], None]
    ) -> Created:
        """Commit the order and its first event, and call `committed`; raises by `answer_by`."""


class ClientLimiter(Protocol):
    """The part of `dexexec.broker.rate_limiter.RateLimiter` that intake uses."""

    async def take(self, key: str, limit: int, count: int = 1) -> Grant:
        """Take units of a window."""


class Halts(Protocol):
    """The part of `dexexec.feed.halt_watch.HaltWatch` that intake uses."""

    def of(self, owner: int | None) -> Halt | None:
        """The halt that covers orders of `owner`, as of a second ago."""


class Intake:
    """The only way in for an order. One per process. `accepted` is called with each order that goes on the queue, and
    with its deadline (monotonic seconds)."""

    def __init__(
        self,
        store: OrderStore,
        queue: OrderQueue,
        limiter: ClientLimiter,
        *,
        settings: Settings,
        clock: Clock,
        observer: Observer,
        halts: Halts = NO_HALTS,
        accepted: Callable[[NewOrder, float], None] = lambda _, __: None,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._store = store
        self._queue = queue
        self._limiter = limiter
        self._clock = clock
        self._observer = observer
        self._halts = halts
        self._accepted = accepted
        self._failpoints = failpoints
        self._per_minute = settings.client_orders_per_minute
        self._timeout = settings.request_timeout_ms / 1000
        self._gate = QueueGate(queue, settings.max_queue, min(DEPTH_TIMEOUT_SECONDS, self._timeout), clock)
        self._to_enqueue: list[UUID] = []
        self._enqueuing: asyncio.Task[None] | None = None
        self._refused = 0

    def check_capacity(self) -> None:
        """Raises `QueueFullError` when any order would be refused now. Called before the body is read, so that a
        refusal costs as little as possible."""
        try:
            self._gate.check_capacity()
        except QueueFullError:
            self._count_refusal()
            raise

    def check(self, order: NewOrder, policy: Policy = NO_LIMITS) -> None:
        """Raises what `accept` would raise at this moment, as far as this process can decide without a server:
        `QueueFullError`, `HaltedError` and `PolicyError`. Limits over many orders count only what is accepted."""
        self._gate.check_capacity()
        self._check_halts(order)
        if broken := breaches(policy, posted_trade(order)):
            raise PolicyError(broken)

    def _check_halts(self, order: NewOrder) -> None:
        # A dry run signs nothing.
        if not order.dry_run and (halt := self._halts.of(order.owner)) is not None:
            raise HaltedError(halt)

    async def accept(self, order: NewOrder, read_at: float | None = None, policy: Policy = NO_LIMITS) -> Created:
        """Store the order. It is committed when this returns, and on its way to the queue. `read_at` is when its
        request had been read (monotonic seconds; None: now). `policy` is that of its owner.

        Raises `HaltedError`, `PolicyError`, `TooManyOrdersError`, `QueueFullError`, `UnavailableError` (with the
        order's id when Postgres may have stored it), and what `Store.create` raises. Ends within
        `DEXEXEC_REQUEST_TIMEOUT_MS` and by the order's deadline, both from `read_at` on. When it is cancelled before
        the order is being written, nothing is stored.
        """
        now = self._clock.monotonic()
        read_at = now if read_at is None else read_at
        answer_by = read_at + min(self._timeout, order.deadline_ms / 1000)
        if now >= answer_by:
            raise UnavailableError("the service is too busy to answer in time")
        self._check_halts(order)
        # What breaks a limit by itself takes no turn. With a key it may repeat an order that was accepted before the
        # policy was changed: only the store can tell.
        if order.idempotency_key is None and (broken := breaches(policy, posted_trade(order))):
            raise PolicyError(broken)
        # A repeated Idempotency-Key passes the same checks, since only the store can recognise it. A refusal (503) does
        # not change the first order, and a later repetition returns its id.
        try:
            async with asyncio.timeout(answer_by - now):
                if self._per_minute is not None:
                    await self._check_client_limit(order.client, self._per_minute)
                await self._gate.enter()
        except QueueFullError:
            self._count_refusal()
            raise
        except TimeoutError:
            raise self._timed_out() from None
        created = await self._create(order, read_at, answer_by, policy)
        if not created.replayed:
            now = self._clock.monotonic()
            self._observer.metrics.stage_ended(Stage.ACCEPTING, now - read_at)
            self._observer.tracer.stage(Stage.ACCEPTING, read_at, now)
        return created

    async def close(self) -> None:
        """Wait until every accepted order is on the queue, or Redis refused it or takes too long. The sweeper finds the
        rest."""
        if (enqueuing := self._enqueuing) is not None:
            await asyncio.wait([enqueuing], timeout=CLOSE_SECONDS)
            await cancelled([enqueuing])

    def _timed_out(self) -> RequestError:
        """The error for a request whose time ended before its order was let in."""
        if not self._gate.full():
            return UnavailableError("Redis does not answer in time")
        self._count_refusal()
        return self._gate.refusal()

    def _count_refusal(self) -> None:
        # A log line per refused order would take CPU time exactly when there is none to spare.
        if not self._refused:
            asyncio.get_running_loop().call_later(REFUSALS_LOG_SECONDS, self._log_refusals)
        self._refused += 1

    def _log_refusals(self) -> None:
        self._observer.orders_refused(self._refused)
        self._refused = 0

    async def _check_client_limit(self, client: str, per_minute: int) -> None:
        grant = await self._limiter.take(f"client:{client}", per_minute)
        if grant.granted < 1:
            raise TooManyOrdersError(f"at most {per_minute} orders per minute from one client", grant.retry_after)

    async def _create(self, order: NewOrder, read_at: float, answer_by: float, policy: Policy) -> Created:
        is_queued = False
        has_left = False

        # Called with the commit's answer and before the client's: the id is on its way to a worker meanwhile, also if
        # the client does not wait any more.
        def committed() -> None:
            nonlocal is_queued
            # No worker needs a resting order before it is triggered.
            if not order.rests:
                is_queued = True
                # Otherwise it would leave twice, and each such order would make the queue longer by one for ever.
                if has_left:
                    self._gate.enter_after_all()
                self._accepted(order, read_at + order.deadline_ms / 1000)
                self._dispatch(order.id)

        try:
            await self._failpoints.reach(Failpoint.CREATING)
            created = await self._store.create(
                order, read_at=read_at, answer_by=answer_by, policy=policy, committed=committed
            )
            await self._failpoints.reach(Failpoint.CREATED)
            return created
        finally:
            # A queued order leaves the gate when its id is on the queue; any other never gets there.
            if not is_queued:
                has_left = True
                self._gate.leave()

    def _dispatch(self, order_id: UUID) -> None:
        """Have the id put on the queue, together with those that arrive while the previous command runs."""
        self._to_enqueue.append(order_id)
        if self._enqueuing is None:
            self._enqueuing = asyncio.create_task(self._enqueue_all(), name="enqueue")

    async def _enqueue_all(self) -> None:
        try:
            while self._to_enqueue:
                batch = self._to_enqueue[:ENQUEUE_LIMIT]
                del self._to_enqueue[:ENQUEUE_LIMIT]
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._failpoints.reach(Failpoint.ENQUEUING)
                        await self._queue.enqueue(batch)
                        await self._failpoints.reach(Failpoint.ENQUEUED)
                except (UnavailableError, TimeoutError):
                    # No second try: the sweeper puts them on the queue a second later, also if this process dies.
                    self._observer.orders_not_enqueued(len(batch))
                finally:
                    for _ in batch:
                        self._gate.leave()
        finally:
            self._enqueuing = None

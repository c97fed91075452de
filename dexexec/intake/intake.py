"""Taking an order in: may this client post, can the queue take it, is it stored, then to the queue.

First stop of an order after its body is read, and without HTTP. Everything that can refuse comes before the store, so
that a refusal leaves nothing behind. Once the order is committed nothing refuses it any more: unless a worker of this
process has it already (`store.dispatcher`), its id goes to the queue behind the client's answer, and if Redis is
lost in that moment the sweeper finds the order in Postgres.

A request that repeats an Idempotency-Key passes the same gates as a new one, because only the store knows that it is a
repetition: while Redis is down or the queue is full it is refused (503), which changes nothing about the first one, and
repeating it later gives the first order's id. It is never put on the queue again.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from dexexec.broker.rate_limiter import Grant
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import cancelled
from dexexec.config.settings import Settings
from dexexec.domain.order import NewOrder
from dexexec.errors import QueueFullError, RequestError, TooManyOrdersError, UnavailableError
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import Created

FRESH_SECONDS = 0.1
"""A queue depth older than this is asked for again, beside the orders that come meanwhile."""
STALE_SECONDS = 0.3
"""A queue depth older than this is not believed: orders wait for a newer one."""
DEPTH_TIMEOUT_SECONDS = 1.0
LINE = 256
"""Orders that stand in line for room in a full queue; more are refused at once."""
LINE_SECONDS = 1.0
"""How long they stand there at most."""
LOOK_SECONDS = 0.01
"""Between two looks of the first in line."""
TELL_SECONDS = 1.0
"""Orders that a full queue refuses within this time are one log line."""
CLOSE_SECONDS = 2.0
ENQUEUE_LIMIT = 500
"""Ids that one command puts on the queue at most."""


class OrderStore(Protocol):
    """What is needed of `dexexec.store.Store`."""

    async def create(self, order: NewOrder, *, read_at: float, answer_by: float) -> Created:
        """Commit the order and its first event; raises by `answer_by`."""


class OrderQueue(Protocol):
    """What is needed of `dexexec.broker.queue.Queue`."""

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Put ids on the queue; how many were not on it yet."""

    async def depth(self) -> int:
        """How many orders wait."""


class ClientLimiter(Protocol):
    """What is needed of `dexexec.broker.rate_limiter.RateLimiter`."""

    async def take(self, key: str, limit: int, count: int = 1) -> Grant:
        """Take units of a window."""


class QueueGate:
    """Says whether the queue can take one more, without asking Redis for each order.

    The depth is the last one that Redis told, plus what passed here since. It is asked for when an order comes and
    the last answer is not fresh; nobody waits for that answer unless the last one is stale, or says that the queue is
    full. A full queue is waited for in line: so posting goes at the pace of execution, instead of taking the machine's
    time from it, and only what is more than a line is refused. With no orders coming nothing is asked. Other processes'
    orders count from the next answer on, so that several of them together may overshoot `max_queue` by what they take
    in `FRESH_SECONDS`.
    """

    def __init__(self, queue: OrderQueue, max_queue: int, timeout: float, clock: Clock) -> None:
        self._queue, self._max, self._timeout, self._clock = queue, max_queue, timeout, clock
        self._asking: asyncio.Task[None] | None = None
        self._known_at = -math.inf  # when the last answered question was asked
        self._depth = 0
        self._entered = 0  # orders let through
        self._left = 0  # of these, the ones on the queue by now, or given up
        self._left_before = 0  # those that left before the last answered question
        self._line = asyncio.Lock()  # it is given to those who wait in their order
        self._standing = 0

    def check_capacity(self) -> None:
        """Raises `QueueFullError` when not even the line has room."""
        if self._standing >= LINE:
            raise self.refusal()

    async def enter(self) -> None:
        """Let one order through; `leave` must follow. Raises `UnavailableError` or `QueueFullError`."""
        age = self._clock.monotonic() - self._known_at
        if age > STALE_SECONDS:
            await self._ask()
        elif age > FRESH_SECONDS:
            self._start_asking()
        if self._standing or self.full():
            await self._stand_in_line()
        else:
            self._entered += 1

    def leave(self) -> None:
        """The order is on the queue, or will not come."""
        self._left += 1

    async def _stand_in_line(self) -> None:
        """Come in when it is our turn and there is room."""
        self.check_capacity()
        until = self._clock.monotonic() + LINE_SECONDS
        self._standing += 1
        try:
            async with self._line:
                while self.full():
                    await self._ask()
                    if self.full():
                        if self._clock.monotonic() >= until:
                            raise self.refusal()
                        await self._clock.sleep(LOOK_SECONDS)
                self._entered += 1
        finally:
            self._standing -= 1

    def refusal(self) -> QueueFullError:
        """What an order is refused with that finds no room."""
        return QueueFullError(f"{self._max} orders wait already: post again shortly")

    def full(self) -> bool:
        """Whether there is no room, as far as is known."""
        return self._depth + self._entered - self._left_before >= self._max

    async def _ask(self) -> None:
        """Wait for the depth. Whoever waits at the same time shares one question."""
        await asyncio.shield(self._start_asking())
        if self._known_at == -math.inf:
            raise UnavailableError("Redis does not answer")

    def _start_asking(self) -> asyncio.Task[None]:
        if self._asking is None:
            self._asking = asyncio.create_task(self._learn_depth(), name="queue depth")
        return self._asking

    async def _learn_depth(self) -> None:
        try:
            try:
                await self._ask_depth()
            except TimeoutError:  # the connection may have died while it rested: the next one is new
                await self._ask_depth()
        except (UnavailableError, TimeoutError):
            self._known_at = -math.inf
        finally:
            self._asking = None

    async def _ask_depth(self) -> None:
        asked_at, left = self._clock.monotonic(), self._left
        async with asyncio.timeout(self._timeout):
            self._depth = await self._queue.depth()
        self._known_at, self._left_before = asked_at, left


class Intake:
    """The only way in for an order. One per process."""

    def __init__(
        self,
        store: OrderStore,
        queue: OrderQueue,
        limiter: ClientLimiter,
        *,
        settings: Settings,
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._failpoints = failpoints
        self._store, self._queue, self._limiter, self._clock, self._observer = store, queue, limiter, clock, observer
        self._per_minute = settings.client_orders_per_minute
        self._timeout = settings.request_timeout_ms / 1000
        self._gate = QueueGate(queue, settings.max_queue, min(DEPTH_TIMEOUT_SECONDS, self._timeout), clock)
        self._waiting: list[UUID] = []
        self._refused = 0
        self._enqueuing: asyncio.Task[None] | None = None

    def check_capacity(self) -> None:
        """Raises `QueueFullError` when any order would be refused now: before it is read, that costs the least."""
        try:
            self._gate.check_capacity()
        except QueueFullError:
            self._note_refusal()
            raise

    async def accept(self, order: NewOrder, read_at: float | None = None) -> Created:
        """Store the order; it is committed when this returns, and on its way to the queue. `read_at` is when its
        request had been read (monotonic seconds; None: now).

        Raises `TooManyOrdersError`, `QueueFullError`, `UnavailableError` (with the order's id when Postgres may have
        taken it), and what `Store.create` raises. Ends within `DEXEXEC_REQUEST_TIMEOUT_MS` and by the order's deadline,
        both from `read_at` on. When it is cancelled before the order is being written, the order is not stored.
        """
        now = self._clock.monotonic()
        read_at = now if read_at is None else read_at
        answer_by = read_at + min(self._timeout, order.deadline_ms / 1000)
        if now >= answer_by:
            raise UnavailableError("the service is too busy to answer in time")
        try:
            async with asyncio.timeout(answer_by - now):
                if self._per_minute is not None:
                    await self._limit(order.client, self._per_minute)
                await self._gate.enter()
        except QueueFullError:
            self._note_refusal()
            raise
        except TimeoutError:
            raise self._too_late() from None
        created = await self._create(order, read_at, answer_by)
        if created.taken:
            self._gate.leave()
        elif not created.replayed:
            self._dispatch(created.order_id)
        return created

    async def close(self) -> None:
        """Wait until every accepted order is on the queue, or Redis has refused it, or takes too long: then the sweeper
        finds it."""
        if (enqueuing := self._enqueuing) is not None:
            await asyncio.wait([enqueuing], timeout=CLOSE_SECONDS)
            await cancelled([enqueuing])

    def _too_late(self) -> RequestError:
        """The time of a request is over, and its order was not let through yet."""
        if not self._gate.full():
            return UnavailableError("Redis does not answer in time")
        self._note_refusal()
        return self._gate.refusal()

    def _note_refusal(self) -> None:
        """Count, for one log line however many there are: the machine has better things to do then."""
        if not self._refused:
            asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell_refusals)
        self._refused += 1

    def _tell_refusals(self) -> None:
        self._observer.orders_refused(self._refused)
        self._refused = 0

    async def _limit(self, client: str, per_minute: int) -> None:
        grant = await self._limiter.take(f"client:{client}", per_minute)
        if grant.granted < 1:
            raise TooManyOrdersError(f"at most {per_minute} orders per minute from one client", grant.retry_after)

    async def _create(self, order: NewOrder, read_at: float, answer_by: float) -> Created:
        new = False
        try:
            await self._failpoints.reach(Failpoint.CREATING)
            created = await self._store.create(order, read_at=read_at, answer_by=answer_by)
            await self._failpoints.reach(Failpoint.CREATED)
            new = not created.replayed
            return created
        finally:
            if not new:
                self._gate.leave()

    def _dispatch(self, order_id: UUID) -> None:
        """Have the id put on the queue, together with those that come while the last command runs."""
        self._waiting.append(order_id)
        if self._enqueuing is None:
            self._enqueuing = asyncio.create_task(self._enqueue_waiting(), name="enqueue")

    async def _enqueue_waiting(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:ENQUEUE_LIMIT]
                del self._waiting[:ENQUEUE_LIMIT]
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._failpoints.reach(Failpoint.ENQUEUING)
                        await self._queue.enqueue(batch)
                        await self._failpoints.reach(Failpoint.ENQUEUED)
                except (UnavailableError, TimeoutError):
                    self._observer.orders_not_enqueued(len(batch))
                finally:
                    for _ in batch:
                        self._gate.leave()
        finally:
            self._enqueuing = None

"""One worker in virtual time without any faults but those of its venues: for promises about waiting."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from dexexec.broker.rate_limiter import RateLimiter
from dexexec.domain.order import NewOrder
from dexexec.domain.quote import SwapRequest
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.execution.sweeper import Sweeper
from dexexec.execution.worker import Limits, Worker
from dexexec.feed.halt_watch import HaltWatch
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.venue import Network, VenueError
from dexexec.venues.router import Router
from tests.simulation.clock import START_MS, VirtualClock
from tests.simulation.loop import VirtualLoop
from tests.simulation.scenario import Unlimited
from tests.simulation.venue import SeededVenue
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.queue import MemoryQueue, MemoryRedis
from tests.support.fakes.rows import OrderRow
from tests.support.fakes.store import MemoryStore
from tests.support.parts import running
from tests.support.worker_parts import pipeline_and_watcher

Trouble = Callable[[float], VenueError | None]
"""What a venue answers at a time (virtual seconds) instead of a quote; None where it is well."""

Meanwhile = Callable[[MemoryDatabase, VirtualClock], Awaitable[None]]
"""What else happens to the database."""


class Steady(random.Random):
    """Never one of the cases that a venue has seldom: swaps land at once, and none is lost."""

    def random(self) -> float:
        """The same each time."""
        return 0.9


class TroubledVenue(SeededVenue):
    """A venue that fails exactly as a test sets it."""

    def __init__(self, name: str, clock: VirtualClock, chain: SimulatedChain, trouble: Trouble) -> None:
        super().__init__(name, clock, chain, Steady(name), 0)
        self._troubled_at, self._begun = trouble, clock.monotonic()

    async def quote(self, request: SwapRequest, deadline: float):  # type: ignore[no-untyped-def]
        """The trouble, or a quote."""
        trouble = self._troubled_at(self.context.clock.monotonic() - self._begun)
        if trouble is not None:
            raise trouble
        return await super().quote(request, deadline)


async def undisturbed(_database: MemoryDatabase, _clock: VirtualClock) -> None:
    """Nothing happens meanwhile."""


def lived(
    orders: Sequence[NewOrder], troubles: dict[str, Trouble], seconds: float, meanwhile: Meanwhile = undisturbed
) -> list[OrderRow]:
    """What the orders are after so many virtual seconds with one worker and these venues."""
    loop = VirtualLoop(random.Random(1))
    clock, observer = VirtualClock(loop), Observer(make_logger("critical"))
    database = MemoryDatabase(lambda: START_MS * 1_000 + int(loop.time() * 1e6))
    queue = MemoryQueue(MemoryRedis(lambda: START_MS + int(loop.time() * 1_000))).port
    store = MemoryStore(database)
    halts = HaltWatch(store, clock)
    chain = SimulatedChain(MemoryLedger(clock))
    venues = {name: TroubledVenue(name, clock, chain, trouble) for name, trouble in troubles.items()}
    router = Router(dict(venues), clock, observer, timeout_ms=1_000, breaker_failures=10, breaker_seconds=5)
    pipeline, watcher = pipeline_and_watcher(
        store=store.port,
        queue=queue,
        router=router,
        settlement=Settlement(
            {Network.SIMULATED: chain}, {Network.SIMULATED: SimulatedSealer(SimulatedSigner())}, clock, observer
        ),
        venues=dict(venues),
        retry_policy=RetryPolicy(attempts=3, base_ms=500, max_ms=10_000),
        halts=halts,
        finality_ms=4_000,
        clock=clock,
        observer=observer,
        rng=random.Random(2),
    )
    worker = Worker(
        name="worker",
        store=store.port,
        queue=queue,
        limiter=cast("RateLimiter", Unlimited()),
        pipeline=pipeline,
        watcher=watcher,
        limits=Limits(
            concurrency=128,
            orders_per_minute=None,
            max_claims=10,
            lease_seconds=20,
            heartbeat_seconds=3,
            drain_seconds=10,
        ),
        clock=clock,
        observer=observer,
    )
    sweeper = Sweeper("sweeper", store.port, queue, 1.0, clock=clock, observer=observer)

    async def live() -> None:
        async with running(worker.run(), sweeper.run(), halts.run(), meanwhile(database, clock)):
            for order in orders:
                await store.create(order)
            await queue.enqueue([order.id for order in orders])
            await clock.sleep(seconds)

    try:
        loop.run(live())
    finally:
        loop.close()
    return [database.orders[order.id] for order in orders]

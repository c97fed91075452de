"""Workers on a real chain: the real pipeline over real Postgres and Valkey, whose swaps settle on a localnet.

`executed_once` counts the swaps of an order on the chain, by the signatures of its attempts, not in the record.
"""

import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import redis.asyncio

from dexexec.broker.rate_limiter import RateLimiter
from dexexec.clock import SystemClock
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.execution.sweeper import Sweeper
from dexexec.execution.worker import Worker
from dexexec.localnet.blocks import Consensus
from dexexec.settlement.solana.rpc.node_pool import NodePoolOptions
from dexexec.store import Address
from dexexec.venues.router import Router
from tests.support.localnet.rpc_chains import LONG_TIMEOUTS
from tests.support.localnet.settlement_setup import FINAL, SettlementSetup, settlement_setup
from tests.support.orders_on_servers import OrdersOnServers, statuses_of
from tests.support.parts import new_order, open_queue, open_redis, open_store, running
from tests.support.scripted_workers import LIMITS
from tests.support.worker_parts import pipeline_and_watcher

LONG_MS = 3_600_000
"""A deadline that time by hand does not reach."""


@dataclass(kw_only=True)
class WorkerSetup(OrdersOnServers):
    """What workers need, and a look at what they did."""

    at: SettlementSetup
    redis: redis.asyncio.Redis
    address: Address
    prefix: str
    names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def confirmations(self) -> list[str]:
        """The statuses of an order from the landing of its swap until that is final."""
        return ["confirmed", "confirmed"] if self.at.recorded == "confirmed" else ["confirmed"]

    def worker(self, *, tries: int = 3, breaker_failures: int = 100, dry_run: bool = False, **limits: Any) -> Worker:
        """A worker that does not run yet. It gives orders up after so many `tries`."""
        at = self.at
        venues = {at.venue.name: at.venue}
        router = Router(
            venues, at.clock, at.observer, timeout_ms=10_000, breaker_failures=breaker_failures, breaker_seconds=60
        )
        pipeline, watcher = pipeline_and_watcher(
            store=self.store,
            queue=self.queue,
            router=router,
            settlement=at.settlement,
            venues=venues,
            retry_policy=RetryPolicy(attempts=tries, base_ms=5, max_ms=20),
            finality_ms=20,
            clock=at.clock,
            observer=at.observer,
            rng=random.Random(1),
            dry_run=dry_run,
            watching=SystemClock(),
            failpoints=at.failpoints,
        )
        return Worker(
            name=f"worker-{next(self.names)}",
            store=self.store,
            queue=self.queue,
            limiter=RateLimiter(self.redis, self.prefix, "p"),
            pipeline=pipeline,
            watcher=watcher,
            limits=replace(LIMITS, **limits),
            clock=SystemClock(),  # leases run on the time of Postgres
            observer=at.observer,
            failpoints=at.failpoints,
        )

    def sweeper(self) -> Sweeper:
        """A sweeper that does not run yet."""
        return Sweeper("sweeper", self.store, self.queue, 0.05, clock=SystemClock(), observer=self.at.observer)

    @asynccontextmanager
    async def working(self, **worker: Any) -> AsyncIterator[None]:
        """One worker at work inside the block."""
        async with running(self.worker(**worker).run()):
            yield

    async def post(self, order: NewOrder | None = None) -> UUID:
        """Store an order, by default one of 0.01 SOL that may take its time, and put it on the queue."""
        return await super().post(order or new_order(deadline_ms=LONG_MS))

    async def again(self, order_id: UUID) -> None:
        """Put it on the queue again, as a sweeper would."""
        await self.queue.enqueue([order_id])

    async def flush(self) -> None:
        """The queue's data is gone."""
        keys = [key async for key in self.redis.scan_iter(f"*{self.prefix}*")]
        assert keys, "there was something to lose"
        await self.redis.delete(*keys)
        await self.queue.prepare()

    async def settled(self, order_id: UUID) -> list[str]:
        """As `ended`, of an order that will be confirmed: the blocks come that make it final."""
        await self.reached(order_id, Status.CONFIRMED)
        await self.at.advance(FINAL)
        return statuses_of(await self.ended(order_id))

    async def executed_once(self, order_id: UUID) -> Any:
        """The order as GET shows it: confirmed for good, by the only swap of the wallet on the chain, which is the only
        one of its attempts that is on the chain."""
        view = await self.view(order_id)
        signatures = [attempt["txHash"] for attempt in view["attempts"]]
        known = [
            signature
            for signature, status in zip(signatures, await self.at.statuses(signatures), strict=True)
            if status is not None and status["err"] is None
        ]
        assert known == await self.at.swaps() == [view["txHash"]]
        assert (view["status"], view["fill"]["finalized"]) == ("confirmed", True)
        assert view["finalizedAt"] is not None
        [landed] = [one for one in view["attempts"] if one["outcome"] == "landed"]
        assert (landed["txHash"], landed["proof"]["finalized"]) == (view["txHash"], True)
        [status] = await self.at.statuses(known)
        assert (landed["proof"]["slot"], status["confirmationStatus"]) == (status["slot"], "finalized")
        return view

    async def attempts(self) -> list[tuple[str, bytes, int]]:
        """All attempts as they are stored: signature, bytes, last valid height."""
        connection = await psycopg.AsyncConnection.connect(self.address.conninfo())
        async with connection:
            found = await connection.execute("SELECT signature, payload, last_valid_height FROM attempts ORDER BY n")
            return [(signature, bytes(payload), height) for signature, payload, height in await found.fetchall()]


OpenWorkers = Callable[..., AbstractAsyncContextManager[WorkerSetup]]


@asynccontextmanager
async def worker_setup(
    folder: Path,
    address: Address,
    url: str,
    prefix: str,
    *nodes: str,
    timeouts: NodePoolOptions = LONG_TIMEOUTS,
    consensus: Consensus | None = None,
) -> AsyncIterator[WorkerSetup]:
    """Everything but a worker."""
    async with (
        settlement_setup(folder, *nodes, timeouts=timeouts, consensus=consensus) as at,
        open_store(address) as store,
        open_queue(url, prefix) as queue,
        open_redis(url) as client,
    ):
        at.reservations.source = store.reserved
        yield WorkerSetup(at=at, store=store, queue=queue, redis=client, address=address, prefix=prefix)

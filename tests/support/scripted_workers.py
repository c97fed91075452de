"""A worker's environment: real Postgres and Valkey, scripted venues and chain, and access to the result."""

import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from dexexec.broker.rate_limiter import RateLimiter
from dexexec.clock import Clock, SystemClock
from dexexec.domain.event import Event
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.swap import Landed, NotSeen
from dexexec.domain.token import USDC, WSOL
from dexexec.execution.early_quotes import EarlyQuotes
from dexexec.execution.policy_book import PolicyBook
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.execution.sweeper import Sweeper
from dexexec.execution.worker import Limits, Worker
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import Signer, SimulatedSigner
from dexexec.venue import Network, Slippage
from dexexec.venues.router import Router
from tests.support.orders_on_servers import OrdersOnServers
from tests.support.scripted import ScriptedChain, ScriptedVenue, quote_of
from tests.support.worker_parts import pipeline_and_watcher

MOVED = {WSOL: -10_000_000, USDC: 1_500_000}
LANDED = Landed(MOVED, 5_000, 7, finalized=True)
WELL_FILLED = replace(LANDED, moved={**MOVED, USDC: 1_503_000})
"""A fill that is better than the quote."""
CONFIRMED = Landed(MOVED, 5_000, 7, finalized=False)
ALIVE = NotSeen(height=1, history=True, node="n", slot=30)
EXPIRED = NotSeen(height=151, history=True, node="n", slot=190)
QUICK = RetryPolicy(attempts=3, base_ms=5, max_ms=20)
LIMITS = Limits(
    concurrency=16, orders_per_minute=None, max_claims=3, lease_seconds=20, heartbeat_seconds=0.1, drain_seconds=5
)


@dataclass(kw_only=True)
class ScriptedWorkers(OrdersOnServers):
    """One worker's environment. By default `chain` answers that a swap landed; `a` has the better price."""

    limiter: RateLimiter
    chain: ScriptedChain
    a: ScriptedVenue
    b: ScriptedVenue
    names: "itertools.count[int]"

    def worker(
        self,
        *,
        retry_policy: RetryPolicy = QUICK,
        without: str = "",
        genesis: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        signer: Signer | None = None,
        dry_run: bool = False,
        **limits: Any,
    ) -> Worker:
        """A worker that does not run yet: `without` one of the venues, on a chain with another `genesis`, by another
        `clock` than the machine's, or with another `signer` than one that never signs alike twice."""
        clock, observer = clock or SystemClock(), Observer(make_logger("critical"))
        venues = {venue.name: venue for venue in (self.a, self.b) if venue.name != without}
        router = Router(venues, clock, observer, timeout_ms=500, breaker_failures=100, breaker_seconds=60)
        settlement = Settlement(
            {Network.SIMULATED: self.chain},
            {Network.SIMULATED: SimulatedSealer(signer or UniqueSigner(), guarded=False)},
            clock,
            observer,
            genesis or {},
        )
        policies = PolicyBook(self.store, clock)
        pipeline, watcher = pipeline_and_watcher(
            store=self.store,
            queue=self.queue,
            router=router,
            settlement=settlement,
            venues=venues,
            retry_policy=retry_policy,
            finality_ms=20,
            clock=clock,
            observer=observer,
            rng=random.Random(1),
            dry_run=dry_run,
        )
        return Worker(
            name=f"worker-{next(self.names)}",
            store=self.store,
            queue=self.queue,
            limiter=self.limiter,
            pipeline=pipeline,
            watcher=watcher,
            limits=replace(LIMITS, **limits),
            early=EarlyQuotes(router=router, policies=policies, settlement=settlement, clock=clock, observer=observer),
            clock=clock,
            observer=observer,
        )

    def sweeper(self) -> Sweeper:
        """A sweeper that does not run yet."""
        return Sweeper(
            "sweeper", self.store, self.queue, 0.05, clock=SystemClock(), observer=Observer(make_logger("critical"))
        )


OpenScriptedWorkers = Callable[[], AbstractAsyncContextManager[ScriptedWorkers]]


class UniqueSigner(SimulatedSigner):
    """Signs the same bytes differently each time, as a nonce would make them."""

    _count = itertools.count()

    def sign(self, unsigned: Any) -> Any:
        signed = super().sign(unsigned)
        return replace(signed, signature=f"{signed.signature}{next(self._count)}{id(self)}")


async def failing_to_build(_: Quote) -> bytes:
    raise Slippage("moved")


def quotes_of(event: Event) -> dict[str, Any]:
    quotes: Any = event.detail["quotes"]
    return {quote["venue"]: quote for quote in quotes}


def quoting(venue: str, **changes: object) -> Callable[[SwapRequest], Awaitable[Quote]]:
    """Valid quotes of a venue, with these changes."""

    async def quote(request: SwapRequest) -> Quote:
        return quote_of(venue, request, 1_500_000, **changes)

    return quote


async def waits_for(b: ScriptedWorkers, order_id: UUID, reason: str) -> bool:
    """Whether the order shows this reason to wait."""
    waiting = (await b.view(order_id))["waitingFor"]
    return waiting is not None and waiting["reason"] == reason

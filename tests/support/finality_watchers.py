"""Confirmed orders on a store and a queue in memory, a scripted chain, and watchers of them, in manual time."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.domain.swap import Landed, NotSeen, SignedSwap, SwapStatus
from dexexec.execution.finality_watcher import FinalityWatcher
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.settlement import Settlement
from dexexec.store import ConfirmedPage, NewAttempt, Resolution, Step
from dexexec.testing.clock import ManualClock
from dexexec.venue import Chain, Network
from dexexec.venues.router import Router
from tests.support.failpoints import ScriptedFailpoints
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.queue import MemoryQueue, MemoryRedis
from tests.support.fakes.rows import OrderRow
from tests.support.fakes.store import MemoryStore
from tests.support.parts import new_order
from tests.support.prepared_orders import ROUTED
from tests.support.scripted import ScriptedVenue
from tests.support.worker_parts import pipeline_and_watcher

HERE = Network.SIMULATED
FINALITY = 4.0
LANDED = Landed({}, 5_000, 77, finalized=True)
CONFIRMED = replace(LANDED, finalized=False)
GONE = NotSeen(height=100, history=True, node="n", slot=90)


class ScriptedStatusChain:
    """Returns a scripted status for each signature, and records the calls, and whether the history was searched."""

    def __init__(self) -> None:
        self.known: dict[str, SwapStatus] = {}
        self.asked: list[tuple[list[str], bool]] = []
        self.fault: BaseException | None = None

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """The scripted status, or confirmed."""
        self.asked.append((list(signatures), history))
        if self.fault is not None:
            raise self.fault
        return [self._one(self.known.get(signature, CONFIRMED), history) for signature in signatures]

    @staticmethod
    def _one(status: SwapStatus, history: bool) -> SwapStatus:
        return replace(status, history=history) if isinstance(status, NotSeen) else status


class Heard(Observer):
    """What an operator hears."""

    def __init__(self) -> None:
        super().__init__(make_logger("critical"))
        self.words: list[str] = []

    def order_run_crashed(self, order_id: UUID, claims: int, error: BaseException) -> None:
        """An unexpected exception."""
        self.words.append(f"crashed: {error!r}")

    def attempt_chain_unavailable(self, order_id: UUID, venue: str, why: str) -> None:
        """A chain that is not set up."""
        self.words.append(f"out of reach: {why}")

    def finality_check_failed(self, error: BaseException) -> None:
        """An unexpected exception."""
        self.words.append("look failed")

    def server_unavailable(self, what: str, error: Exception) -> None:
        """An outage."""
        self.words.append("waiting")

    def server_recovered(self, what: str, seconds: float) -> None:
        """Its end."""
        self.words.append("back")


class WatcherSetup:
    """Confirmed orders, a chain, and as many watchers as a test wants."""

    def __init__(self) -> None:
        self.clock, self.chain, self.heard = ManualClock(), ScriptedStatusChain(), Heard()
        self.failpoints = ScriptedFailpoints()
        self.database = MemoryDatabase(lambda: self.clock.unix_ms() * 1_000)
        self.events: list[Event] = []
        self.redis = MemoryRedis(self.clock.unix_ms)
        self.queue = MemoryQueue(self.redis)
        self.store = MemoryStore(self.database, self.events.extend)
        self.redis.prepare()
        self.worker = self.database.register("w", 10**9)

    def watcher(self, store: MemoryStore | None = None) -> FinalityWatcher:
        """Another process' watcher, on a `store` of its own if that is given."""
        venue = ScriptedVenue("here", self.clock)
        observer, store = self.heard, store or self.store
        _, watcher = pipeline_and_watcher(
            store=store.port,
            queue=self.queue.port,
            router=Router({}, self.clock, observer, timeout_ms=1, breaker_failures=1, breaker_seconds=1),
            settlement=Settlement({HERE: cast("Chain", self.chain)}, {}, self.clock, observer),
            venues={"here": venue},
            retry_policy=RetryPolicy(3, 1, 1),
            finality_ms=FINALITY * 1_000,
            clock=self.clock,
            observer=observer,
            rng=random.Random(1),
            failpoints=self.failpoints,
        )
        return watcher

    async def confirmed(self, network: str = HERE, quoted: dict[str, object] | None = None) -> OrderRow:
        """An order whose swap is confirmed, and due for a look."""
        order = new_order()
        await self.store.create(order)
        [claimed] = await self.store.claim(self.worker, [order.id])
        known = {"amountIn": "1", "amountOut": "1", "minOut": "0", "maxIn": "100"} if quoted is None else quoted
        signed = SignedSwap(signature=f"sig {order.id}", payload=b"bytes", last_valid_height=150, network=network)
        claim, seen = claimed.order.claim, Resolution(1, None, {"slot": 77, "finalized": False})
        new = NewAttempt(n=1, venue="here", signed=signed, quoted=known)
        assert await self.store.advance(
            Step(order_id=order.id, claim=claim, version=1, events=(*ROUTED, (Status.SUBMITTED, {})), attempt=new)
        )
        landed = Step(
            order_id=order.id, claim=claim, version=4, events=((Status.CONFIRMED, {}),), resolution=seen, resume_in_ms=0
        )
        assert await self.store.advance(landed)
        return self.database.orders[order.id]

    async def made_anew(self) -> OrderRow:
        """An order whose first attempt was proven gone, and whose second one is confirmed and due for a look."""
        row = await self.confirmed()
        [claimed] = await self.store.take_confirmed(self.worker, ConfirmedPage(next_look_ms=0))
        order_id, claim, signed = row.new.id, claimed.order.claim, row.attempts[0].attempt.signed
        again = NewAttempt(
            n=2,
            venue="here",
            signed=replace(signed, signature=f"second {order_id}"),
            quoted=row.attempts[0].attempt.quoted,
        )
        for version, events, more in (
            (5, ((Status.SUBMITTED, {}),), {"resolution": Resolution(1, None, {})}),
            (6, ((Status.ROUTING, {}),), {"resolution": Resolution(1, Outcome.EXPIRED, {})}),
            (7, ((Status.BUILDING, {}), (Status.SUBMITTED, {})), {"attempt": again}),
            (9, ((Status.CONFIRMED, {}),), {"resolution": Resolution(2, None, {"slot": 77}), "resume_in_ms": 0}),
        ):
            step: Any = Step(order_id=order_id, claim=claim, version=version, events=events, **more)
            assert await self.store.advance(step)
        return row

    def tell(self, row: OrderRow, status: SwapStatus) -> None:
        """From now on the chain returns that status for the order's swap."""
        self.chain.known[row.attempts[-1].attempt.signed.signature] = status

    async def look(self, watcher: FinalityWatcher | None = None) -> None:
        """Look once, and let time pass until all are due again."""
        await (watcher or self.watcher()).look(HERE, self.worker)
        self.clock.advance(FINALITY + 1)

    def queued(self) -> list[UUID]:
        """What is on the queue, which is then in hand."""
        return [entry.order_id for entry in self.redis._deliver("any", 1_000)]

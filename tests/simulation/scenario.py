"""One scenario: processes, servers, a chain, clients and the faults of a seed; then all faults end and promises are
checked.

Real are the intake, the worker, the pipeline, the router, the settlement and the sweeper. In memory are Postgres, Redis
and the chain, each behind a network that delays and loses. A scenario is over when every order has ended.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from dexexec.broker.rate_limiter import Grant, RateLimiter
from dexexec.config.settings import Settings
from dexexec.domain.attempt_id import read_memo
from dexexec.domain.halt import NO_HALTS
from dexexec.domain.order import NewOrder
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import FailedOnChain, Landed
from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import IdempotencyMismatchError, UnavailableError
from dexexec.execution.early_quotes import EarlyQuotes
from dexexec.execution.halted_orders import Halts
from dexexec.execution.policy_book import PolicyBook
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.execution.sweeper import Sweeper
from dexexec.execution.worker import Limits, Worker
from dexexec.intake.intake import ClientLimiter, Intake
from dexexec.recovery.signing_permission import ComparedRecord
from dexexec.resting.follow_ups import FollowUps
from dexexec.resting.leader import Duty, Leader
from dexexec.resting.slices import Slices
from dexexec.resting.wakes import Wakes
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.simulated.chain import SLOT_MS, SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.store import Store
from dexexec.store.follow_ups import FROM_THE_START
from dexexec.venue import AnyVenue, Chain, Network
from dexexec.venues.router import Router
from tests.simulation.chains import ForkingChain, ForkingNode, ObservedChain, RemoteLedger
from tests.simulation.clients import Clients, random_order
from tests.simulation.clock import START_MS, VirtualClock
from tests.simulation.loop import StuckError, VirtualLoop
from tests.simulation.lost_commits import WALLET, ChainHistory, MemoSealer, permission_of
from tests.simulation.lost_commits import Landed as OnChain
from tests.simulation.machine import Machine, MachineStore, StruckError
from tests.simulation.plan import Plan
from tests.simulation.promise_checks import TRIES, CheckingObserver, PromiseChecks
from tests.simulation.resting import RandomTriggers
from tests.simulation.venue import LyingVenue, SeededVenue
from tests.simulation.wires import Server
from tests.support.fakes import groups
from tests.support.fakes.comparisons import MemoryComparisons
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.queue import MemoryQueue, MemoryRedis
from tests.support.fakes.rows import ComparisonRow
from tests.support.worker_parts import pipeline_and_watcher

LEASE = 3.0
EXITS_REST = 30.0
"""Virtual seconds after the last fault."""
TRIGGERS_EVERY = 0.5
"""Virtual seconds between two turns of the leader's duties."""
HEALED_WITHIN = 240.0
"""Virtual seconds: a poisoned claim's longest pause (30), three attempts that each must be proven expired (73) and rest
before the next, and the finality of the last one (13)."""
COMPARED_WITHIN = 90.0
"""Virtual seconds that each promotion adds: what was signed before is dead after 160 blocks, and that is final after 32
more (77)."""
SETTINGS = Settings(request_timeout_ms=1_500)
SEALER = MemoSealer(SimulatedSigner())
TOKENS = Tokens(KNOWN)


class Unlimited:
    """A rate limiter without a limit."""

    async def take(self, key: str, limit: int, count: int = 1) -> Grant:
        """Everything."""
        return Grant(count, 0.0)

    async def give_back(self, key: str, units: object) -> None:
        """Nothing was counted."""


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What happened. `known` orders were claimed by the process that had accepted them. `healing` is how long it took
    from the last fault until every order had ended."""

    seed: int
    plan: Plan
    problems: tuple[str, ...]
    trace: str
    statuses: tuple[str, ...]
    starts: int
    unlanded: int
    known: int
    healing: float


class Scenario:
    """All parts of one scenario."""

    healed_within = HEALED_WITHIN
    clients: Clients

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.plan = Plan.draw(self.rng)
        self.loop = VirtualLoop(random.Random(self.rng.random()))
        self.database = MemoryDatabase(lambda: START_MS * 1_000 + int(self.loop.time() * 1e6))
        self.redis = MemoryRedis(lambda: START_MS + int(self.loop.time() * 1_000))
        self.checks = PromiseChecks(self.database, self.loop.time)
        self.checks.compared = self._is_compared
        self.healed_within += self.plan.promotions * COMPARED_WITHIN
        self.observer = CheckingObserver(self.checks)
        self.postgres, self.valkey, self.node = Server("Postgres"), Server("Redis"), Server("the chain")
        clock = VirtualClock(self.loop)
        self.ledger = MemoryLedger(clock)
        self.forking = ForkingNode(
            clock.unix_ms, random.Random(self.rng.random()), self.plan.forks or 0, self.plan.recent
        )
        self.api = Machine("api", self.loop, random.Random(self.rng.random()), self._serve)
        self._healed = False
        self.poison = self.plan.max_claims == 3
        self.workers = [
            Machine(f"worker{n}", self.loop, random.Random(self.rng.random()), self._work)
            for n in range(self.plan.workers)
        ]

    @property
    def machines(self) -> list[Machine]:
        """All of them."""
        return [self.api, *self.workers]

    @property
    def servers(self) -> list[Server]:
        """All of them."""
        return [self.postgres, self.valkey, self.node]

    # What processes do

    def _store(self, machine: Machine, clock: VirtualClock) -> MachineStore:
        store = MachineStore(
            self.database,
            self.checks.announced,
            machine.wire(self.postgres),
            clock,
            permitted_identity=machine.permitted_identity,
        )
        machine.stores.append(store)
        return store

    async def _serve(self, machine: Machine) -> None:
        """An API process, without HTTP; perhaps API and worker in one."""
        clock = machine.clock()
        store = self._store(machine, clock)
        parts = self._parts(machine, store.port, clock) if self.plan.together else None
        intake = Intake(
            store,
            MemoryQueue(self.redis, machine.wire(self.valkey)),
            cast("ClientLimiter", Unlimited()),
            settings=SETTINGS,
            clock=clock,
            observer=self.observer,
            accepted=parts[0].accepted.add if parts else lambda _, __: None,
            failpoints=machine.failpoints,
        )
        self.clients.connect(intake, store)
        if parts is None:
            await self.loop.create_future()
        else:
            await self._run(machine, *parts)
        await intake.close()

    async def _work(self, machine: Machine) -> None:
        """A worker process: worker and sweeper."""
        store = self._store(machine, machine.clock())
        await self._run(machine, *self._parts(machine, store.port, machine.clock()))

    async def _run(self, machine: Machine, worker: Worker, sweeper: Sweeper) -> None:
        machine.stop = worker.stop
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(sweeper.run())
            await worker.run()
            sweeping.cancel()

    def _parts(self, machine: Machine, store: Store, clock: VirtualClock) -> tuple[Worker, Sweeper]:
        name = f"{machine.name}.{machine.starts}"
        queue = MemoryQueue(self.redis, machine.wire(self.valkey)).port
        chain = self._chain(machine, clock)
        venues = {name: self._venue(machine, name, clock, chain) for name in ("a", "b")}
        if self.plan.lies:
            venues["liar"] = LyingVenue("liar", clock, chain, machine.rng, self.plan.lies)
        router = Router(
            venues,
            clock,
            self.observer,
            timeout_ms=round(self.plan.quoting * 1000),
            breaker_failures=10**6,
            breaker_seconds=1,
        )
        settlement = Settlement(
            {Network.SIMULATED: chain},
            {Network.SIMULATED: SEALER},
            clock,
            self.observer,
            failpoints=machine.failpoints,
        )
        pipeline, watcher = pipeline_and_watcher(
            store=store,
            queue=queue,
            router=router,
            settlement=settlement,
            venues=venues,
            retry_policy=RetryPolicy(attempts=TRIES, base_ms=200, max_ms=2_000),
            finality_ms=1_500,
            clock=clock,
            observer=self.observer,
            rng=machine.rng,
            halts=self._halts(machine),
            failpoints=machine.failpoints,
        )
        permission = self._permission(machine, chain, clock) if self.plan.promotions else None
        worker = Worker(
            name=name,
            store=store,
            queue=queue,
            limiter=cast("RateLimiter", Unlimited()),
            pipeline=pipeline,
            watcher=watcher,
            limits=Limits(
                concurrency=4,
                orders_per_minute=None,
                max_claims=self.plan.max_claims,
                lease_seconds=LEASE,
                heartbeat_seconds=self.plan.heartbeat,
                drain_seconds=1,
            ),
            clock=clock,
            observer=self.observer,
            permission=permission,
            early=EarlyQuotes(
                router=router,
                policies=PolicyBook(store, clock),
                settlement=settlement,
                clock=clock,
                observer=self.observer,
            ),
            session_loops=[self._leader(machine, store, clock).run],
            failpoints=machine.failpoints,
        )
        sweeper = Sweeper(
            name,
            store,
            queue,
            self.plan.sweep,
            clock=clock,
            observer=self.observer,
            failpoints=machine.failpoints,
        )
        return worker, sweeper

    def _halts(self, _machine: Machine) -> Halts:
        """What a process has read about halts."""
        return NO_HALTS

    def _leader(self, machine: Machine, store: Store, clock: VirtualClock) -> Leader:
        queue = MemoryQueue(self.redis, machine.wire(self.valkey))
        follow_ups = FollowUps(store, TOKENS, observer=self.observer, failpoints=machine.failpoints)
        slices = Slices(store, queue.port, TOKENS)
        duties: list[Duty] = [Wakes(store, queue.port), RandomTriggers(store, queue, machine.rng), slices, follow_ups]
        return Leader(store, duties, TRIGGERS_EVERY, clock=clock, observer=self.observer)

    def _permission(self, machine: Machine, chain: Chain, clock: VirtualClock) -> ComparedRecord:
        comparisons = MemoryComparisons(self.database, self.checks.announced, machine.wire(self.postgres))
        machine.comparisons.append(comparisons)
        history = ChainHistory(chain, machine.wire(self.node), clock, self._on_chain)
        permission = permission_of(comparisons, history, clock, self.observer)
        machine.permission = permission
        return permission

    def _is_compared(self) -> bool:
        """Whether the record that answers has all that the chain has."""
        row = self.database.comparisons.get(WALLET, ComparisonRow())
        return not self.plan.promotions or (row.identity or self.database.made_as) == self.database.identity

    def _venue(self, machine: Machine, name: str, clock: VirtualClock, chain: Chain) -> AnyVenue:
        return SeededVenue(name, clock, chain, machine.rng, self.plan.venue_trouble)

    def _chain(self, machine: Machine, clock: VirtualClock) -> Chain:
        wire = machine.wire(self.node)
        chain: Chain = ForkingChain(self.forking, wire, self.checks.arrived)
        if self.plan.forks is None:
            chain = SimulatedChain(RemoteLedger(self.ledger, wire, self.checks.arrived))
        stopped = self.plan.faults or self.plan.strikes
        return chain if stopped else ObservedChain(chain, self.checks.sent)

    # The run

    def run(self) -> ScenarioResult:
        """Run it from the beginning to the checks."""
        try:
            return self._reported()
        except BaseException as error:
            error.add_note(f"in the scenario of seed {self.seed}")
            raise
        finally:
            self._close()

    def _reported(self) -> ScenarioResult:
        healing = 0.0
        try:
            healing = self.loop.run(self._drive())
        except StuckError as error:
            self.checks.fail(str(error))
        unstopped = not (self.plan.faults or self.plan.strikes)
        self.checks.check_all(
            self._final_outcome, poison=self.poison, unstopped=unstopped, on_time=not self.plan.trouble
        )
        if self.plan.promotions:
            landed = self._on_chain(self.forking.slot())
            memos = {one: read_memo(SimulatedSwap.decode(found.payload).nonce) for one, found in landed.items()}
            outcomes = {one: self._final_outcome(one) for one in landed}
            self.checks.check_memos(
                {one: memo.attempt for one, memo in memos.items() if memo and isinstance(outcomes[one], Landed)}
            )
        for machine in self.machines:
            for fault in machine.unexpected:
                self.checks.fail(f"{machine.name} ended by itself: {fault!r}")
        for fault in self.loop.unhandled:
            if not isinstance(fault, StruckError | UnavailableError | IdempotencyMismatchError):
                self.checks.fail(f"nobody looked at {fault!r}")
        statuses = tuple(str(row.status) for row in self.database.orders.values())
        starts = sum(machine.starts for machine in self.machines)
        known = sum(store.known for machine in self.machines for store in machine.stores)
        return ScenarioResult(
            self.seed, self.plan, tuple(self.checks.problems), self.checks.trace, statuses, starts,
            self.checks.unlanded, known, healing,
        )  # fmt: skip

    async def _drive(self) -> float:
        plan, loop = self.plan, self.loop
        # Only now: a subclass may have replaced the plan and the checks.
        self.clients = Clients(plan, self.rng, loop, self.api, self.database, self.checks, self._new_order)
        for server in self.servers:
            server.trouble = plan.trouble
        for machine in self.machines:
            machine.strikes = plan.strikes
        supervisors = [asyncio.create_task(machine.supervise()) for machine in self.machines]
        clients = [asyncio.create_task(self.clients.run_one()) for _ in range(plan.orders)]
        chaos = asyncio.create_task(self._inject_faults())
        for _ in range(plan.promotions):
            loop.schedule(self.rng.uniform(0.5, plan.fault_seconds), self._cut_standby_off)
        await self._wait_for_faults()
        chaos.cancel()
        self._heal()
        begun = loop.time()
        await asyncio.gather(*clients)
        while loop.time() < begun + self.healed_within and not (self._all_ended() and self._is_compared()):
            await asyncio.sleep(0.5)
            if loop.time() > begun + EXITS_REST:
                self._take_exits_back()
        for task in supervisors:
            task.cancel()
        return loop.time() - begun

    async def _wait_for_faults(self) -> None:
        """As long as faults are planned."""
        await asyncio.sleep(self.plan.fault_seconds)

    def _take_exits_back(self) -> None:
        """Exits whose price never comes rest for ever: their client cancels them."""
        for order_id, row in list(self.database.orders.items()):
            if row.new.parent is not None and row.resting:
                with contextlib.suppress(UnavailableError):
                    _, event = self.database.cancel(order_id)
                    self.checks.announced([event] if event else [])

    def _all_ended(self) -> bool:
        """Also that nothing is left to follow up, which may make new orders."""
        ended = all(row.finished_at is not None for row in self.database.orders.values())
        return ended and not groups.ended(self.database, FROM_THE_START, 1)

    def _final_outcome(self, signature: str) -> Landed | FailedOnChain | None:
        """What became of it for good."""
        if self.plan.forks is None:
            return self._on_ledger(signature)
        outcomes = self.forking.outcomes.get(signature)
        final = next((period for period in outcomes.periods if period.until is None), None) if outcomes else None
        return final.outcome if final else None

    def _on_chain(self, slot: int) -> dict[str, OnChain]:
        """All that is on chain as of a slot, and stays if that is finalized."""
        if self.plan.forks is None:
            recorded = self.ledger._recorded.values()
            return {
                one.signature: OnChain(at, one.payload)
                for one in recorded
                if (at := one.lands_at_ms // SLOT_MS) <= min(slot, one.last_valid_height)
            }
        periods = {one: outcomes.on_chain_at(slot) for one, outcomes in self.forking.outcomes.items()}
        payloads = self.forking.payloads
        return {one: OnChain(period.since, payloads[one]) for one, period in periods.items() if period is not None}

    def _on_ledger(self, signature: str) -> Landed | FailedOnChain | None:
        landing = self.ledger._recorded.get(signature)
        if landing is None or landing.lands_at_ms // SLOT_MS > landing.last_valid_height:
            return None
        return SimulatedSwap.decode(landing.payload).execute(landing.lands_at_ms // SLOT_MS)

    def _close(self) -> None:
        """Cancel what is left, of the dead as well: only now, when nothing counts any more."""
        for machine in self.machines:
            for process in machine.processes:
                self.loop.thaw(process)
                self.loop.revive(process)
        self.loop.run(self._cancel_all())
        self.loop.close()

    async def _cancel_all(self) -> None:
        me = asyncio.current_task()
        while left := asyncio.all_tasks(self.loop) - {me}:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1)

    def _new_order(self) -> NewOrder:
        return random_order(self.rng)

    # Faults

    async def _inject_faults(self) -> None:
        """Blows, as often as planned."""
        if not self.plan.faults:
            return
        blows = self._blows()
        while True:
            await asyncio.sleep(self.rng.expovariate(self.plan.faults))
            self.rng.choice(blows)()

    def _blows(self) -> list[Callable[[], None]]:
        """What may happen."""
        return [
            lambda: self.rng.choice(self.workers).kill(),
            lambda: self.rng.choice(self.machines).freeze(self.rng.uniform(0.1, 3 * LEASE)),
            lambda: self.rng.choice(self.machines).cut_off(self.rng.uniform(0.1, 2 * LEASE)),
            lambda: self.rng.choice(self.machines).stop(),
            self.api.kill,
            self.redis.flush,
            self.redis.drop_stream,
            self._break_sessions,
            self._restart_by_the_dozen,
            lambda: self._outage(self.rng.choice(self.servers)),
        ]

    def _outage(self, server: Server) -> None:
        server.up = False
        self.loop.schedule(self.rng.uniform(0.1, 4), setattr, server, "up", True)

    def _cut_standby_off(self) -> None:
        """From now on it gets nothing more; a moment later the primary is gone for good, and it takes over."""
        copy = self.database.copy()
        self.loop.schedule(self.rng.uniform(0.1, 4), self._promote, copy)

    def _promote(self, copy: dict[str, Any]) -> None:
        if self._healed:
            return
        self.checks.promoted(copy)
        self.postgres.machine += 1
        self._outage(self.postgres)

    def _break_sessions(self) -> None:
        """Postgres is started again: every session is over."""
        for worker_id in list(self.database.workers):
            self.database.disconnect(worker_id)

    def _restart_by_the_dozen(self) -> None:
        """A deployment in a loop, a crash loop, or a Postgres that does not stay up."""
        every = self.rng.uniform(0.1, 1.5)
        fault = self.rng.choice((self._kill_workers, self._stop_workers, self._break_sessions))
        for n in range(12):
            self.loop.schedule(n * every, self._unless_healed, fault)

    def _unless_healed(self, fault: Callable[[], None]) -> None:
        if not self._healed:
            fault()

    def _kill_workers(self) -> None:
        for machine in self.workers:
            machine.kill()

    def _stop_workers(self) -> None:
        for machine in self.workers:
            machine.stop()

    def _heal(self) -> None:
        self._healed = True
        for server in self.servers:
            server.up, server.trouble = True, 0.0
        for machine in self.machines:
            machine.heal()


def run(seed: int) -> ScenarioResult:
    """Run the scenario of a seed."""
    return Scenario(seed).run()

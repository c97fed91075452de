"""One story: processes, servers, a chain, clients, and what a seed does to them; then everything heals, and is judged.

Real are the intake, the worker, the pipeline, the router, the settlement and the sweeper. In memory are Postgres, Redis
and the chain, each behind a network that delays and loses. A story is over when every order has ended.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast
from uuid import UUID

from dexexec.broker.rate_limiter import Grant, RateLimiter
from dexexec.config.settings import Settings
from dexexec.domain.attempt_id import read_memo
from dexexec.domain.bound import Bound, amount_at, bound_of
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.quote import Mode
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import FailedOnChain, Landed
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.errors import IdempotencyMismatchError, UnavailableError
from dexexec.execution.next_round import Retries
from dexexec.execution.sweeper import Sweeper
from dexexec.execution.worker import Limits, Worker
from dexexec.intake.intake import ClientLimiter, Intake
from dexexec.recovery.signing_permission import ComparedRecord
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.simulated.chain import SLOT_MS, MemoryLedger, SimulatedChain
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.store import Created, Store
from dexexec.venue import AnyVenue, Chain, Network
from dexexec.venues.router import Router
from tests.simulation.chains import ForkingChain, ForkingNode, RemoteLedger, WitnessedChain
from tests.simulation.clock import START_MS, VirtualClock
from tests.simulation.loop import StuckError, VirtualLoop
from tests.simulation.lost_commits import WALLET, ChainHistory, MemoSealer, permission_of
from tests.simulation.lost_commits import Landed as OnChain
from tests.simulation.machine import Host, HostStore, StruckError
from tests.simulation.plan import Plan
from tests.simulation.promise_checks import TRIES, Judge, Witness
from tests.simulation.venue import LyingVenue, SeededVenue
from tests.simulation.wires import Server
from tests.support.fakes.comparisons import MemoryComparisons
from tests.support.fakes.database import ComparisonRow, MemoryDatabase
from tests.support.fakes.queue import MemoryQueue, MemoryRedis
from tests.support.worker_parts import pipeline_and_watcher

LEASE = 3.0
LONGEST_DEADLINE_MS = 40_000
HEALED_WITHIN = 240.0
"""Virtual seconds: a poisoned claim's longest pause (30), three attempts that each must be proven expired (73) and rest
before the next, and the finality of the last one (13)."""
COMPARED_WITHIN = 90.0
"""Virtual seconds that each promotion adds: what was signed before is dead after 160 blocks, and that is final after 32
more (77)."""
CLIENT_PATIENCE = 2.5
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
class Story:
    """What happened. `taken` orders needed no queue, as far as clients were told. `healing` is how long it took from
    the last fault until every order had ended."""

    seed: int
    plan: Plan
    problems: tuple[str, ...]
    trace: str
    statuses: tuple[str, ...]
    starts: int
    unlanded: int
    taken: int
    healing: float


class World:
    """Everything there is in one story."""

    healed_within = HEALED_WITHIN

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.plan = Plan.draw(self.rng)
        self.loop = VirtualLoop(random.Random(self.rng.random()))
        self.database = MemoryDatabase(lambda: START_MS * 1_000 + int(self.loop.time() * 1e6))
        self.redis = MemoryRedis(lambda: START_MS + int(self.loop.time() * 1_000))
        self.judge = Judge(self.database, self.loop.time)
        self.judge.compared = self._is_compared
        self.healed_within += self.plan.promotions * COMPARED_WITHIN
        self.witness = Witness(self.judge)
        self.postgres, self.valkey, self.node = Server("Postgres"), Server("Redis"), Server("the chain")
        clock = VirtualClock(self.loop, no_strike)
        self.ledger = MemoryLedger(clock)
        self.forking = ForkingNode(
            clock.unix_ms, random.Random(self.rng.random()), self.plan.forks or 0, self.plan.recent
        )
        self.api = Host("api", self.loop, random.Random(self.rng.random()), self._serve)
        self.intake: Intake | None = None
        self.taken = 0
        self._healed = False
        self.poison = self.plan.max_claims == 3
        self.workers = [
            Host(f"worker{n}", self.loop, random.Random(self.rng.random()), self._work)
            for n in range(self.plan.workers)
        ]

    @property
    def hosts(self) -> list[Host]:
        """All of them."""
        return [self.api, *self.workers]

    @property
    def servers(self) -> list[Server]:
        """All of them."""
        return [self.postgres, self.valkey, self.node]

    # What processes do

    def _store(self, host: Host, clock: VirtualClock) -> HostStore:
        store = HostStore(self.database, self.judge.announced, host.wire(self.postgres), clock)
        host.stores.append(store)
        return store

    async def _serve(self, host: Host) -> None:
        """An API process, without HTTP; perhaps API and worker in one."""
        clock = host.clock()
        store = self._store(host, clock)
        self.intake = intake = Intake(
            store,
            MemoryQueue(self.redis, host.wire(self.valkey)),
            cast("ClientLimiter", Unlimited()),
            settings=SETTINGS,
            clock=clock,
            observer=self.witness,
        )
        if not self.plan.together:
            await self.loop.create_future()
        await self._work(host, store)
        await intake.close()

    async def _work(self, host: Host, posted: HostStore | None = None) -> None:
        """A worker process: worker and sweeper. `posted` is where the same process stores new orders."""
        store = posted or self._store(host, host.clock())
        worker, sweeper = self._parts(host, store.port)
        if posted:
            posted.dispatcher = worker.direct
        host.stop = worker.stop
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(sweeper.run())
            await worker.run()
            sweeping.cancel()

    def _parts(self, host: Host, store: Store) -> tuple[Worker, Sweeper]:
        clock, name = host.clock(), f"{host.name}.{host.starts}"
        queue = MemoryQueue(self.redis, host.wire(self.valkey)).port
        chain = self._chain(host, clock)
        venues = {name: self._venue(host, name, clock, chain) for name in ("a", "b")}
        if self.plan.lies:
            venues["liar"] = LyingVenue("liar", clock, chain, host.rng, self.plan.lies)
        router = Router(
            venues,
            clock,
            self.witness,
            timeout_ms=round(self.plan.quoting * 1000),
            breaker_failures=10**6,
            breaker_seconds=1,
        )
        pipeline, watcher = pipeline_and_watcher(
            store=store,
            queue=queue,
            router=router,
            settlement=Settlement({Network.SIMULATED: chain}, {Network.SIMULATED: SEALER}, clock, self.witness),
            venues=venues,
            retries=Retries(attempts=TRIES, base_ms=200, max_ms=2_000),
            finality_ms=1_500,
            clock=clock,
            observer=self.witness,
            rng=host.rng,
        )
        permission = self._permission(host, store, chain, clock) if self.plan.promotions else None
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
            observer=self.witness,
            permission=permission,
        )
        return worker, Sweeper(name, store, queue, self.plan.sweep, clock=clock, observer=self.witness)

    def _permission(self, host: Host, store: Store, chain: Chain, clock: VirtualClock) -> ComparedRecord:
        comparisons = MemoryComparisons(self.database, self.judge.announced, host.wire(self.postgres))
        host.comparisons.append(comparisons)
        history = ChainHistory(chain, host.wire(self.node), clock, self._on_chain)
        permission = permission_of(comparisons, history, clock, self.witness)
        store.restrict(permission.identity)
        return permission

    def _is_compared(self) -> bool:
        """Whether the record that answers has all that the chain has."""
        row = self.database.comparisons.get(WALLET, ComparisonRow())
        return not self.plan.promotions or (row.identity or self.database.made_as) == self.database.identity

    def _venue(self, host: Host, name: str, clock: VirtualClock, chain: Chain) -> AnyVenue:
        return SeededVenue(name, clock, chain, host.rng, self.plan.venue_trouble)

    def _chain(self, host: Host, clock: VirtualClock) -> Chain:
        wire = host.wire(self.node)
        chain: Chain = ForkingChain(self.forking, wire, self.judge.arrived)
        if self.plan.forks is None:
            chain = SimulatedChain(RemoteLedger(self.ledger, wire, self.judge.arrived))
        stopped = self.plan.faults or self.plan.strikes
        return chain if stopped else WitnessedChain(chain, self.judge.sent)

    # The story

    def tell(self) -> Story:
        """From the beginning to the verdict."""
        try:
            return self._told()
        except BaseException as error:
            error.add_note(f"in the story of seed {self.seed}")
            raise
        finally:
            self._close()

    def _told(self) -> Story:
        healing = 0.0
        try:
            healing = self.loop.run(self._story())
        except StuckError as error:
            self.judge.broken(str(error))
        unstopped = not (self.plan.faults or self.plan.strikes)
        self.judge.verdict(self._fate, poison=self.poison, unstopped=unstopped, on_time=not self.plan.trouble)
        if self.plan.promotions:
            landed = self._on_chain(self.forking.slot())
            memos = {one: read_memo(SimulatedSwap.decode(found.payload).nonce) for one, found in landed.items()}
            fates = {one: self._fate(one) for one in landed}
            self.judge.verdict_of_memos(
                {one: memo.attempt for one, memo in memos.items() if memo and isinstance(fates[one], Landed)}
            )
        for host in self.hosts:
            for fault in host.unexpected:
                self.judge.broken(f"{host.name} ended by itself: {fault!r}")
        for fault in self.loop.unhandled:
            if not isinstance(fault, StruckError | UnavailableError | IdempotencyMismatchError):
                self.judge.broken(f"nobody looked at {fault!r}")
        statuses = tuple(str(row.status) for row in self.database.orders.values())
        starts = sum(host.starts for host in self.hosts)
        return Story(
            self.seed, self.plan, tuple(self.judge.problems), self.judge.trace, statuses, starts,
            self.judge.unlanded, self.taken, healing,
        )  # fmt: skip

    async def _story(self) -> float:
        plan, loop = self.plan, self.loop
        for server in self.servers:
            server.trouble = plan.trouble
        for host in self.hosts:
            host.strikes = plan.strikes
        supervisors = [asyncio.create_task(host.supervise()) for host in self.hosts]
        clients = [asyncio.create_task(self._client()) for _ in range(plan.orders)]
        chaos = asyncio.create_task(self._hurt())
        for _ in range(plan.promotions):
            loop.world_later(self.rng.uniform(0.5, plan.fault_seconds), self._cut_standby_off)
        await self._suffer()
        chaos.cancel()
        self._heal()
        begun = loop.time()
        await asyncio.gather(*clients)
        while loop.time() < begun + self.healed_within and not (self._all_ended() and self._is_compared()):
            await asyncio.sleep(0.5)
        for task in supervisors:
            task.cancel()
        return loop.time() - begun

    async def _suffer(self) -> None:
        """As long as faults are planned."""
        await asyncio.sleep(self.plan.fault_seconds)

    def _all_ended(self) -> bool:
        return all(row.finished_at is not None for row in self.database.orders.values())

    def _fate(self, signature: str) -> Landed | FailedOnChain | None:
        """What became of it for good."""
        if self.plan.forks is None:
            return self._on_ledger(signature)
        fates = self.forking.fates.get(signature)
        final = next((stay for stay in fates.stays if stay.until is None), None) if fates else None
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
        stays = {one: fates.on_chain_at(slot) for one, fates in self.forking.fates.items()}
        payloads = self.forking.payloads
        return {one: OnChain(stay.since, payloads[one]) for one, stay in stays.items() if stay is not None}

    def _on_ledger(self, signature: str) -> Landed | FailedOnChain | None:
        landing = self.ledger._recorded.get(signature)
        if landing is None or landing.lands_at_ms // SLOT_MS > landing.last_valid_height:
            return None
        return SimulatedSwap.decode(landing.payload).execute(landing.lands_at_ms // SLOT_MS)

    def _close(self) -> None:
        """Cancel what is left, of the dead as well: only now, when nothing counts any more."""
        for host in self.hosts:
            for process in host.processes:
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

    # Clients

    def _new_order(self) -> NewOrder:
        rng = self.rng
        side, mode = rng.choice(list(Side)), rng.choice(list(Mode))
        amount = Decimal(rng.randint(1, 10_000)) / 1_000
        base = int(amount.scaleb(9 if (side is Side.BUY) == (mode is Mode.EXACT_IN) else 6))
        key = f"key-{rng.getrandbits(32):x}" if rng.random() < 0.8 else None
        return NewOrder(
            id=UUID(int=rng.getrandbits(128), version=4),
            side=side,
            amount=amount,
            amount_base=base,
            mode=mode,
            input_mint=WSOL,
            output_mint=USDC,
            slippage_bps=50,
            deadline_ms=rng.choice((2_000, 10_000, LONGEST_DEADLINE_MS)),
            client="client",
            idempotency_key=key,
            body_hash=b"body",
            bound=(bound := self._bound(side, mode, base)),
            bound_open=bound is None or rng.random() < 0.5,
        )

    def _bound(self, side: Side, mode: Mode, base: int) -> Bound | None:
        """Some clients name a bound of their own: a price that the venues come to now and then."""
        if self.rng.random() < 0.7:
            return None
        price = Fraction(self.rng.randint(147, 153), 1_000)  # base units of USDC for one of SOL
        given_in_output = (side is Side.BUY) != (mode is Mode.EXACT_IN)
        return bound_of(mode, base, amount_at(price, base, given_in_output=given_in_output, mode=mode))

    async def _client(self) -> None:
        """Posts one order: with a key, perhaps several times at once and until there is an answer, and then with
        another body; without a key, once."""
        rng = self.rng
        await asyncio.sleep(rng.uniform(0, min(5.0, self.plan.fault_seconds)))
        order = self._new_order()
        if order.idempotency_key is None:
            await self._post(order)
            return
        copies = [order] + [
            replace(order, id=UUID(int=rng.getrandbits(128), version=4)) for _ in range(rng.choice((0, 0, 1, 2)))
        ]
        answers = await asyncio.gather(*(self._insist(copy) for copy in copies))
        for _ in range(3 if self.plan.promotions else 0):  # also while the record lacks the order
            await asyncio.sleep(rng.uniform(0, self.plan.fault_seconds / 2))
            answers.append(await self._insist(order))
        known = {answer.order_id for answer in answers} - self.judge.gone
        if len(known) > 1:
            self.judge.broken(f"promise 9: one key, several orders: {answers}")
        if any(order_id not in self.database.orders for order_id in known):
            self.judge.broken("promise 1: an order was accepted that is not stored")
        other = replace(order, id=UUID(int=rng.getrandbits(128), version=4), body_hash=b"other")
        if isinstance(await self._post(other), Created) and not self.judge.gone & {one.order_id for one in answers}:
            self.judge.broken("promise 9: a key was taken twice, with two bodies")

    async def _insist(self, order: NewOrder) -> Created:
        while True:
            answer = await self._post(replace(order, id=UUID(int=self.rng.getrandbits(128), version=4)))
            if isinstance(answer, Created):
                return answer
            if isinstance(answer, IdempotencyMismatchError):
                self.judge.broken("promise 9: the same body is called another")
            await asyncio.sleep(self.rng.uniform(0.05, 0.5))

    async def _accept(self, intake: Intake, order: NewOrder) -> Created:
        """What the process does with the request."""
        self.judge.read(order)
        return await intake.accept(order)

    async def _post(self, order: NewOrder) -> Created | BaseException | None:
        """The answer, the error, or None where none came in time: then the client has gone away."""
        if self.intake is None:
            return None
        call = self.loop.start(self.api.process, self._accept(self.intake, order))
        await asyncio.wait([call], timeout=CLIENT_PATIENCE)
        if not call.done():
            call.cancel()
            return None
        error = call.exception() if not call.cancelled() else asyncio.CancelledError()
        if error is None:
            self.taken += call.result().taken
            return call.result()
        if not isinstance(error, StruckError | UnavailableError | IdempotencyMismatchError):
            self.judge.broken(f"a client was told {error!r}")
        return error

    # Faults

    async def _hurt(self) -> None:
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
            lambda: self.rng.choice(self.hosts).freeze(self.rng.uniform(0.1, 3 * LEASE)),
            lambda: self.rng.choice(self.hosts).cut_off(self.rng.uniform(0.1, 2 * LEASE)),
            lambda: self.rng.choice(self.hosts).stop(),
            self.api.kill,
            self.redis.flush,
            self.redis.drop_stream,
            self._break_sessions,
            self._restart_by_the_dozen,
            lambda: self._outage(self.rng.choice(self.servers)),
        ]

    def _outage(self, server: Server) -> None:
        server.up = False
        self.loop.world_later(self.rng.uniform(0.1, 4), setattr, server, "up", True)

    def _cut_standby_off(self) -> None:
        """From now on it gets nothing more; a moment later the primary is gone for good, and it takes over."""
        copy = self.database.copy()
        self.loop.world_later(self.rng.uniform(0.1, 4), self._promote, copy)

    def _promote(self, copy: dict[str, Any]) -> None:
        if self._healed:
            return
        self.judge.promoted(copy)
        self.postgres.machine += 1
        self._outage(self.postgres)

    def _break_sessions(self) -> None:
        """Postgres is started again: every session is over."""
        for worker_id in list(self.database.workers):
            self.database.disconnect(worker_id)

    def _restart_by_the_dozen(self) -> None:
        """A deployment in a loop, a crash loop, or a Postgres that does not stay up."""
        every = self.rng.uniform(0.1, 1.5)
        blow = self.rng.choice((self._kill_workers, self._stop_workers, self._break_sessions))
        for n in range(12):
            self.loop.world_later(n * every, self._unless_healed, blow)

    def _unless_healed(self, blow: Callable[[], None]) -> None:
        if not self._healed:
            blow()

    def _kill_workers(self) -> None:
        for host in self.workers:
            host.kill()

    def _stop_workers(self) -> None:
        for host in self.workers:
            host.stop()

    def _heal(self) -> None:
        self._healed = True
        for server in self.servers:
            server.up, server.trouble = True, 0.0
        for host in self.hosts:
            host.heal()


async def no_strike(_: Any) -> None:
    """The world itself is not struck."""


def tell(seed: int) -> Story:
    """The story of a seed."""
    return World(seed).tell()

"""A scenario with several nodes, one of which lies for a while: the real `RpcChain` decides which answers to believe.

What proofs rest on is kept: one honest node answers whenever the liar does. So no process is frozen or cut off here,
and one honest node has no trouble. The others may be away, behind, or lose what is sent to them.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.venue import Chain
from tests.simulation.chains import ObservedChain
from tests.simulation.clock import VirtualClock
from tests.simulation.machine import Machine
from tests.simulation.nodes import Lie, SharedChain, SimulatedNode, chain_over
from tests.simulation.promise_checks import PromiseChecks
from tests.simulation.scenario import Scenario, ScenarioResult
from tests.simulation.wires import Server
from tests.support.fakes.database import MemoryDatabase

HEIGHTS = [Lie.SLOT_FOR_HEIGHT, Lie.HEIGHT, Lie.AHEAD, Lie.CREEPING, Lie.LAST_VALID, Lie.NOT_FOUND]
"""Lies that could prove an expiry that did not happen."""
LONG_DEADLINE_MS = 240_000
LAST_POST = 8.0
"""Seconds after which clients have posted what they will."""
SAFE = {Status.SUBMITTED, Status.CONFIRMED}
"""Where an order may have something on its way."""


class NodePromiseChecks(PromiseChecks):
    """Looks at each step whether what was sent before can still land."""

    def __init__(self, database: MemoryDatabase, now: Callable[[], float]) -> None:
        super().__init__(database, now)
        self.may_land: Callable[[str], bool] = lambda _: False

    def announced(self, events: Sequence[Event]) -> None:
        """Promise 5, as it happens."""
        super().announced(events)
        for event in events:
            attempts = self._database.orders[event.order_id].attempts
            open_ones = [one.attempt.n for one in attempts if self.may_land(one.attempt.signed.signature)]
            if event.status not in SAFE and open_ones:
                self.fail(f"{event.order_id}: promise 5: {event.status} while {open_ones} may land")


class NodeScenario(Scenario):
    """A scenario with two or three nodes."""

    healed_within = 800.0
    """Virtual seconds: three attempts that are each proven expired after 60 s and finality, a node that is believed
    again a minute after a leap, and the longest pauses of orders and nodes."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        rng = self.rng
        self.plan = replace(
            self.plan, fault_seconds=rng.uniform(20, 150), faults=rng.choice((0, 0.05, 0.2)), strikes=0,
            forks=self.plan.forks or 0.0, workers=1, orders=rng.randint(1, 3), promotions=0,
        )  # fmt: skip
        self.workers = self.workers[:1]
        self.checks: NodePromiseChecks = NodePromiseChecks(self.database, self.loop.time)
        self.observer._checks = self.checks
        self.chain = SharedChain(self.forking, random.Random(rng.random()), self.checks.arrived)
        self.checks.may_land = self.chain.may_land
        self.nodes = [
            SimulatedNode(f"node{n}", self.chain, random.Random(rng.random())) for n in range(rng.choice((2, 3)))
        ]
        self.liar, self.steady, *self.others = rng.sample(self.nodes, len(self.nodes))
        self.lies = [*rng.sample(HEIGHTS, rng.randint(0, 2)), *rng.sample(list(Lie), rng.randint(1, 3))]
        self.chain.lost = rng.choice((0.0, 0.9, 0.98))

    @property
    def servers(self) -> list[Server]:
        """Those that may be in trouble."""
        return [self.postgres, self.valkey, *(node.server for node in (self.liar, *self.others))]

    def _chain(self, machine: Machine, clock: VirtualClock) -> Chain:
        chain = chain_over(self.nodes, clock, machine.wire)
        self._running = asyncio.create_task(chain.run())
        return ObservedChain(chain, (lambda _: None) if self.plan.faults else self.checks.sent)

    def _new_order(self) -> NewOrder:
        """Some have the time for several transactions."""
        order = super()._new_order()
        return replace(order, deadline_ms=self.rng.choice((order.deadline_ms, LONG_DEADLINE_MS)))

    async def _drive(self) -> float:
        begin = self.rng.uniform(0, 15) if self.rng.random() < 0.5 else 0.0
        self.loop.schedule(begin, self._unless_healed, lambda: self.liar.lie(self.lies))
        self.loop.schedule(self.rng.uniform(begin, 2 * self.plan.fault_seconds), self.liar.lie, ())
        return await super()._drive()

    async def _wait_for_faults(self) -> None:
        """Until every process that could receive a false answer has ended."""
        await asyncio.sleep(LAST_POST)
        while self.loop.time() < self.plan.fault_seconds and not self._all_ended():
            await asyncio.sleep(0.5)

    def _blows(self) -> list[Callable[[], None]]:
        return [
            lambda: self.rng.choice(self.workers).kill(),
            lambda: self.rng.choice(self.workers).stop(),
            lambda: self._outage(self.rng.choice(self.servers)),
            self._fall_behind,
        ]

    def _fall_behind(self) -> None:
        for node in self.others:
            node.lag = self.rng.choice((3, 12, 60))

    def _heal(self) -> None:
        super()._heal()
        self.chain.lost = 0.0
        self.liar.lie(())
        for node in self.others:
            node.lag = 3


def run(seed: int) -> ScenarioResult:
    """Run the scenario of a seed."""
    return NodeScenario(seed).run()

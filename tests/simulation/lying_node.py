"""A story of several nodes, of which one lies for a while: the real `RpcChain` decides what is believed.

What proofs rest on is kept: one honest node answers whenever the liar does. So no process is frozen or cut off here,
and one honest node has no trouble. The others may be away, behind, or lose what they are told.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.venue import Chain
from tests.simulation.chains import WitnessedChain
from tests.simulation.clock import VirtualClock
from tests.simulation.machine import Host
from tests.simulation.nodes import Lie, SharedChain, SimulatedNode, chain_over
from tests.simulation.promise_checks import Judge
from tests.simulation.run import Story, World
from tests.simulation.wires import Server
from tests.support.fakes.database import MemoryDatabase

HEIGHTS = [Lie.SLOT_FOR_HEIGHT, Lie.HEIGHT, Lie.AHEAD, Lie.CREEPING, Lie.LAST_VALID, Lie.NOT_FOUND]
"""Those that could prove an expiry that is none."""
LONG_DEADLINE_MS = 240_000
LAST_POST = 8.0
"""Seconds after which clients have posted what they will."""
SAFE = {Status.SUBMITTED, Status.CONFIRMED}
"""Where an order may have something on its way."""


class JudgeOfNodes(Judge):
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
                self.broken(f"{event.order_id}: promise 5: {event.status} while {open_ones} may land")


class WorldOfNodes(World):
    """A world with two or three nodes."""

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
        self.judge: JudgeOfNodes = JudgeOfNodes(self.database, self.loop.time)
        self.witness._judge = self.judge
        self.chain = SharedChain(self.forking, random.Random(rng.random()), self.judge.arrived)
        self.judge.may_land = self.chain.may_land
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

    def _chain(self, host: Host, clock: VirtualClock) -> Chain:
        chain = chain_over(self.nodes, clock, host.wire)
        self._running = asyncio.create_task(chain.run())
        return WitnessedChain(chain, (lambda _: None) if self.plan.faults else self.judge.sent)

    def _new_order(self) -> NewOrder:
        """Some have the time for several transactions."""
        order = super()._new_order()
        return replace(order, deadline_ms=self.rng.choice((order.deadline_ms, LONG_DEADLINE_MS)))

    async def _story(self) -> float:
        begin = self.rng.uniform(0, 15) if self.rng.random() < 0.5 else 0.0
        self.loop.world_later(begin, self._unless_healed, lambda: self.liar.lie(self.lies))
        self.loop.world_later(self.rng.uniform(begin, 2 * self.plan.fault_seconds), self.liar.lie, ())
        return await super()._story()

    async def _suffer(self) -> None:
        """Until there is nobody any more who could be lied to."""
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


def tell(seed: int) -> Story:
    """The story of a seed."""
    return WorldOfNodes(seed).tell()

"""Promise 26 in scenarios with faults: halts that come and go while processes die lose no order and double none."""

import asyncio
from collections import Counter

from dexexec.domain.halt import EVERYBODY, Halt, halt_of
from tests.simulation.machine import Machine
from tests.simulation.scenario import Scenario, ScenarioResult
from tests.support.fakes.database import MemoryDatabase

SEEDS = 20


class SeenHalts:
    """What a process has read: now and then the halts of a moment ago, as when it read them just before a change."""

    def __init__(self, database: MemoryDatabase, machine: Machine) -> None:
        self._database = database
        self._machine = machine
        self._before: list[Halt] = []

    def of(self, owner: int | None) -> Halt | None:
        """As of this look, or of the one before."""
        halts = list(self._database.halts.values())
        seen = self._before if self._machine.rng.random() < 0.5 else halts
        self._before = halts
        return halt_of(seen, owner)


class HaltedScenario(Scenario):
    """Signing is halted several times while there are faults. After the last of them it goes on."""

    def _halts(self, machine: Machine) -> SeenHalts:
        return SeenHalts(self.database, machine)

    async def _wait_for_faults(self) -> None:
        left = self.plan.fault_seconds
        while left > 0:
            for change in (lambda: self.database.halt(EVERYBODY, "a test"), lambda: self.database.resume(EVERYBODY)):
                change()
                attempts = sum(row.attempt_count for row in self.database.orders.values())
                pause = self.rng.uniform(0.1, 2)
                await asyncio.sleep(pause)
                left -= pause
                recorded = sum(row.attempt_count for row in self.database.orders.values())
                if self.database.halts and recorded > attempts:
                    self.checks.fail(f"promise 26: {recorded - attempts} attempts were recorded during a halt")


def run(seed: int) -> ScenarioResult:
    return HaltedScenario(seed).run()


def test_promise_26_halts_among_faults_lose_no_order_and_double_none() -> None:
    statuses: Counter[str] = Counter()
    for seed in range(1, SEEDS + 1):
        result = run(seed)
        statuses.update(result.statuses)
        assert not result.problems, f"seed {seed}: {result.problems}"
    assert {"confirmed", "expired"} <= statuses.keys()

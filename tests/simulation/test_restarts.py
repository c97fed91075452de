"""Promise 11: restarts by the dozen are no order's fault, and an order that kills what works on it is found."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from dexexec.domain.order import NewOrder
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.terms import OrderType
from dexexec.venue import AnyVenue, Chain
from tests.simulation.clock import VirtualClock
from tests.simulation.machine import Machine
from tests.simulation.plan import Plan
from tests.simulation.scenario import Scenario

CALM = Plan(
    workers=2,
    orders=6,
    fault_seconds=40,
    faults=1,
    strikes=0,
    trouble=0,
    venue_trouble=0,
    forks=None,
    recent=150,
    max_claims=10,
    heartbeat=0.5,
    sweep=0.4,
    quoting=2.5,
    together=False,
)
DEADLINE_MS = 400_000
"""After everything is over: no order may use it up."""


class CalmScenario(Scenario):
    """A scenario without faults except those of the test. `slow`: seconds that a quote takes."""

    def __init__(self, seed: int, slow: float) -> None:
        super().__init__(seed)
        self.plan, self.poison, self._slow = CALM, False, slow
        self.workers = self.workers[:1]
        self._posted = 0

    def _new_order(self) -> NewOrder:
        self._posted += 1
        order = replace(super()._new_order(), bound=None, bound_open=True, type=OrderType.MARKET, terms=None)
        order = replace(order, dry_run=False, oco_group=None)
        return replace(order, amount=Decimal(self._posted), amount_base=self._posted * 10**6, deadline_ms=DEADLINE_MS)

    def _venue(self, machine: Machine, name: str, clock: VirtualClock, chain: Chain) -> AnyVenue:
        venue = super()._venue(machine, name, clock, chain)
        quote = venue.quote

        async def slow_quote(request: SwapRequest, deadline: float) -> Quote:
            await self._before_quote(machine, request)
            return await quote(request, deadline)

        venue.quote = slow_quote  # type: ignore[method-assign]
        return venue

    async def _before_quote(self, machine: Machine, request: SwapRequest) -> None:
        await asyncio.sleep(self._slow)


class Storm(CalmScenario):
    """One thing happens again and again."""

    def __init__(self, seed: int, slow: float, fault: Callable[[Scenario], None]) -> None:
        super().__init__(seed, slow)
        self._fault, self._every = fault, random.Random(seed).uniform(0.7, 3.0)

    async def _inject_faults(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self._fault(self)


def kill_all(scenario: Scenario) -> None:
    for machine in scenario.machines:
        machine.kill()


def stop_all(scenario: Scenario) -> None:
    for machine in scenario.machines:
        machine.stop()


def restart_postgres(scenario: Scenario) -> None:
    scenario._break_sessions()


@pytest.mark.parametrize("slow", [0.05, 2.0])
@pytest.mark.parametrize("fault", [kill_all, stop_all, restart_postgres])
def test_promise_11_restarts_by_the_dozen_fail_no_order(fault: Callable[[Scenario], None], slow: float) -> None:
    """Also where no process lives long enough for a quote."""
    for seed in range(1, 11):
        result = Storm(seed, slow, fault).run()
        assert not result.problems, (seed, result.problems)
        assert "expired" not in result.statuses, (seed, result.statuses)


class Poisoned(CalmScenario):
    """The third order kills each process that requests a quote for it."""

    def __init__(self, seed: int, slow: float) -> None:
        super().__init__(seed, slow)
        self.poison = True
        self._killing = True

    def _close(self) -> None:
        self._killing = False  # the tasks of the dead are cancelled now, which lets them go on
        super()._close()

    async def _inject_faults(self) -> None:
        await asyncio.sleep(CALM.fault_seconds)

    async def _before_quote(self, machine: Machine, request: SwapRequest) -> None:
        await super()._before_quote(machine, request)
        if self._killing and request.amount == 3 * 10**6:
            machine.kill()
            await asyncio.Future()

    def poisoned(self) -> list[int]:
        """The numbers of the orders that were failed as poison."""
        rows = self.database.orders.values()
        return [int(row.new.amount) for row in rows if row.failure_reason == "poisoned"]


@pytest.mark.parametrize("slow", [0.0, 0.5])
def test_promise_11_the_order_that_kills_its_workers_is_failed_and_no_other(slow: float) -> None:
    for seed in range(1, 11):
        scenario = Poisoned(seed, slow)
        result = scenario.run()
        assert not result.problems, (seed, result.problems)
        assert scenario.poisoned() == [3], seed
        assert result.starts > CALM.max_claims

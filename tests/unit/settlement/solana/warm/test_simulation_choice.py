"""Where a transaction is simulated, by setting and by what is known of its programs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from dexexec.domain.simulation_mode import SimulationMode
from dexexec.domain.solana import Simulation
from dexexec.settlement.solana.warm.local_simulations import LocalRun
from dexexec.settlement.solana.warm.local_simulator import NotLocalError, Obstacle
from dexexec.settlement.solana.warm.simulation_choice import ROUNDS, SimulationChoice, SimulationsDifferError
from dexexec.settlement.solana.warm.spot_check import Outcome, SpotChecks
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable
from tests.support.localnet.local_simulation import ProgramLog
from tests.support.parts import running
from tests.support.swap_transactions import WALLET, wallet_account

PROGRAMS = frozenset({("pool", "code")})
FINE = Simulation(slot=10, units=9_000, after={WALLET: wallet_account(5)})
HERE = replace(FINE, local=True)
DIFFERENT = replace(FINE, units=1)
SHARE = 0.25


@dataclass
class Ground:
    """A node's simulation and the local one, either of which may fail, and the choice between them."""

    mode: SimulationMode = SimulationMode.LOCAL
    node: Simulation | Exception = FINE
    local: Simulation | NotLocalError = HERE
    drawn: float = 0.99
    at_node: int = 0
    log: ProgramLog = field(default_factory=ProgramLog)

    def __post_init__(self) -> None:
        self.checks = SpotChecks(self.log)
        self.choice = SimulationChoice(
            self.mode,
            node=self.by_node,
            local=self,
            checks=self.checks,
            clock=ManualClock(),
            meter=self.log,
            share=SHARE,
            draw=lambda: self.drawn,
        )

    async def by_node(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        self.at_node += 1
        await asyncio.sleep(0)
        if isinstance(self.node, Exception):
            raise self.node
        return self.node

    def simulate(self, payload: bytes, watched: Sequence[str]) -> LocalRun:
        if isinstance(self.local, NotLocalError):
            raise self.local
        return LocalRun(simulation=self.local, programs=PROGRAMS, accounts={})

    def agreed(self) -> "Ground":
        self.checks.record(PROGRAMS, Outcome.AGREE)
        return self

    async def simulated(self) -> Simulation:
        return await self.choice.simulate(b"transaction", (WALLET,))

    async def settle(self) -> None:
        async with running(self.choice.run()):
            for _ in range(10 * ROUNDS):
                await asyncio.sleep(0)


async def test_what_has_agreed_is_simulated_here_without_a_request() -> None:
    on = Ground().agreed()
    assert await on.simulated() == HERE
    await on.settle()
    assert on.at_node == 0
    assert on.log.kinds("simulated") == [("local", "")]


async def test_programs_that_were_never_compared_are_simulated_by_the_node_and_compared_meanwhile() -> None:
    on = Ground()
    assert await on.simulated() == FINE
    await on.settle()
    assert (on.at_node, on.checks.counts[Outcome.AGREE]) == (2, 1)
    assert await on.simulated() == HERE
    assert on.log.kinds("simulated") == [("node", "unproven"), ("local", "")]


@pytest.mark.parametrize(("drawn", "requests"), [(SHARE, 0), (SHARE - 0.01, 1)])
async def test_a_share_of_the_local_ones_is_compared_in_the_background(drawn: float, requests: int) -> None:
    on = Ground(drawn=drawn).agreed()
    assert await on.simulated() == HERE
    assert on.at_node == 0, "the order does not wait for it"
    await on.settle()
    assert on.at_node == requests


async def test_a_difference_closes_the_local_way() -> None:
    on = Ground(drawn=0.0, node=DIFFERENT).agreed()
    assert await on.simulated() == HERE
    await on.settle()
    assert on.log.kinds("differs") == [("pool", "compute units: 9000 here, 1 at the node")]
    assert await on.simulated() == DIFFERENT
    await on.settle()
    assert on.at_node == 2, "and it is not compared any more"
    assert on.log.kinds("simulated")[-1] == ("node", "closed")


async def test_one_comparison_runs_at_a_time() -> None:
    on = Ground(drawn=0.0).agreed()
    for _ in range(5):
        await on.simulated()
    await on.settle()
    assert on.at_node == 1


@pytest.mark.parametrize("obstacle", [Obstacle.COLD, Obstacle.PROGRAM, Obstacle.MESSAGE, Obstacle.RUNTIME])
@pytest.mark.parametrize("mode", [SimulationMode.LOCAL, SimulationMode.BOTH])
async def test_what_cannot_be_simulated_here_is_simulated_by_the_node(obstacle: Obstacle, mode: SimulationMode) -> None:
    on = Ground(mode, local=NotLocalError(obstacle, "why")).agreed()
    assert await on.simulated() == FINE
    assert on.log.kinds("simulated") == [("node", obstacle)]


async def test_where_the_node_is_chosen_nothing_is_simulated_here() -> None:
    on = Ground(SimulationMode.NODE, local=replace(HERE, units=1)).agreed()
    assert await on.simulated() == FINE
    await on.settle()
    assert (on.at_node, on.log.kinds("simulated"), on.checks.counts[Outcome.DIFFER]) == (1, [("node", "")], 0)


async def test_where_both_are_chosen_they_must_agree_at_once_and_later() -> None:
    on = Ground(SimulationMode.BOTH)
    assert await on.simulated() == FINE
    on.node = DIFFERENT
    with pytest.raises(SimulationsDifferError, match="compute units: 9000 here, 1 at the node"):
        await on.simulated()
    on.node = FINE
    with pytest.raises(SimulationsDifferError):
        await on.simulated()
    assert on.at_node == 2


async def test_where_both_are_chosen_a_changed_state_contradicts_nobody() -> None:
    on = Ground(SimulationMode.BOTH, node=replace(DIFFERENT, slot=9))
    assert await on.simulated() == on.node


async def test_while_nothing_can_be_compared_the_node_simulates_and_few_requests_are_made() -> None:
    on = Ground(node=replace(FINE, slot=9))
    assert await on.simulated() == on.node
    await on.settle()
    assert on.at_node == 1 + ROUNDS
    assert on.log.kinds("checked") == [("not-comparable",)] * ROUNDS
    assert on.log.kinds("differs") == []


@pytest.mark.parametrize("failing", [Unreachable("away"), NotLocalError(Obstacle.RUNTIME, "panicked")])
async def test_a_comparison_that_fails_proves_nothing(failing: Exception) -> None:
    on = Ground(drawn=0.0).agreed()
    await on.simulated()
    if isinstance(failing, NotLocalError):
        on.local = failing
    else:
        on.node = failing
    await on.settle()
    assert on.checks.counts == {Outcome.AGREE: 1, Outcome.DIFFER: 0, Outcome.NOT_COMPARABLE: 0}

"""Decides where a transaction is simulated: here, by a node, or by both. `DEXEXEC_SIMULATE`.

What is checked and signed is the same either way. A local simulation that stops a swap is repeated by a node
(`SwapChecker`), and a share of those that do not is compared with a node's in the background.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.simulation_mode import SimulationMode
from dexexec.domain.solana import Simulation
from dexexec.settlement.solana.warm.local_simulations import LocalRun
from dexexec.settlement.solana.warm.local_simulator import NotLocalError, Obstacle
from dexexec.settlement.solana.warm.spot_check import Outcome, SpotChecks, compare
from dexexec.venue import Unreachable, VenueError

Simulate = Callable[[bytes, Sequence[str]], Awaitable[Simulation]]
ROUNDS = 4
"""How often a comparison is tried while accounts keep changing."""
AT_NODE = "node"
LOCAL = "local"


class Locally(Protocol):
    """What `LocalSimulations` does."""

    def simulate(self, payload: bytes, watched: Sequence[str]) -> LocalRun:
        """Simulates a transaction. Raises `NotLocalError`, `ValueError`."""


class SimulationMeter(Protocol):
    """Counts simulations."""

    def simulated(self, where: str, why: str) -> None:
        """A transaction was simulated `local`ly or by a `node`; `why` not locally, empty if by choice."""


class SimulationsDifferError(Unreachable):
    """The simulation here and the node's differ, and both must agree. Nothing is signed."""

    def __init__(self, difference: str) -> None:
        super().__init__(f"the simulation here and the node's differ ({difference})", shared=True)


class SimulationChoice:
    """`simulate` as `SolanaChain` has it, over a `node`'s and the `local` ones. `share` of the local simulations are
    compared by `run`, in the background; `draw` returns numbers from 0 to below 1."""

    def __init__(
        self,
        mode: SimulationMode,
        *,
        node: Simulate,
        local: Locally,
        checks: SpotChecks,
        clock: Clock,
        meter: SimulationMeter,
        share: float,
        draw: Callable[[], float],
    ) -> None:
        self._mode = mode
        self._node = node
        self._local = local
        self._checks = checks
        self._clock = clock
        self._meter = meter
        self._share = share
        self._draw = draw
        self._next: tuple[bytes, Sequence[str]] | None = None
        self._due = asyncio.Event()

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """As `SolanaChain`. Raises `ValueError` for bytes that are not a transaction."""
        if self._mode is SimulationMode.NODE:
            return await self._by_node(transaction, watched)
        try:
            run = self._local.simulate(transaction, watched)
        except NotLocalError as error:
            return await self._by_node(transaction, watched, error.obstacle)
        closed_by = self._checks.closed_by(run.programs)
        if self._mode is SimulationMode.BOTH:
            if closed_by is not None:
                raise SimulationsDifferError(closed_by)
            return await self._by_both(run, transaction, watched)
        # Before the question whether they agreed: of a closed set nothing is compared any more.
        if closed_by is not None:
            return await self._by_node(transaction, watched, Obstacle.CLOSED)
        if not self._checks.has_agreed(run.programs):
            self._check_later(transaction, watched)
            return await self._by_node(transaction, watched, Obstacle.UNPROVEN)
        self._meter.simulated(LOCAL, "")
        if self._draw() < self._share:
            self._check_later(transaction, watched)
        return run.simulation

    async def run(self) -> None:
        """Makes the comparisons, one after the other, until cancelled."""
        while True:
            await self._due.wait()
            if self._next is not None:
                await self._check(*self._next)
            self._next = None
            self._due.clear()

    async def _by_node(self, transaction: bytes, watched: Sequence[str], why: str = "") -> Simulation:
        self._meter.simulated(AT_NODE, why)
        return await self._node(transaction, watched)

    async def _by_both(self, run: LocalRun, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """The node's simulation, unless the local one differs. Raises `SimulationsDifferError` then."""
        self._meter.simulated(AT_NODE, "")
        outcome, difference, simulation = await self._compare(run, transaction, watched)
        if outcome is Outcome.DIFFER:
            raise SimulationsDifferError(difference)
        # Where the accounts changed in between, nothing contradicts the node.
        return simulation

    def _check_later(self, transaction: bytes, watched: Sequence[str]) -> None:
        """Compares in the background, one transaction at a time: more would only take requests from orders."""
        if self._next is None:
            self._next = (transaction, watched)
            self._due.set()

    async def _check(self, transaction: bytes, watched: Sequence[str]) -> None:
        for _ in range(ROUNDS):
            try:
                run = self._local.simulate(transaction, watched)
                outcome, _, _ = await self._compare(run, transaction, watched)
            except (NotLocalError, VenueError):
                return  # what is not in memory any more, and nodes in trouble, prove nothing
            if outcome is not Outcome.NOT_COMPARABLE:
                return

    async def _compare(
        self, before: LocalRun, transaction: bytes, watched: Sequence[str]
    ) -> tuple[Outcome, str, Simulation]:
        simulation = await self._node(transaction, watched)
        outcome, detail = await compare(
            before, simulation, lambda: self._local.simulate(transaction, watched), self._clock
        )
        self._checks.record(before.programs, outcome, detail)
        return outcome, detail, simulation

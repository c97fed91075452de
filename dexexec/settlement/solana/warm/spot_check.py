"""Compares local simulations with a node's, and decides which programs may be simulated here.

A set of programs is simulated here only after a comparison of exactly these programs agreed, and never again after one
differed, until their code changes or the process restarts.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.solana import Simulation
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.warm.local_simulations import LocalRun, Programs
from dexexec.settlement.solana.warm.local_simulator import NotLocalError

WAIT_SECONDS = 3.0
"""How long a comparison waits until memory has reached the slot of the node's simulation."""
PAUSE_SECONDS = 0.05
MOST_SETS = 512
"""Sets of programs whose agreement is remembered."""
_OWN_PROGRAMS = frozenset(Program)


class Outcome(StrEnum):
    """What a comparison showed."""

    AGREE = "agree"
    DIFFER = "differ"
    NOT_COMPARABLE = "not-comparable"  # the accounts changed between the two simulations


class CheckObserver(Protocol):
    """Receives what operators should see of comparisons."""

    def simulation_checked(self, outcome: str) -> None:
        """A local simulation was compared with a node's."""

    def simulation_differs(self, programs: str, difference: str) -> None:
        """A local simulation differs from a node's, so these programs are simulated by nodes from now on."""


@dataclass(slots=True)
class SpotChecks:
    """The results of all comparisons of this process."""

    observer: CheckObserver
    counts: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    _agreed: dict[Programs, None] = field(default_factory=dict)
    _closed: dict[tuple[str, str], str] = field(default_factory=dict)

    def closed_by(self, programs: Programs) -> str | None:
        """Returns the difference because of which one of these programs is not simulated here, or None."""
        return next((self._closed[one] for one in sorted(programs) if one in self._closed), None)

    def has_agreed(self, programs: Programs) -> bool:
        """Whether a comparison of exactly these programs agreed."""
        return programs in self._agreed

    def closed(self) -> Mapping[str, str]:
        """Returns the programs that are not simulated here, each with the difference."""
        return {address: difference for (address, _), difference in self._closed.items()}

    def record(self, programs: Programs, outcome: Outcome, difference: str = "") -> None:
        """Counts a comparison, and opens or closes the local way for its programs."""
        self.counts[outcome] += 1
        self.observer.simulation_checked(outcome)
        if outcome is Outcome.AGREE:
            # An agreement does not open what a difference has closed: a fault may show in one of many swaps only.
            self._agreed[programs] = None
            while len(self._agreed) > MOST_SETS:
                del self._agreed[next(iter(self._agreed))]
        elif outcome is Outcome.DIFFER:
            # Nearly all swaps share Solana's own programs: closing them would close everything for a fault of one
            # venue's. They are closed if they were alone.
            blamed = {one for one in programs if one[0] not in _OWN_PROGRAMS} or programs
            self._agreed = {known: None for known in self._agreed if not known & blamed}
            self._closed |= dict.fromkeys(blamed, difference)
            self.observer.simulation_differs(", ".join(sorted(address for address, _ in blamed)), difference)


async def compare(
    before: LocalRun, node: Simulation, again: Callable[[], LocalRun], clock: Clock
) -> tuple[Outcome, str]:
    """Compares a local simulation with the one of a node that was requested after it. `again` simulates once more on
    what is in memory then."""
    # Memory keeps the newest states only, so the past of a node that is behind cannot be simulated here.
    if node.slot < before.simulation.slot:
        return Outcome.NOT_COMPARABLE, "the node is behind"
    after = before if node.slot == before.simulation.slot else await _as_of(node.slot, again, clock)
    if after is None:
        return Outcome.NOT_COMPARABLE, "memory did not reach the node's slot"
    # An upgrade in between: the agreement of the new code must not open the old one, nor the other way round.
    if after.programs != before.programs:
        return Outcome.NOT_COMPARABLE, "a program was upgraded"
    # Nearly always: memory passes through every slot. A pool that changes with each block is compared by this alone.
    if after.simulation.slot == node.slot:
        return _outcome(difference(after.simulation, node))
    return _between(before, after, node)


def _between(before: LocalRun, after: LocalRun, node: Simulation) -> tuple[Outcome, str]:
    """Compares a node's simulation with those of an earlier and of a later slot."""
    if not before.same_state(after):
        return Outcome.NOT_COMPARABLE, "the accounts changed"
    # The accounts were the same all the time, and so in the node's slot. The clock was not.
    found = [difference(run.simulation, node) for run in (before, after)]
    if not all(found):
        return Outcome.AGREE, ""
    if difference(before.simulation, after.simulation):
        return Outcome.NOT_COMPARABLE, "the result depends on the time"
    return Outcome.DIFFER, found[0]


async def _as_of(slot: int, again: Callable[[], LocalRun], clock: Clock) -> LocalRun | None:
    """A simulation on accounts of `slot` or later; None if memory does not get there."""
    until = clock.monotonic() + WAIT_SECONDS
    while True:
        try:
            run = again()
        except NotLocalError:
            return None
        if run.simulation.slot >= slot:
            return run
        if clock.monotonic() >= until:
            return None
        await clock.sleep(PAUSE_SECONDS)


def _outcome(difference: str) -> tuple[Outcome, str]:
    return (Outcome.DIFFER, difference) if difference else (Outcome.AGREE, "")


def difference(local: Simulation, node: Simulation) -> str:
    """Returns the first thing that differs, apart from the slot and the wording of the log; empty if nothing does."""
    if local.error != node.error:
        return f"error: {local.error or 'none'} here, {node.error or 'none'} at the node"
    # Logs may be cut off at different places. `origin` is read from them, and it decides what a failure means.
    if local.failure != node.failure:
        return f"failure: {local.failure} here, {node.failure} at the node"
    if local.units != node.units:
        return f"compute units: {local.units} here, {node.units} at the node"
    for address, account in node.after.items():
        if local.after.get(address) != account:
            return f"account {address}: {_shown(local, address)} here, {_shown(node, address)} at the node"
    return ""


def _shown(simulation: Simulation, address: str) -> str:
    account = simulation.after.get(address)
    if account is None:
        return "closed"
    # The data may be long; where it differs is found by comparing the accounts of the log with the chain's.
    return f"owner {account.owner}, {account.lamports} lamports, data {hashlib.sha256(account.data).hexdigest()[:16]}"

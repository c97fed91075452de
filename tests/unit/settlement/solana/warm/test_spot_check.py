"""Comparisons of simulations: what counts as a difference, when there is none to see, and what a difference closes."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from dexexec.domain.solana import Account, Simulation
from dexexec.domain.swap import ProgramFailure
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.warm.features import CLOCK
from dexexec.settlement.solana.warm.local_simulations import LocalRun
from dexexec.settlement.solana.warm.local_simulator import NotLocalError, Obstacle
from dexexec.settlement.solana.warm.spot_check import Outcome, SpotChecks, compare, difference
from dexexec.testing.clock import ManualClock
from tests.support.localnet.local_simulation import ProgramLog
from tests.support.swap_transactions import WALLET, wallet_account

POOL, OTHER_POOL, TOKEN = ("pool", "code 1"), ("other pool", "code 2"), (str(Program.TOKEN), "code 3")
FAILURE = ProgramFailure(index=1, program="pool", custom=6001, text="custom program error: 0x1771", origin="pool")
FINE = Simulation(slot=10, units=9_000, logs=("ok",), after={WALLET: wallet_account(5)})
FAILED = Simulation(slot=10, units=700, error="instruction 1 (pool) failed", failure=FAILURE)


def run(simulation: Simulation = FINE, state: Mapping[str, Account | None] | None = None, time: int = 0) -> LocalRun:
    accounts = {WALLET: wallet_account(9), **(state or {}), CLOCK: Account("sysvar", 1, bytes([time]))}
    return LocalRun(simulation=replace(simulation, local=True), programs=frozenset({POOL, TOKEN}), accounts=accounts)


@pytest.mark.parametrize("same", [FINE, FAILED])
def test_slot_and_wording_of_the_log_are_no_difference(same: Simulation) -> None:
    assert difference(same, replace(same, slot=99, logs=("other words",))) == ""


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (FINE, FAILED, "error: none here"),
        (FAILED, FINE, "none at the node"),
        (FAILED, replace(FAILED, failure=replace(FAILURE, custom=6002)), "failure: "),
        (FAILED, replace(FAILED, failure=replace(FAILURE, origin="")), "failure: "),
        (FINE, replace(FINE, units=9_001), "compute units: 9000 here, 9001 at the node"),
        (FINE, replace(FINE, after={WALLET: wallet_account(6)}), f"account {WALLET}: "),
        (FINE, replace(FINE, after={WALLET: None}), "closed at the node"),
        (FINE, replace(FINE, after={WALLET: replace(wallet_account(5), data=b"x")}), "data "),
        (replace(FINE, after={WALLET: None}), FINE, "closed here"),
    ],
)
def test_everything_that_the_guard_or_an_error_rests_on_is_compared(
    here: Simulation, there: Simulation, words: str
) -> None:
    assert words in difference(here, there)


def never() -> LocalRun:
    raise AssertionError("nothing to wait for")


def cold() -> LocalRun:
    raise NotLocalError(Obstacle.COLD, "cold")


DIFFERENT = replace(FINE, units=1)
LATER, AT_12, AT_13 = replace(FINE, slot=12), replace(DIFFERENT, slot=12), replace(FINE, slot=13)


@pytest.mark.parametrize(
    ("node", "again", "expected"),
    [
        (FINE, never, Outcome.AGREE),
        (DIFFERENT, never, Outcome.DIFFER),
        (replace(DIFFERENT, slot=9), never, Outcome.NOT_COMPARABLE),
        # Memory shows the node's slot: what others changed in between does not matter.
        (LATER, lambda: run(LATER, {"vault": None}, time=2), Outcome.AGREE),
        (AT_12, lambda: run(LATER, time=2), Outcome.DIFFER),
        (AT_12, lambda: run(AT_12, {"vault": None}, time=2), Outcome.AGREE),
        # A program was upgraded meanwhile.
        (LATER, lambda: replace(run(LATER), programs=frozenset({("pool", "new"), TOKEN})), Outcome.NOT_COMPARABLE),
        # Memory has passed it: only if nothing changed on the way is the state of that slot known.
        (LATER, lambda: run(AT_13, time=2), Outcome.AGREE),
        (AT_12, lambda: run(AT_13, time=2), Outcome.DIFFER),
        (AT_12, lambda: run(AT_13, {"vault": None}), Outcome.NOT_COMPARABLE),
        (LATER, lambda: run(AT_13, {WALLET: wallet_account(8)}), Outcome.NOT_COMPARABLE),
        # The result depends on the clock, so it may be the one of a moment in between.
        (AT_12, lambda: run(replace(AT_13, units=2), time=2), Outcome.NOT_COMPARABLE),
        (AT_12, lambda: run(replace(DIFFERENT, slot=13), time=2), Outcome.AGREE),
        (AT_12, cold, Outcome.NOT_COMPARABLE),
        (AT_12, lambda: run(replace(FINE, slot=11)), Outcome.NOT_COMPARABLE),
    ],
)
async def test_only_simulations_of_the_same_state_are_compared(
    node: Simulation, again: Callable[[], LocalRun], expected: Outcome
) -> None:
    outcome, detail = await compare(run(), node, again, ManualClock())
    assert outcome is expected
    assert bool(detail) is (outcome is not Outcome.AGREE)


async def test_it_waits_until_memory_has_reached_the_nodes_slot() -> None:
    clock = ManualClock()

    def again() -> LocalRun:
        return run(replace(FINE, slot=10 + round(clock.monotonic() / 0.2)))

    assert (await compare(run(), LATER, again, clock))[0] is Outcome.AGREE
    assert 0.3 < clock.monotonic() < 0.6


def checks() -> SpotChecks:
    return SpotChecks(ProgramLog())


def test_programs_are_open_once_exactly_they_agreed() -> None:
    at = checks()
    assert not at.has_agreed(frozenset({POOL, TOKEN}))
    at.record(frozenset({POOL, TOKEN}), Outcome.AGREE)
    assert at.has_agreed(frozenset({POOL, TOKEN}))
    assert not at.has_agreed(frozenset({POOL}))
    assert not at.has_agreed(frozenset({OTHER_POOL, TOKEN}))
    assert not at.has_agreed(frozenset({("pool", "new code"), TOKEN}))


def test_a_difference_closes_the_venues_program_and_not_the_token_program_that_all_share() -> None:
    at = checks()
    for programs in ({POOL, TOKEN}, {OTHER_POOL, TOKEN}):
        at.record(frozenset(programs), Outcome.AGREE)
    at.record(frozenset({POOL, TOKEN}), Outcome.DIFFER, "compute units: 1 here, 2 at the node")
    assert at.closed_by(frozenset({POOL, TOKEN})) == "compute units: 1 here, 2 at the node"
    assert at.closed_by(frozenset({POOL, OTHER_POOL})) is not None
    assert at.closed_by(frozenset({OTHER_POOL, TOKEN})) is None
    assert at.has_agreed(frozenset({OTHER_POOL, TOKEN}))
    assert at.closed() == {"pool": "compute units: 1 here, 2 at the node"}


def test_agreements_later_do_not_open_it_again_but_new_code_does() -> None:
    at = checks()
    at.record(frozenset({POOL, TOKEN}), Outcome.DIFFER, "different")
    at.record(frozenset({POOL, TOKEN}), Outcome.AGREE)
    assert at.closed_by(frozenset({POOL, TOKEN})) is not None
    upgraded = frozenset({("pool", "new code"), TOKEN})
    assert at.closed_by(upgraded) is None
    assert not at.has_agreed(upgraded), "it has to agree first"


def test_where_no_other_program_can_be_the_cause_solanas_own_are_closed() -> None:
    at = checks()
    at.record(frozenset({TOKEN}), Outcome.DIFFER, "different")
    assert at.closed_by(frozenset({POOL, TOKEN})) == "different"


def test_every_comparison_is_counted_and_a_difference_is_logged_with_what_differed() -> None:
    log = ProgramLog()
    at = SpotChecks(log)
    for outcome in (Outcome.AGREE, Outcome.NOT_COMPARABLE, Outcome.DIFFER, Outcome.AGREE):
        at.record(frozenset({POOL, TOKEN}), outcome, "units")
    assert [at.counts[one] for one in Outcome] == [2, 1, 1]
    assert log.kinds("checked") == [("agree",), ("not-comparable",), ("differ",), ("agree",)]
    assert log.kinds("differs") == [("pool", "units")]

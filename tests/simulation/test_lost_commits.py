"""Scenarios with a promoted standby contain the cases that they are for, and find seeded mistakes."""

import random
from collections.abc import Iterator

import pytest

from dexexec.recovery import chain_comparison
from dexexec.recovery.chain_comparison import Comparison
from tests.simulation.plan import Plan
from tests.simulation.scenario import Scenario
from tests.support.fakes.comparisons import MemoryComparisons

ENOUGH = 600
"""Seeds among which one shows what is wrong; which one depends on every detail of the engine."""


async def ensure_nothing(skipped: Comparison) -> str:
    """The identity of the Postgres that answers, without a look at the chain."""
    return await skipped._done(await skipped._state())


def is_found_out(promise: str) -> bool:
    """Whether a scenario breaks the promise."""
    return any(promise in problem for seed in seeds(ENOUGH) for problem in Scenario(seed).run().problems)


def seeds(count: int) -> Iterator[int]:
    """Seeds of scenarios in which a standby is promoted."""
    return (seed for seed in range(1, count) if Plan.draw(random.Random(seed)).promotions)


def test_promise_3_an_engine_that_does_not_compare_record_and_chain_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Comparison, "ensure", ensure_nothing)
    assert is_found_out("promise 3")


@pytest.mark.long
def test_promise_9_an_engine_that_forgets_the_keys_of_lost_orders_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end_nothing(_: MemoryComparisons) -> list[object]:
        return []

    monkeypatch.setattr(MemoryComparisons, "end_duplicates", end_nothing)
    assert is_found_out("promise 9")


def test_promise_3_an_engine_that_reads_the_history_too_soon_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """While what was signed before may still land."""
    monkeypatch.setattr(chain_comparison, "AHEAD", -10_000)
    assert is_found_out("promise 3")


def test_the_scenarios_lose_orders_that_had_swapped() -> None:
    """Some come back, some that were posted again fail as duplicates of them."""
    gone = reasons = 0
    for scenario in map(Scenario, seeds(ENOUGH)):
        scenario.run()
        gone += len(scenario.checks.gone & scenario.database.orders.keys())
        reasons += sum(row.failure_reason == "duplicate" for row in scenario.database.orders.values())
        if gone and reasons:
            break
    assert gone > 0
    assert reasons > 0

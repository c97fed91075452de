"""The engine in a few hundred scenarios, always the same ones. More of them: `python -m tests.simulation`."""

from collections import Counter

import pytest

from tests.simulation.scenario import run

SEEDS, BATCH = 160, 40


@pytest.mark.parametrize("first", range(1, SEEDS + 1, BATCH))
def test_every_promise_is_kept_for_every_seed(first: int) -> None:
    statuses: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        result = run(seed)
        statuses.update(result.statuses)
        assert not result.problems, f"python -m tests.simulation --seeds 1 --from {seed}: {result.problems}"
    assert {"confirmed", "expired", "simulated"} <= statuses.keys(), "the results are too few to mean anything"


def test_a_seed_gives_the_same_scenario_each_time() -> None:
    assert [run(seed) for seed in range(5)] == [run(seed) for seed in range(5)]


def test_the_scenarios_contain_the_faults_that_they_are_for() -> None:
    """Forks that un-confirm, processes that are started again, and orders whose worker knows them."""
    results = [run(seed) for seed in range(1, 21)]
    assert sum(result.unlanded for result in results) > 0
    assert sum(result.known for result in results) > 0
    assert sum(result.starts for result in results) > 2 * len(results)

"""Two or three nodes, one of which lies for a while: always the same scenarios. More of them: `python -m
tests.simulation --nodes`."""

from collections import Counter

import pytest

from dexexec.settlement import attempt_lookup
from dexexec.settlement.solana.rpc import lag_survey, node_trust, status_quorum
from tests.simulation.lying_node import NodeScenario, run

SEEDS, BATCH = 24, 12


@pytest.mark.parametrize("first", range(1, SEEDS + 1, BATCH))
def test_promise_5_no_lie_of_one_node_makes_a_second_signature_while_the_first_may_land(first: int) -> None:
    statuses: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        result = run(seed)
        statuses.update(result.statuses)
        assert not result.problems, f"python -m tests.simulation --nodes --seeds 1 --from {seed}: {result.problems}"
    assert {"confirmed", "expired"} <= statuses.keys(), "the results have become too short to mean anything"


def test_a_scenario_of_nodes_is_the_same_each_time() -> None:
    assert run(2) == run(2)


def test_an_engine_that_believes_the_highest_height_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenarios find a broken rule: one lying node of three is enough."""
    monkeypatch.setattr(status_quorum, "min", max, raising=False)
    monkeypatch.setattr(node_trust.NodeTrust, "judge", lambda *_: "")
    monkeypatch.setattr(node_trust.NodeTrust, "judge_tip", lambda *_: "")
    monkeypatch.setattr(attempt_lookup, "too_high", lambda *_: False)
    for module in (node_trust, lag_survey):
        monkeypatch.setattr(
            module, "compare_heights", lambda heights, *_: {node: node_trust.NodeWeight() for node in heights}
        )
    for seed in range(1, 100):  # which story shows it changes with whatever changes in the engine
        scenario = NodeScenario(seed)
        found_out = any("promise 5" in problem for problem in scenario.run().problems)
        if found_out and len(scenario.nodes) == 3:
            return
    pytest.fail("no story has found it out")

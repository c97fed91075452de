"""The engine in a few hundred simulated stories: always the same ones. More of them: `python -m tests.simulation`."""

from collections import Counter

import pytest

from tests.simulation.run import tell

SEEDS, BATCH = 160, 40


@pytest.mark.parametrize("first", range(1, SEEDS + 1, BATCH))
def test_every_promise_is_kept_whatever_the_seed_does(first: int) -> None:
    statuses: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        story = tell(seed)
        statuses.update(story.statuses)
        assert not story.problems, f"python -m tests.simulation --seeds 1 --from {seed}: {story.problems}"
    assert {"confirmed", "expired"} <= statuses.keys(), "the stories have become too short to mean anything"


def test_a_seed_is_told_the_same_way_each_time() -> None:
    assert [tell(seed) for seed in range(5)] == [tell(seed) for seed in range(5)]


def test_the_stories_have_what_they_are_told_for() -> None:
    """Forks that un-confirm, processes that are started again, and orders that do not go over the queue."""
    stories = [tell(seed) for seed in range(1, 21)]
    assert sum(story.unlanded for story in stories) > 0
    assert sum(story.taken for story in stories) > len(stories) / 2
    assert sum(story.starts for story in stories) > 2 * len(stories)

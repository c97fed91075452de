"""How long a slot takes, measured from the slots of nodes' answers."""

import random

import pytest

from dexexec.domain.pace import UNKNOWN_PACE
from dexexec.settlement.solana.rpc.slot_timer import LONGEST_SLOT, SHORTEST_SLOT, WINDOW_SECONDS, SlotTimer
from dexexec.testing.clock import ManualClock


class Cluster:
    """A chain with slots of a given length, and a timer that sees its slots."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.timer = SlotTimer(self.clock)
        self.slot = 1_000.0

    def run(
        self, seconds: float, slot_seconds: float, *, every: float = 0.5, node: str = "node", behind: int = 0
    ) -> None:
        """Lets the chain run, with an answer of `node` now and then."""
        for _ in range(round(seconds / every)):
            self.clock.advance(every)
            self.slot += every / slot_seconds
            self.timer.note(node, int(self.slot) - behind)


def test_nothing_is_measured_before_there_are_enough_slots() -> None:
    cluster = Cluster()
    cluster.run(1.0, 0.4)
    assert not cluster.timer.measured
    assert cluster.timer.slot_seconds == UNKNOWN_PACE.slot_seconds


@pytest.mark.parametrize("slot_seconds", [0.04, 0.2, 0.214, 0.4, 0.6])
@pytest.mark.parametrize("every", [0.01, 0.5, 10.0])
def test_the_slot_time_is_measured_whether_answers_are_rare_or_frequent(slot_seconds: float, every: float) -> None:
    cluster = Cluster()
    cluster.run(50.0, slot_seconds, every=every)
    assert cluster.timer.measured
    assert cluster.timer.slot_seconds == pytest.approx(slot_seconds, rel=0.04)


def test_it_follows_a_cluster_whose_slots_get_shorter() -> None:
    cluster = Cluster()
    cluster.run(120.0, 0.4)
    cluster.run(WINDOW_SECONDS, 0.2)
    assert cluster.timer.slot_seconds == pytest.approx(0.2, rel=0.05)


def test_late_and_false_answers_hardly_move_it() -> None:
    cluster = Cluster()
    rng = random.Random(7)
    for _ in range(100):
        cluster.run(0.5, 0.2)
        if rng.random() < 0.15:
            cluster.timer.note("node", rng.choice([3, 10**12]))
        cluster.clock.advance(late := rng.random() * 0.3)
        cluster.slot += late / 0.2
    assert cluster.timer.slot_seconds == pytest.approx(0.2, rel=0.1)


def test_a_node_that_is_frozen_does_not_make_slots_longer() -> None:
    cluster = Cluster()
    cluster.run(30.0, 0.2)
    before = cluster.timer.slot_seconds
    for _ in range(600):
        cluster.clock.advance(0.5)
        cluster.timer.note("node", int(cluster.slot))
    assert cluster.timer.slot_seconds == before
    assert cluster.timer.measured


@pytest.mark.parametrize(("slot_seconds", "bound"), [(0.0001, SHORTEST_SLOT), (4.0, LONGEST_SLOT)])
def test_no_measurement_is_beyond_the_bounds(slot_seconds: float, bound: float) -> None:
    cluster = Cluster()
    cluster.run(59.0, slot_seconds)
    assert cluster.timer.slot_seconds == bound


def test_a_node_that_is_ahead_of_another_one_is_no_faster_slot() -> None:
    cluster = Cluster()
    for turn in range(200):
        cluster.run(0.5, 0.2, node=f"node{turn % 2}", behind=turn % 2 * 20)
    assert cluster.timer.slot_seconds == pytest.approx(0.2, rel=0.05)


def test_of_three_nodes_one_that_is_wrong_does_not_count() -> None:
    cluster = Cluster()
    for turn in range(100):
        cluster.run(0.5, 0.2, node=f"node{turn % 2}")
        cluster.timer.note("liar", turn * 100)
    assert cluster.timer.slot_seconds == pytest.approx(0.2, rel=0.05)

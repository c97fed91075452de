"""Which nodes are believed, by their numbers alone: against themselves, against time, and against each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.swap import SLOTS_PER_SECOND
from dexexec.settlement.solana.rpc.decode.blocks import ChainPosition
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_trust import CALM, PROBATION, STUCK, NodeTrust, compare_heights
from dexexec.testing.clock import ManualClock

LAG = 10
SKIPPED = 1_000
"""Slots without a block, so far."""
LIES = [22_000_000, 5_000, 40, 33]
"""How much is added to a finalized height: the least is one block above the newest one."""


class RecordingTrustListener:
    """A watcher that keeps who is not believed, and who is again."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def node_failed(self, node: str, why: str) -> None:
        self.lines.append((node, why))

    def node_recovered(self, node: str) -> None:
        self.lines.append((node, "back"))


class TrustSetup:
    """Nodes, and their reports of a chain of which every slot but `SKIPPED` has a block."""

    def __init__(self, nodes: int = 1) -> None:
        self.clock, self.listener = ManualClock(), RecordingTrustListener()
        self.trust = NodeTrust(self.clock, self.listener, LAG)
        self.nodes = [Node(f"http://node{n}", f"node{n}", 1.0) for n in range(nodes)]
        self.slot = 10_000

    def epoch(self, lie: int = 0) -> ChainPosition:
        return ChainPosition(self.slot, self.slot - SKIPPED + lie)

    def tip(self, lie: int = 0) -> ChainPosition:
        return ChainPosition(self.slot + 32, self.slot + 32 - SKIPPED + lie)

    def pass_slots(self, count: int, per_second: float = 5.0) -> None:
        self.slot += count
        self.clock.advance(count / per_second)

    def honest(self, node: int = 0) -> str:
        return self.trust.judge(self.nodes[node], self.epoch(), self.tip())

    def weigh(self, *heights: int | None) -> list[bool | None]:
        """Whether proof waits for each, of nodes that are so many blocks ahead; None: it does not answer."""
        answering = [(node, height) for node, height in zip(self.nodes, heights, strict=True) if height is not None]
        answers = []
        for node, ahead in answering:
            epoch = ChainPosition(self.slot + ahead, self.slot + ahead - SKIPPED)
            self.trust.judge(node, epoch, ChainPosition(epoch.slot + 32, epoch.height + 32))
            answers.append((node, epoch))
        found = self.trust.weigh(answers)
        return [found[node].counts if node in found else None for node in self.nodes]


# ---- against itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", LIES)
def test_promise_5_a_height_above_the_nodes_own_newest_block_proves_nothing(lie: int) -> None:
    setup = TrustSetup()
    assert setup.trust.judge(setup.nodes[0], setup.epoch(lie), setup.tip())
    [(node, why)] = setup.listener.lines
    assert node == "node0"
    assert str(setup.epoch(lie).height) in why, "the number"
    assert "its numbers prove nothing until that has passed" in why, "and what follows"


def test_promise_5_a_slot_in_place_of_a_height_proves_nothing() -> None:
    setup = TrustSetup()
    assert setup.trust.judge(setup.nodes[0], ChainPosition(setup.slot, setup.slot), setup.tip())


def test_a_height_above_its_slot_cannot_be() -> None:
    setup = TrustSetup()
    assert "above its slot" in setup.trust.judge(setup.nodes[0], ChainPosition(100, 101))


@pytest.mark.parametrize("lie", [22_000_000, SKIPPED + 1])
def test_a_height_that_the_slots_since_the_newest_block_do_not_explain_is_refused_without_a_second_request(
    lie: int,
) -> None:
    setup = TrustSetup()
    setup.honest()
    setup.pass_slots(200)
    assert setup.trust.judge(setup.nodes[0], setup.epoch(lie))


def test_an_honest_node_is_believed_after_any_time() -> None:
    setup = TrustSetup()
    for slots, per_second in ((1, 5), (400, 1e9), (3, 0.01), (5_000, 25), (1_000, 1e9)):
        setup.pass_slots(slots, per_second)
        assert not setup.honest()
    assert setup.listener.lines == []


def test_an_answer_of_an_older_node_behind_the_same_address_is_no_contradiction() -> None:
    setup = TrustSetup()
    setup.honest()
    older = ChainPosition(setup.slot - 40, setup.slot - 40 - SKIPPED)
    assert not setup.trust.judge(setup.nodes[0], older, setup.tip())


def test_a_liar_is_believed_again_when_its_numbers_have_agreed_for_a_while() -> None:
    setup = TrustSetup()
    setup.honest()
    setup.trust.judge(setup.nodes[0], setup.epoch(10**6), setup.tip())
    assert setup.honest(), "not at once"
    setup.pass_slots(round(CALM * 5))
    assert not setup.honest()
    assert [why for _, why in setup.listener.lines][1:] == ["back"]


# ---- against time ----------------------------------------------------------------------------------------------------


def test_promise_5_a_leap_that_time_does_not_explain_proves_nothing_although_all_numbers_agree() -> None:
    setup = TrustSetup()
    setup.honest()
    setup.pass_slots(22_000_000, per_second=1e9)
    assert "time allows" in setup.honest()
    setup.pass_slots(round(PROBATION) * 5 // 2)
    assert setup.honest()
    setup.pass_slots(round(PROBATION) * 5 // 2 + 1)
    assert not setup.honest(), "it has gone on from there for long enough"


def test_a_node_that_was_frozen_may_catch_up_at_once() -> None:
    setup = TrustSetup()
    setup.honest()
    frozen = setup.epoch()
    for _ in range(10):
        setup.pass_slots(1_000)
        assert not setup.trust.judge(setup.nodes[0], frozen, ChainPosition(frozen.slot + 32, frozen.height + 32))
    assert not setup.honest()


@given(st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.05, SLOTS_PER_SECOND)), max_size=20))
def test_no_chain_is_too_fast_for_its_nodes_to_be_believed(steps: list[tuple[int, float]]) -> None:
    setup = TrustSetup()
    for slots, per_second in steps:
        assert not setup.honest()
        setup.pass_slots(slots, per_second)
    assert not setup.honest()


# ---- against each other ----------------------------------------------------------------------------------------------


def test_promise_5_one_lying_node_of_three_counts_for_nothing_and_makes_no_other_look_behind() -> None:
    setup = TrustSetup(3)
    assert setup.weigh(0, 10_000, 2) == [True, False, True]
    [(node, why)] = setup.listener.lines
    assert node == "node1"
    assert "others report" in why
    weights = compare_heights({setup.nodes[0]: 500, setup.nodes[1]: 10**7, setup.nodes[2]: 495}, (), LAG)
    assert [weights[node].keeps_up for node in setup.nodes] == [True, False, True]


def test_of_two_that_contradict_each_other_both_count_so_that_the_lower_one_decides() -> None:
    setup = TrustSetup(2)
    assert setup.weigh(0, 10_000) == [True, True]
    [low, high] = setup.nodes
    weights = compare_heights({low: 500, high: 10**7}, (), LAG)
    assert weights[low].undecided
    assert weights[high].undecided


def test_one_that_is_far_above_another_that_answered_lately_does_not_count_without_it() -> None:
    setup = TrustSetup(2)
    setup.weigh(0, 0)
    setup.clock.advance(1)
    assert setup.weigh(None, 900) == [None, True]
    setup = TrustSetup(2)
    setup.weigh(0, None)
    assert setup.weigh(None, 10_000) == [None, False]
    setup.clock.advance(61)
    setup.slot += 10_000
    assert setup.weigh(None, 0) == [None, True], "who is away does not count for ever"


def test_proof_waits_for_a_node_that_lags_and_not_for_one_that_is_lost() -> None:
    setup = TrustSetup(3)
    for _ in range(round(PROBATION)):
        assert setup.weigh(0, -300, 0) == [True, True, True]
        setup.pass_slots(5)
    setup = TrustSetup(3)
    for _ in range(round(PROBATION)):
        assert setup.weigh(0, -5_000, 0) == [True, True, True]
        setup.pass_slots(5)
    assert setup.weigh(0, -5_000, 0) == [True, False, True]
    [(node, why)] = setup.listener.lines
    assert (node, "behind all others" in why) == ("node1", True)


def test_of_two_neither_is_ever_left_out() -> None:
    setup = TrustSetup(2)
    for _ in range(round(2 * PROBATION)):
        assert setup.weigh(0, -5_000) == [True, True]
        setup.pass_slots(5)


def test_a_node_that_is_frozen_far_behind_is_recognised() -> None:
    setup = TrustSetup(2)
    still = setup.epoch()
    for _ in range(round(STUCK) + 1):
        setup.trust.judge(setup.nodes[0], still, ChainPosition(still.slot + 32, still.height + 32))
        setup.weigh(None, 2_000)
        setup.clock.advance(1)
    moving = ChainPosition(setup.slot + 2_000, setup.slot + 2_000 - SKIPPED)
    weights = setup.trust.weigh([(setup.nodes[0], still), (setup.nodes[1], moving)])
    assert [weights[node].stuck for node in setup.nodes] == [True, False]


@given(st.lists(st.integers(-2_000, 2_000), min_size=2, max_size=2), st.integers(-(10**8), 10**8))
def test_promise_5_no_lie_of_one_of_three_raises_the_height_above_the_honest_ones(honest: list[int], lie: int) -> None:
    heights = dict(zip(TrustSetup(3).nodes, (10**9 + honest[0], 10**9 + honest[1], 10**9 + lie), strict=True))
    weights = compare_heights(heights, (), LAG)
    counted = [height for node, height in heights.items() if weights[node].counts]
    assert min(counted) <= 10**9 + max(honest)

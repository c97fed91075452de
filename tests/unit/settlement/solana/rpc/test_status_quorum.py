"""A signature's status from several nodes: which nodes have it, which must, and when that ends an order."""

import pytest

from dexexec.domain.swap import NotSeen, Unavailable
from dexexec.settlement.solana.rpc.decode.blocks import ChainPosition
from dexexec.settlement.solana.rpc.decode.statuses import ReportedStatus, ReportedStatuses
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_trust import NO_WEIGHT, NodeWeight
from dexexec.settlement.solana.rpc.status_quorum import (
    CONFIRMED,
    FINALIZED,
    RECENT_SLOTS,
    Found,
    LookupResult,
    NodeAnswer,
    combine_answers,
)

SLOT = 1_000
NODES = [Node(f"http://node{n}", f"node{n}", 1.0) for n in range(3)]
FINAL, LESS = ReportedStatus(SLOT, FINALIZED, failed=False), ReportedStatus(SLOT, CONFIRMED, failed=False)
FAILED, ELSEWHERE = ReportedStatus(SLOT, FINALIZED, failed=True), ReportedStatus(SLOT + 1, FINALIZED, failed=False)
COUNTS, LAGS = NodeWeight(), NodeWeight(keeps_up=False, behind=60)
STUCK = NodeWeight(keeps_up=False, behind=2_000, stuck=True)


def answer(node: int, status: ReportedStatus | None, *, past: int = 10, weight: NodeWeight = COUNTS) -> NodeAnswer:
    """A node that has finalized so many slots past the landing, and looked 32 slots later."""
    position = ChainPosition(SLOT + past, SLOT + past)
    return NodeAnswer(
        node=NODES[node], position=position, weight=weight, reported=ReportedStatuses(position.slot + 32, (status,))
    )


def silent(node: int) -> NodeAnswer:
    return NodeAnswer(node=NODES[node], position=None, weight=NO_WEIGHT)


def found_by(*answers: NodeAnswer) -> Found:
    finding = combine_answers(answers, 0)
    assert isinstance(finding, Found)
    return finding


# ---- landings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "final"),
    [
        ([answer(0, FINAL)], True),
        ([answer(0, FINAL, past=-1)], False),
        ([answer(0, FINAL), answer(1, FINAL), answer(2, FINAL)], True),
        ([answer(0, FINAL), answer(1, FINAL), answer(2, None)], True),
        ([answer(0, FINAL), answer(1, None), answer(2, None)], False),
        ([answer(0, FINAL), answer(1, None), silent(2)], False),
        ([answer(0, FINAL), silent(1), silent(2)], True),
        ([answer(0, FINAL), answer(1, LESS)], False),
        ([answer(0, FINAL), answer(1, LESS), answer(2, FINAL)], True),
        ([answer(0, FINAL), answer(1, LESS, past=-5)], False),
        ([answer(0, FINAL), answer(1, LESS, past=-60, weight=LAGS)], True),
        ([answer(0, FINAL), answer(1, None, past=-5)], False),
        ([answer(0, FINAL), answer(1, FAILED)], False),
        ([answer(0, FINAL), answer(1, FAILED), answer(2, FINAL)], True),
        ([answer(0, FINAL), answer(1, ELSEWHERE)], False),
        ([answer(0, FINAL), answer(1, None, past=RECENT_SLOTS)], True),
        ([answer(0, FINAL), answer(1, None, past=RECENT_SLOTS), answer(2, None, past=RECENT_SLOTS)], False),
        ([answer(0, FINAL), answer(1, None, weight=NO_WEIGHT)], True),
    ],
    ids=[
        "the only node", "whose finalized slot is before it", "all agree", "two against one", "one against two",
        "one against one", "the others are away", "one of two knows it as less", "one of three knows it as less",
        "one has not finalized it yet", "one lags", "one comes to it soon", "one of two says it failed",
        "one of three says it failed", "one of two has it elsewhere",
        "one of two has no history", "two of three know nothing", "one is not believed",
    ],
)  # fmt: skip
def test_a_landing_is_final_only_where_more_nodes_confirm_it_than_deny_it(
    answers: list[NodeAnswer], final: bool
) -> None:
    assert found_by(*answers).final is final


def test_promise_5_a_failure_that_one_node_reports_waits_for_another_one_that_lags() -> None:
    """Of two nodes one seems to lag by the other one's slots alone, which may be the wrong ones."""
    assert not found_by(answer(0, FAILED), answer(1, None, past=-60, weight=LAGS)).final
    assert found_by(answer(0, FAILED), answer(1, FAILED), answer(2, None, past=-60, weight=LAGS)).final
    assert found_by(answer(0, FAILED), answer(1, None, past=-2_000, weight=STUCK)).final


def test_promise_5_a_landing_that_most_nodes_report_counts_for_any_first_node() -> None:
    found = found_by(answer(0, FAILED), answer(1, FINAL), answer(2, FINAL))
    assert (found.status, found.node, found.final) == (FINAL, NODES[1], True)


def test_a_landing_that_most_deny_is_uncertain_and_the_nodes_that_deny_it_are_logged() -> None:
    found = found_by(answer(0, FINAL), answer(1, None), answer(2, None))
    assert found.disputed
    assert found.denied_by == {NODES[1], NODES[2]}
    assert not found_by(answer(0, FINAL), answer(1, None)).disputed


def test_who_denied_a_landing_when_it_was_new_does_not_agree_by_waiting() -> None:
    answers = [answer(0, FINAL), answer(1, None, past=RECENT_SLOTS)]
    finding = combine_answers(answers, 0, denied_before=frozenset({NODES[1]}))
    assert isinstance(finding, Found)
    assert not finding.final


def test_a_node_with_the_signature_counts_although_its_other_answers_are_false() -> None:
    for having in (
        answer(0, FINAL, weight=NO_WEIGHT),
        NodeAnswer(node=NODES[0], position=None, weight=NO_WEIGHT, reported=ReportedStatuses(SLOT, (FINAL,))),
    ):
        assert isinstance(combine_answers([having, answer(1, None), answer(2, None)], 0), Found)


# ---- not known -------------------------------------------------------------------------------------------------------


def not_seen(*answers: NodeAnswer) -> LookupResult:
    return combine_answers(answers, 0)


def test_promise_5_the_lowest_height_counts_and_the_oldest_slot() -> None:
    finding = not_seen(answer(0, None, past=50), answer(1, None, past=3, weight=LAGS), answer(2, None, past=7))
    assert isinstance(finding, NotSeen)
    assert (finding.height, finding.slot) == (SLOT + 3, SLOT + 3 + 32)
    assert finding.node == "node0, node1, node2"


def test_promise_5_a_node_that_is_not_believed_proves_nothing_and_holds_up_nothing() -> None:
    wrong = NodeWeight(counts=False, keeps_up=False, why="contradicts itself")
    alone = not_seen(answer(0, None, weight=wrong))
    assert isinstance(alone, Unavailable)
    assert "contradicts itself" in alone.detail
    others = not_seen(answer(0, None, past=10**7, weight=wrong), answer(1, None), answer(2, None, past=4))
    assert isinstance(others, NotSeen)
    assert others.height == SLOT + 4


def test_promise_5_a_node_that_looked_too_early_holds_up_the_proof() -> None:
    early = NodeAnswer(
        node=NODES[1],
        position=ChainPosition(SLOT, SLOT),
        weight=COUNTS,
        reported=ReportedStatuses(SLOT - 1, (None,)),
    )
    assert isinstance(not_seen(answer(0, None), early), Unavailable)


def test_promise_5_nodes_that_all_lag_prove_nothing() -> None:
    assert isinstance(not_seen(answer(0, None, weight=LAGS), silent(1)), Unavailable)


def test_a_node_that_does_not_answer_holds_up_nothing() -> None:
    assert isinstance(not_seen(answer(0, None), silent(1)), NotSeen)
    assert isinstance(not_seen(silent(0), silent(1)), Unavailable)

"""When a confirmed block is final: what the nodes' answers mean together, and what a false one does."""

from typing import Any

import pytest

from dexexec.domain.pace import Finality
from dexexec.settlement.solana.rpc.commitments import Commitments
from dexexec.settlement.solana.rpc.consensus import LARGEST_GAP, ConsensusSurvey, agreed
from dexexec.settlement.solana.rpc.methods import MethodCall
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import MethodUnsupportedError, NodeUnavailableError
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable

CERTIFICATE = {"block": {"slot": 900, "block_id": [7] * 32}, "signature": {"signature": [1], "bitmap": [1]}}


class ScriptedPool:
    """Nodes with one answer each: a certificate, None, "unsupported" or "down". It records what was reported."""

    def __init__(self, *answers: Any, finalized: int = 1_000, newest: int = 1_001) -> None:
        self.order = [Node(f"http://node{n}", f"node{n}", 1.0) for n in range(len(answers))]
        self.answers = dict(zip(self.order, answers, strict=True))
        self.slots = {"finalized": finalized, "processed": newest}
        self.reported: list[Finality] = []
        self.reports = self
        self.commitments = Commitments()

    def consensus(self, finality: Finality) -> None:
        self.reported.append(finality)

    async def call_node(self, node: Node, call: MethodCall[Any]) -> Any:
        if call.method == "getSlot":
            return call.decode(self.slots[call.params[0]["commitment"]])  # type: ignore[index]
        answer = self.answers[node]
        if answer == "unsupported":
            raise MethodUnsupportedError("no such method", call.method)
        if answer == "down":
            raise NodeUnavailableError("down", Unreachable)
        return call.decode(answer)


def survey_of(pool: ScriptedPool) -> ConsensusSurvey:
    return ConsensusSurvey(pool, ManualClock())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], Finality.DELAYED),
        ([None], Finality.DELAYED),
        ([Finality.IMMEDIATE], Finality.IMMEDIATE),
        ([Finality.DELAYED], Finality.DELAYED),
        ([Finality.IMMEDIATE, None], Finality.IMMEDIATE),
        ([Finality.IMMEDIATE, Finality.DELAYED], Finality.DELAYED),
        ([Finality.IMMEDIATE, Finality.IMMEDIATE, Finality.DELAYED], Finality.DELAYED),
    ],
)
def test_it_is_immediate_only_if_a_node_shows_it_and_none_contradicts(
    answers: list[Finality | None], expected: Finality
) -> None:
    assert agreed(answers) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (CERTIFICATE, Finality.IMMEDIATE),
        (None, Finality.DELAYED),
        ("unsupported", Finality.DELAYED),
        ("down", Finality.DELAYED),
    ],
)
async def test_a_node_shows_it_by_its_certificate(answer: Any, expected: Finality) -> None:
    survey = survey_of(ScriptedPool(answer))
    await survey.survey()
    assert survey.finality is expected


async def test_a_cluster_may_change_while_it_runs_and_each_change_is_reported_once() -> None:
    pool = ScriptedPool(None)
    survey = survey_of(pool)
    await survey.survey()
    await survey.survey()
    pool.answers[pool.order[0]] = CERTIFICATE
    await survey.survey()
    await survey.survey()
    assert survey.finality is Finality.IMMEDIATE
    assert pool.reported == [Finality.DELAYED, Finality.IMMEDIATE]


async def test_a_certificate_is_not_believed_if_finality_is_far_behind() -> None:
    survey = survey_of(ScriptedPool(CERTIFICATE, finalized=1_000, newest=1_000 + LARGEST_GAP + 1))
    await survey.survey()
    assert survey.finality is Finality.DELAYED


async def test_a_certificate_of_a_block_that_is_not_final_counts_for_nothing_yet() -> None:
    survey = survey_of(ScriptedPool(CERTIFICATE, finalized=899, newest=900))
    await survey.survey()
    assert survey.finality is Finality.DELAYED


async def test_a_node_that_is_away_keeps_its_answer_and_one_without_the_method_loses_it() -> None:
    pool = ScriptedPool(CERTIFICATE)
    survey = survey_of(pool)
    seen = []
    for answer in (CERTIFICATE, "down", "unsupported"):
        pool.answers[pool.order[0]] = answer
        await survey.survey()
        seen.append(survey.finality)
    assert seen == [Finality.IMMEDIATE, Finality.IMMEDIATE, Finality.DELAYED]

"""The localnet's faults: read from JSON, counted down, shown again."""

import pytest

from dexexec.localnet.faults import FaultyAnswer, ForgottenStatuses, read
from dexexec.localnet.rpc.errors import InvalidParamsError


def test_no_faults_is_a_node_that_behaves() -> None:
    faults = read({})
    assert (faults.delay(), faults.answer({"getSlot"}), faults.lag, faults.forgets) == (
        0,
        None,
        0,
        ForgottenStatuses.NOTHING,
    )


def test_so_many_transactions_are_dropped_then_so_many_land_late() -> None:
    faults = read({"drop": 2, "late": {"transactions": 1, "slots": 7}})
    assert [faults.delay() for _ in range(4)] == [None, None, 7, 0]


def test_wrong_answers_are_for_so_many_requests_of_their_methods() -> None:
    faults = read({"answers": [{"answer": "503", "requests": 2, "methods": ["getSlot", "getBalance"]}]})
    assert faults.answer({"sendTransaction"}) is None
    assert [answer and answer.answer for answer in (faults.answer({"x", "getSlot"}) for _ in range(3))] == [
        FaultyAnswer.UNAVAILABLE,
        FaultyAnswer.UNAVAILABLE,
        None,
    ]


def test_the_first_of_several_answers_comes_first() -> None:
    faults = read({"answers": [{"answer": "429"}, {"answer": "hangup", "execute": True}]})
    first, second, third = (faults.answer({"getSlot"}) for _ in range(3))
    assert first is not None
    assert second is not None
    assert (first.answer, first.execute, second.answer, second.execute) == (
        FaultyAnswer.TOO_MANY_REQUESTS,
        False,
        "hangup",
        1,
    )
    assert third is None


def test_what_is_left_of_faults_can_be_set_again() -> None:
    silent = {"silent": ["a", "b"], "delay": 3}
    lasting = {
        "notifications": silent,
        "refuses": ["confirmed"],
        "lag": 5,
        "forgets": "recent",
        "lies": {"lastValidHeight": -7, "finalized": True},
    }
    faults = read(lasting | {"drop": 3, "answers": [{"answer": "429"}, {"answer": "503"}]})
    faults.delay()
    faults.answer({"getSlot"})
    assert read(faults.body()) == read(lasting | {"drop": 2, "answers": [{"answer": "503"}]})


def test_a_lying_node_returns_other_numbers_and_an_honest_node_its_own() -> None:
    epoch = {"absoluteSlot": 50, "blockHeight": 40, "epoch": 0}
    newest = {"context": {"slot": 55}, "value": {"blockhash": "hash", "lastValidBlockHeight": 195}}
    status = {"slot": 41, "err": None, "confirmationStatus": "confirmed", "confirmations": 3}
    found = {"context": {"slot": 55}, "value": [status, None]}
    assert read({}).lies.falsify("getEpochInfo", epoch) == epoch
    assert read({"lies": {"height": 5}}).lies.falsify("getEpochInfo", epoch) == epoch | {"blockHeight": 45}
    assert read({"lies": {"slotForHeight": True}}).lies.falsify("getEpochInfo", epoch) == epoch | {"blockHeight": 50}
    lies = read({"lies": {"slot": -5, "lastValidHeight": -100, "finalized": True, "genesis": "other"}}).lies
    reported = lies.falsify("getLatestBlockhash", newest)
    assert (reported["context"]["slot"], reported["value"]["lastValidBlockHeight"]) == (50, 95)
    [seen, none] = lies.falsify("getSignatureStatuses", found)["value"]
    assert (seen["confirmationStatus"], seen["err"], none) == ("finalized", None, None)
    assert lies.falsify("getGenesisHash", "hash") == "other"
    assert lies.falsify("getVersion", {"solana-core": "2"}) == {"solana-core": "2"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"drip": 1}, "drip: is not a fault"),
        ({"drop": -1}, "drop: must be an integer from 0"),
        ({"drop": True}, "drop: must be an integer from 0"),
        ({"lag": 301}, "lag: must be an integer from 0 to 300"),
        ({"late": 3}, "late: must be an object"),
        ({"late": {"slot": 3}}, "late.slot: is not a fault"),
        ({"answers": {}}, "answers: must be a list"),
        ({"answers": [{"answer": "418"}]}, "answers[0].answer: must be one of 429, 503"),
        ({"answers": [{"answer": "429", "methods": "getSlot"}]}, "answers[0].methods: must be a list"),
        ({"answers": [{"answer": "429", "execute": 1}]}, "answers[0].execute: must be true or false"),
        ({"answers": [{"answer": "429", "times": 1}]}, "answers[0].times: is not a fault"),
        ({"lies": {"hight": 1}}, "lies.hight: is not a lie"),
        ({"lies": {"height": True}}, "lies.height: must be an integer from -1000000000"),
        ({"lies": {"finalized": 1}}, "lies.finalized: must be true or false"),
        ({"refuses": ["final"]}, "refuses: must be one of processed, confirmed, finalized"),
        ({"notifications": {"silent": "all"}}, "notifications.silent: must be a list of addresses"),
        ({"notifications": {"frozen": 1}}, "notifications.frozen: must be true or false"),
        ({"notifications": {"late": 1}}, "notifications.late: is not a fault"),
        ({"forgets": "everything"}, "forgets: must be one of nothing, recent, all"),
    ],
)
def test_a_fault_that_cannot_be_is_named(given: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidParamsError) as refused:
        read(given)
    assert problem in str(refused.value)

"""Settling one attempt: three outcomes, each with its proof. No unknown answer counts as a failure."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from dexexec.domain.swap import (
    ALLOWANCE,
    SLOTS_PER_SECOND,
    VALID_FOR,
    NotSeen,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
    too_high,
)
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.errors import ClaimLostError
from dexexec.settlement.attempt import PendingAttempt
from dexexec.venue import Capabilities, Network
from tests.support.scripted import SELL_ONE_SOL, ScriptedChain
from tests.support.scripted_settlement import (
    ALIVE,
    CONFIRMED,
    EXPIRED,
    FAILED,
    FILL,
    LANDED,
    SIGNED,
    ScriptedSettlement,
)


async def test_a_landed_swap_returns_the_amounts_that_moved() -> None:
    result = await ScriptedSettlement(ALIVE, ALIVE, LANDED).settle()
    assert (result.outcome, result.fill) == ("landed", FILL)


async def test_a_failed_swap_returns_the_reason_of_the_chain() -> None:
    result = await ScriptedSettlement(FAILED).settle()
    assert (result.outcome, result.reason, result.fill) == ("failed", "slippage", None)
    assert result.proof["slot"] == 7


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("words", ["timeout", "429", "-32002: it would fail", "-32003: bad signature", "-32602"])
async def test_promise_5_no_answer_to_a_send_is_ever_a_failure(words: str, resumed: bool) -> None:
    scripted = ScriptedSettlement(Unavailable("503"), ALIVE, LANDED, submits=(Unknown(words),))
    assert (await scripted.settle(resumed=resumed)).outcome == "landed"


@pytest.mark.parametrize(
    "not_a_proof",
    [
        NotSeen(height=150, history=True, node="n"),  # the last valid height itself still takes it
        NotSeen(height=10_000, history=False, node="n"),  # only the recent statuses were searched
        Unavailable("nobody knows"),
    ],
)
async def test_promise_5_only_a_full_search_past_the_last_valid_height_proves_expiry(not_a_proof: SwapStatus) -> None:
    scripted = ScriptedSettlement(*[not_a_proof] * 50, LANDED)
    assert (await scripted.settle()).outcome == "landed"
    assert scripted.chain.looked_up == 51


async def test_an_expired_attempt_carries_its_proof() -> None:
    result = await ScriptedSettlement(ALIVE, EXPIRED).settle()
    assert result.outcome == "expired"
    assert result.proof == {
        "signatures": ["sig"], "lastValidHeight": 150, "heightSeen": 151, "historySearched": True, "node": "n",
        "sends": 1,
    }  # fmt: skip


async def test_a_confirmed_swap_returns_its_fill_and_stays_open() -> None:
    scripted = ScriptedSettlement(ALIVE, CONFIRMED)
    result = await scripted.settle()
    assert (result.outcome, result.fill) == ("confirmed", FILL)
    assert result.proof == {"slot": 7, "finalized": False, "sends": 1}


async def test_a_failure_that_is_not_finalized_ends_nothing_and_nothing_is_sent_meanwhile() -> None:
    seen = replace(FAILED, finalized=False)
    scripted = ScriptedSettlement(*[seen] * 20, LANDED)
    assert (await scripted.settle()).outcome == "landed"
    assert len(scripted.chain.sent) == 1


async def test_the_history_is_searched_only_past_the_last_valid_height() -> None:
    scripted = ScriptedSettlement(*[ALIVE] * 5, EXPIRED)
    await scripted.settle()
    assert (scripted.chain.looked_up, scripted.chain.searched) == (6, 1)


async def test_promise_5_a_height_that_no_chain_can_have_since_it_was_signed_proves_nothing() -> None:
    """All reports of a node may be consistent, and after a restart there is no earlier data about it."""
    slot_for_height = replace(EXPIRED, height=22_000_000)
    scripted = ScriptedSettlement(*[slot_for_height] * 20, LANDED)
    assert (await scripted.settle(resumed=True, age=3_600)).outcome == "landed"
    assert scripted.chain.searched == 20
    assert (await ScriptedSettlement(slot_for_height).settle(resumed=True, age=5 * 86_400 + 3_600)).outcome == "expired"


@pytest.mark.parametrize("age", [0, 60, 86_400])
def test_a_height_is_too_high_only_above_the_speed_of_any_chain(age: float) -> None:
    most = ALLOWANCE + round(SLOTS_PER_SECOND * age)
    assert not too_high(replace(EXPIRED, height=most), VALID_FOR, age)
    assert too_high(replace(EXPIRED, height=most + 1), VALID_FOR, age)
    assert not too_high(EXPIRED, VALID_FOR, -age), "a clock that was set back delays no proof"


async def test_the_same_bytes_are_sent_again_about_every_two_seconds_until_it_lands() -> None:
    scripted = ScriptedSettlement(*[ALIVE] * 20, LANDED)
    await scripted.settle()
    assert len(scripted.chain.sent) > 2
    assert set(map(id, scripted.chain.sent)) == {id(SIGNED)}
    assert scripted.clock.monotonic() / len(scripted.chain.sent) >= 1.5


async def test_the_answer_to_the_last_send_is_quoted_when_nothing_landed() -> None:
    scripted = ScriptedSettlement(EXPIRED, submits=(Unknown("node.example: Blockhash not found (-32002)"),))
    result = await scripted.settle()
    assert (result.outcome, result.reason) == ("expired", "attempt-expired")
    assert "Blockhash not found" in result.detail


async def test_promise_13_nothing_is_first_sent_past_the_deadline() -> None:
    scripted = ScriptedSettlement(LANDED)
    result = await scripted.settle(deadline=0)
    assert result.outcome == "unsent"
    assert scripted.chain.sent == []


async def test_promise_13_a_resumed_attempt_past_its_deadline_is_only_looked_up() -> None:
    scripted = ScriptedSettlement(*[ALIVE] * 10, EXPIRED)
    result = await scripted.settle(resumed=True, deadline=0)
    assert (result.outcome, scripted.chain.sent) == ("expired", [])


async def test_promise_10_a_worker_whose_lease_ran_out_sends_nothing() -> None:
    scripted = ScriptedSettlement(LANDED)
    with pytest.raises(ClaimLostError):
        await scripted.settle(may_send=lambda: False)
    assert scripted.chain.sent == []


async def test_promise_10_a_lease_that_runs_out_while_waiting_stops_the_resending() -> None:
    scripted = ScriptedSettlement(ALIVE)
    with pytest.raises(ClaimLostError):
        await scripted.settle(may_send=lambda: scripted.clock.monotonic() < 1)
    assert len(scripted.chain.sent) == 1


async def test_a_chain_that_raises_leaves_the_outcome_open() -> None:
    scripted = ScriptedSettlement(LANDED)
    calls = {"submit": 0, "status": 0}

    async def submit(_: SignedSwap) -> SubmitAnswer:
        calls["submit"] += 1
        raise ZeroDivisionError

    async def status(_: object, *, history: bool = False) -> list[SwapStatus]:
        calls["status"] += 1
        if calls["status"] < 3:
            raise KeyError("nonsense")
        return [LANDED]

    scripted.chain.submit = submit  # type: ignore[assignment,method-assign]
    scripted.chain.status = status  # type: ignore[assignment,method-assign]
    assert (await scripted.settle()).outcome == "landed"
    assert calls == {"submit": 1, "status": 3}


async def test_a_venue_is_never_called_to_send_or_look_up_its_swap() -> None:
    scripted = ScriptedSettlement(ALIVE, EXPIRED)
    called: list[str] = []

    def lie(name: str) -> Callable[..., object]:
        return lambda *_, **__: called.append(name)

    for name in ("submit", "status", "quote", "build"):
        setattr(scripted.venue, name, lie(name))
    scripted.venue.capabilities = Capabilities(network="the moon")
    result = await scripted.settle()
    assert (result.outcome, called, len(scripted.chain.sent)) == ("expired", [], 1)


async def test_a_swap_without_progress_reports_what_it_waits_for_and_a_quick_one_reports_nothing() -> None:
    reported: list[Waiting] = []

    async def report(waiting: Waiting) -> None:
        reported.append(waiting)

    away = Unavailable("all nodes are away")
    scripted = ScriptedSettlement(*[away] * 20, *[ALIVE] * 20, LANDED)
    pending = PendingAttempt(signed=SIGNED, request=SELL_ONE_SOL, deadline=1e9, resumed=False)
    await scripted.settlement.settle(pending, lambda: True, report)
    assert [one.reason for one in reported] == [WaitsFor.NODE, WaitsFor.LANDING]
    reported.clear()
    await ScriptedSettlement(ALIVE, LANDED).settlement.settle(pending, lambda: True, report)
    assert reported == []


async def test_a_swap_that_no_node_proves_expired_waits_for_proof() -> None:
    reported: list[Waiting] = []

    async def report(waiting: Waiting) -> None:
        reported.append(waiting)

    class NoHistory(ScriptedChain):
        async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
            if history:
                return [Unavailable("n: transaction history is not available from this node")] * len(signatures)
            return await super().status(signatures, history=history)

    scripted = ScriptedSettlement()
    scripted.chain = NoHistory()
    scripted.chain.statuses = [*[EXPIRED] * 20, LANDED]
    scripted.settlement = scripted.settling_on(scripted.chain)
    await scripted.settlement.settle(
        PendingAttempt(signed=SIGNED, request=SELL_ONE_SOL, deadline=1e9, resumed=False), lambda: True, report
    )
    assert [one.reason for one in reported] == [WaitsFor.PROOF]
    assert "history is not available" in reported[0].detail


@pytest.mark.parametrize(
    ("network", "genesis", "why"),
    [
        (Network.SIMULATED, "here", ""),
        (Network.SIMULATED, "", ""),
        (
            Network.SIMULATED,
            "elsewhere",
            "genesis hash elsewhere, and the nodes of simulated serve the chain with genesis hash here",
        ),
        (Network.SOLANA, "here", "signed for solana, which no enabled adapter uses"),
        ("", "", "an unknown network, which no enabled adapter uses"),
    ],
)
def test_promise_5_a_swap_of_another_chain_is_not_looked_up_on_this_one(network: str, genesis: str, why: str) -> None:
    """Its signature is not known here, and the height is another chain's: both together would look like proof."""
    scripted = ScriptedSettlement()
    settlement = scripted.settling_on(scripted.chain, {Network.SIMULATED: "here"})
    assert why in settlement.why_unreachable(replace(SIGNED, network=network, genesis=genesis))
    assert bool(settlement.why_unreachable(replace(SIGNED, network=network, genesis=genesis))) is bool(why)

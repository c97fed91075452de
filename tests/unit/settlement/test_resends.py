"""Sending the same bytes again at the pace of the chain, and the record of it."""

import asyncio
from collections.abc import Sequence

import pytest

from dexexec.domain.pace import Finality, Pace
from dexexec.domain.sends import SendAnswer, SendLog
from dexexec.domain.swap import NotSeen, SignedSwap, SubmitAnswer, SwapStatus, Unknown
from dexexec.errors import ClaimLostError
from dexexec.settlement.attempt import SettlementResult
from dexexec.settlement.attempt_sender import RESEND_SLOTS, SHORTEST_RESEND
from dexexec.testing.clock import ManualClock
from tests.support.scripted import ScriptedChain
from tests.support.scripted_settlement import ALIVE, EXPIRED, FAILED, LANDED, ScriptedSettlement


class PacedScriptedChain(ScriptedChain):
    """A chain with slots and two endpoints: one accepts, one refuses. The notification comes at `notified_at`. A
    lookup lasts until `sends_per_lookup` sends were made."""

    def __init__(self, clock: ManualClock, slot_seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.pace = Pace(slot_seconds, Finality.IMMEDIATE, measured=True)
        self.sent_at: list[float] = []
        self.looked_at: list[float] = []
        self.notified_at = float("inf")
        self.sends_per_lookup = 0
        self.sent_often = asyncio.Event()
        self.refuses_all = False

    async def broadcast(self, signed: SignedSwap, log: SendLog) -> SubmitAnswer:
        self.sent_at.append(self.clock.monotonic())
        at_ms = self.clock.unix_ms()
        accepting = log.begin("accepts.example", send_only=False, at_ms=at_ms, slot=5)
        accepting.end(*((SendAnswer.REFUSED, "accepts.example: no") if self.refuses_all else (SendAnswer.ACCEPTED,)))
        refusing = log.begin("refuses.example", send_only=True, at_ms=at_ms, slot=5)
        refusing.end(SendAnswer.REFUSED, "refuses.example: no")
        await super().submit(signed)
        if len(self.sent_at) >= self.sends_per_lookup:
            self.sent_often.set()
        return log.answer()

    async def wait_for_notification(self, signature: str, seconds: float) -> None:
        left = self.notified_at - self.clock.monotonic()
        await self.clock.sleep(min(seconds, max(0.0, left)))
        if left <= seconds:
            self.notified_at = float("inf")

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        self.looked_at.append(self.clock.monotonic())
        if self.sends_per_lookup:
            await self.sent_often.wait()
        return await super().status(signatures, history=history)


def paced(*statuses: SwapStatus, slot_seconds: float = 0.4) -> tuple[ScriptedSettlement, PacedScriptedChain]:
    scripted = ScriptedSettlement()
    chain = PacedScriptedChain(scripted.clock, slot_seconds)
    chain.statuses = list(statuses)
    scripted.settlement = scripted.settling_on(chain)
    return scripted, chain


@pytest.mark.parametrize("slot_seconds", [0.2, 0.4, 0.02])
async def test_the_same_bytes_are_sent_again_every_one_to_two_slots_whenever_they_are_looked_up(
    slot_seconds: float,
) -> None:
    scripted, chain = paced(*[ALIVE] * 30, LANDED, slot_seconds=slot_seconds)
    await scripted.settle()
    pauses = [later - earlier for earlier, later in zip(chain.sent_at, chain.sent_at[1:], strict=False)]
    expected = max(RESEND_SLOTS * slot_seconds, SHORTEST_RESEND)
    assert len(pauses) >= 5
    assert all(pause == pytest.approx(expected, abs=0.011) for pause in pauses)
    assert len(chain.looked_at) == 31, "a send is no reason for a lookup"


async def test_nodes_that_are_slow_to_report_a_status_do_not_hold_up_the_next_send() -> None:
    scripted, chain = paced(LANDED)
    chain.sends_per_lookup = 7
    await scripted.settle()
    assert (len(chain.looked_at), len(chain.sent_at)) == (1, 7)
    assert chain.sent_at[-1] == pytest.approx(6 * 0.6, abs=6 * 0.011)


async def test_a_notification_is_followed_by_a_lookup_at_once() -> None:
    scripted, chain = paced(ALIVE, LANDED)
    chain.notified_at = 0.05
    await scripted.settle()
    assert chain.looked_at == pytest.approx([0.0, 0.05])
    assert len(chain.sent_at) == 1


async def test_the_result_has_the_sends_to_each_endpoint_and_the_slots_to_the_landing() -> None:
    scripted, chain = paced(ALIVE, LANDED)
    chain.notified_at = 0.7
    result = await scripted.settle()
    assert [dict(sends) for sends in result.sends] == [
        {
            "endpoint": "accepts.example", "sendOnly": False, "sentAt": "2023-11-14T22:13:20.000Z", "sends": 2,
            "answer": "accepted", "landingSlots": 2, "landingMs": 700,
        },
        {
            "endpoint": "refuses.example", "sendOnly": True, "sentAt": "2023-11-14T22:13:20.000Z", "sends": 2,
            "answer": "refused", "detail": "refuses.example: no", "landingSlots": 2, "landingMs": 700,
        },
    ]  # fmt: skip


async def test_the_last_answers_of_all_endpoints_explain_an_expired_attempt() -> None:
    scripted, chain = paced(EXPIRED)
    chain.refuses_all = True
    result = await scripted.settle()
    assert "accepts.example: no; refuses.example: no" in result.detail
    assert [sends["landingSlots"] for sends in result.sends] == [None, None]


async def test_what_is_in_a_block_is_not_sent_again() -> None:
    seen = FAILED.__class__(code="slippage", detail="moved", fee=5_000, slot=7, finalized=False)
    scripted, chain = paced(*[seen] * 5, LANDED)
    await scripted.settle()
    assert len(chain.sent_at) == 1


async def test_promise_10_a_lease_that_runs_out_between_two_sends_stops_them() -> None:
    scripted, chain = paced(ALIVE)
    with pytest.raises(ClaimLostError):
        await scripted.settle(may_send=lambda: scripted.clock.monotonic() < 1)
    assert max(chain.sent_at) < 1


async def test_promise_10_a_lease_that_runs_out_during_a_slow_lookup_ends_that_too() -> None:
    scripted, chain = paced(ALIVE)
    chain.sends_per_lookup = 1_000
    with pytest.raises(ClaimLostError):
        await scripted.settle(may_send=lambda: scripted.clock.monotonic() < 1)
    assert scripted.clock.monotonic() < 2


async def test_promise_13_after_the_deadline_only_what_was_sent_before_is_sent_again() -> None:
    scripted, chain = paced(*[ALIVE] * 3, LANDED)
    await scripted.settle(deadline=0.1)
    assert len(chain.sent_at) > 1
    resumed, never_sent = paced(*[ALIVE] * 3, EXPIRED)
    result = await resumed.settle(resumed=True, deadline=0)
    assert (never_sent.sent_at, result.sends) == ([], ())


async def test_a_chain_without_slots_has_no_endpoints_in_its_record() -> None:
    result: SettlementResult = await ScriptedSettlement(LANDED, submits=(Unknown("no"),)).settle()
    assert result.sends == ()


async def test_a_cancelled_turn_leaves_no_lookup_behind() -> None:
    scripted, chain = paced(NotSeen(height=1, history=True, node="n"))
    started = asyncio.Event()

    async def hang(signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            started.clear()
        raise AssertionError("unreachable")

    chain.status = hang  # type: ignore[method-assign]
    turn = asyncio.create_task(scripted.settle())
    await started.wait()
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    await asyncio.sleep(0)
    assert not started.is_set()

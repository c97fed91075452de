"""What a swap without progress waits for: reported after a while, and then only when it changes."""

import pytest

from dexexec.domain.pace import Finality, Pace
from dexexec.domain.swap import Accepted, FailedOnChain, NotSeen, SignedSwap, SwapStatus, Unavailable, Unknown
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.settlement.waiting import REPORT_SLOTS, REWORD_AFTER, SOONEST_REPORT, WaitingReporter, waiting_of
from dexexec.testing.clock import ManualClock

SIGNED = SignedSwap(signature="sig", payload=b"bytes", last_valid_height=150)
ALIVE = NotSeen(100, history=False, node="n", slot=130)
NO_HISTORY = Unavailable("n: transaction history is not available from this node")
FAILED = FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=7, finalized=False)


PACE = Pace(0.4, Finality.DELAYED, measured=True)
REPORT_AFTER = PACE.seconds(REPORT_SLOTS)


class Reports:
    """A manual clock, and the reported reasons."""

    def __init__(self, pace: Pace = PACE) -> None:
        self.clock = ManualClock()
        self.reported: list[Waiting] = []
        self.reporter = WaitingReporter(self.clock, self.receive, pace)

    async def receive(self, waiting: Waiting) -> None:
        self.reported.append(waiting)

    async def looks(self, seconds: float, *waiting: Waiting) -> list[Waiting]:
        """The reports when it is checked ten times a second, with each of these results in turn."""
        self.reported = []
        for look in range(round(seconds * 10)):
            self.clock.advance(0.1)
            await self.reporter.report(waiting[look % len(waiting)])
        return self.reported


NODE, OTHER_NODE = Waiting(WaitsFor.NODE, "a is away"), Waiting(WaitsFor.NODE, "b is away")
LANDING = Waiting(WaitsFor.LANDING, "sent")


async def test_nothing_is_reported_of_a_swap_that_lands_soon() -> None:
    assert await Reports().looks(REPORT_AFTER - 0.2, NODE, LANDING) == []


@pytest.mark.parametrize(
    ("slot_seconds", "after"), [(0.6, 0.6 * REPORT_SLOTS), (0.3, 0.3 * REPORT_SLOTS), (0.02, SOONEST_REPORT)]
)
async def test_what_counts_as_soon_follows_the_slots_of_the_chain(slot_seconds: float, after: float) -> None:
    reports = Reports(Pace(slot_seconds, Finality.IMMEDIATE, measured=True))
    assert await reports.looks(after - 0.2, LANDING) == []
    assert await reports.looks(0.3, LANDING) == [LANDING]


async def test_a_reason_is_reported_once_until_it_changes() -> None:
    reports = Reports()
    assert await reports.looks(60, NODE) == [NODE]
    assert await reports.looks(60, LANDING) == [LANDING]
    assert await reports.looks(60, LANDING) == []


async def test_words_and_reasons_that_change_with_every_look_up_are_reported_at_a_bounded_rate() -> None:
    assert len(await Reports().looks(60, NODE, OTHER_NODE)) <= 60 / REWORD_AFTER + 1
    assert len(await Reports().looks(60, NODE, LANDING, OTHER_NODE)) <= 60 / REPORT_AFTER + 1


@pytest.mark.parametrize(
    ("status", "searched", "reason", "words"),
    [
        (ALIVE, False, WaitsFor.LANDING, "may land until block height 150"),
        (Unavailable("all nodes are away"), False, WaitsFor.NODE, "all nodes are away"),
        (NO_HISTORY, True, WaitsFor.PROOF, "history is not available"),
        (
            NO_HISTORY,
            True,
            WaitsFor.PROOF,
            "At least one node of SOLANA_RPC_URL must keep the transactions of the last hours",
        ),
        (
            NotSeen(140, history=True, node="slow", slot=170),
            True,
            WaitsFor.PROOF,
            "according to slow it may still land",
        ),
        (FAILED, False, WaitsFor.FINALITY, "slot 7, which is not final yet: moved"),
    ],
)
def test_the_reason_follows_from_the_last_look_up(
    status: SwapStatus, searched: bool, reason: WaitsFor, words: str
) -> None:
    waiting = waiting_of(SIGNED, status, Accepted(), searched=searched)
    assert waiting.reason is reason
    assert words in waiting.detail


@pytest.mark.parametrize("status", [ALIVE, Unavailable("all nodes are away")])
def test_the_answer_to_the_last_send_is_quoted(status: SwapStatus) -> None:
    assert "-32002" in waiting_of(SIGNED, status, Unknown("n: no (-32002)"), searched=False).detail
    assert "answered" not in waiting_of(SIGNED, status, Accepted(), searched=False).detail


def test_a_swap_that_this_turn_did_not_send_is_not_called_sent() -> None:
    assert "may have been sent before" in waiting_of(SIGNED, ALIVE, None, searched=False).detail

"""The reason that a stalled swap shows for waiting: after a while, and then only changes."""

import pytest

from dexexec.domain.swap import Accepted, FailedOnChain, NotSeen, SignedSwap, SwapStatus, Unavailable, Unknown
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.settlement.stalled import REWORDED, STANDS_STILL, StandStill, waiting_of
from dexexec.testing.clock import ManualClock

SIGNED = SignedSwap(signature="sig", payload=b"bytes", last_valid_height=150)
ALIVE = NotSeen(100, history=False, node="n", slot=130)
NO_HISTORY = Unavailable("n: transaction history is not available from this node")
FAILED = FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=7, finalized=False)


class Heard:
    """A manual clock, and the reported reasons."""

    def __init__(self) -> None:
        self.clock, self.told = ManualClock(), list[Waiting]()
        self.standing = StandStill(self.clock, self.tell)

    async def tell(self, waiting: Waiting) -> None:
        self.told.append(waiting)

    async def looks(self, seconds: float, *waiting: Waiting) -> list[Waiting]:
        """The reports when it is checked ten times a second, with each of these results in turn."""
        self.told = []
        for look in range(round(seconds * 10)):
            self.clock.advance(0.1)
            await self.standing.at(waiting[look % len(waiting)])
        return self.told


NODE, OTHER_NODE = Waiting(WaitsFor.NODE, "a is away"), Waiting(WaitsFor.NODE, "b is away")
LANDING = Waiting(WaitsFor.LANDING, "sent")


async def test_a_swap_that_lands_soon_is_not_spoken_of() -> None:
    assert await Heard().looks(STANDS_STILL - 0.2, NODE, LANDING) == []


async def test_what_a_swap_waits_for_is_told_once_until_it_changes() -> None:
    heard = Heard()
    assert await heard.looks(60, NODE) == [NODE]
    assert await heard.looks(60, LANDING) == [LANDING]
    assert await heard.looks(60, LANDING) == []


async def test_words_and_reasons_that_change_with_every_look_are_told_at_a_bounded_rate() -> None:
    assert len(await Heard().looks(60, NODE, OTHER_NODE)) <= 60 / REWORDED + 1
    assert len(await Heard().looks(60, NODE, LANDING, OTHER_NODE)) <= 60 / STANDS_STILL + 1


@pytest.mark.parametrize(
    ("status", "searched", "reason", "words"),
    [
        (ALIVE, False, WaitsFor.LANDING, "may land until block height 150"),
        (Unavailable("all nodes are away"), False, WaitsFor.NODE, "all nodes are away"),
        (NO_HISTORY, True, WaitsFor.PROOF, "history is not available"),
        (NO_HISTORY, True, WaitsFor.PROOF, "One node of SOLANA_RPC_URL must keep the transactions of the last hours"),
        (NotSeen(140, history=True, node="slow", slot=170), True, WaitsFor.PROOF, "by slow it may still land"),
        (FAILED, False, WaitsFor.FINALITY, "slot 7, which is not final yet: moved"),
    ],
)
def test_the_reason_is_what_the_last_look_lacked(
    status: SwapStatus, searched: bool, reason: WaitsFor, words: str
) -> None:
    waiting = waiting_of(SIGNED, status, Accepted(), searched=searched)
    assert waiting.reason is reason
    assert words in waiting.detail


@pytest.mark.parametrize("status", [ALIVE, Unavailable("all nodes are away")])
def test_what_the_last_send_was_answered_is_told(status: SwapStatus) -> None:
    assert "-32002" in waiting_of(SIGNED, status, Unknown("n: no (-32002)"), searched=False).detail
    assert "answered" not in waiting_of(SIGNED, status, Accepted(), searched=False).detail


def test_a_swap_that_this_worker_did_not_send_is_not_called_sent() -> None:
    assert "may have been sent before" in waiting_of(SIGNED, ALIVE, None, searched=False).detail

"""What a swap waits for while its outcome is open, in words for people. Nothing here decides anything."""

from collections.abc import Awaitable, Callable

from dexexec.clock import Clock
from dexexec.domain.pace import Pace
from dexexec.domain.swap import (
    FailedOnChain,
    Landed,
    NotSeen,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
)
from dexexec.domain.wait_reason import Waiting, WaitsFor

REPORT_SLOTS = 5
"""Slots without progress, or with another reason, before a reason is reported: most swaps land sooner."""
SOONEST_REPORT = 1.0
"""Seconds; never sooner, however short the slots are."""
REWORD_AFTER = 10.0
"""Seconds before other words for the same reason are reported: the answers of nodes may change with every lookup."""

GONE = "it is missing from the recent statuses of one node, but no node proves that it can no longer land"
ADVICE = "At least one node of SOLANA_RPC_URL must keep the transactions of the last hours: add one if none does"

WaitingCallback = Callable[[Waiting], Awaitable[None]]
"""Receives what a swap waits for."""


async def ignore_waiting(_: Waiting) -> None:
    """Does nothing: for a caller that does not show what a swap waits for."""


class WaitingReporter:
    """Reports what one swap waits for: after a while without progress, and from then on only what changed. `pace` is
    that of its chain."""

    def __init__(self, clock: Clock, callback: WaitingCallback, pace: Pace) -> None:
        self._clock = clock
        self._report_after = max(SOONEST_REPORT, pace.seconds(REPORT_SLOTS))
        self._callback = callback
        self._reported: Waiting | None = None
        self._reported_at = clock.monotonic()

    async def report(self, waiting: Waiting) -> None:
        """Takes the reason of the last lookup, and passes it on if it is new and due."""
        now = self._clock.monotonic()
        # Each report is a write to Postgres. The two delays bound their rate when reasons alternate.
        reworded = self._reported is not None and self._reported.reason is waiting.reason
        delay = REWORD_AFTER if reworded else self._report_after
        if waiting == self._reported or now - self._reported_at < delay:
            return
        self._reported = waiting
        self._reported_at = now
        await self._callback(waiting)


def waiting_of(signed: SignedSwap, status: SwapStatus, answer: SubmitAnswer | None, *, searched: bool) -> Waiting:
    """Returns what the swap waits for. `answer` is the answer to the last send, None if this turn sent nothing.
    `searched` means that the whole history was searched, because recent statuses show the swap as expired."""
    refused = f"; the last send was answered: {answer.detail}" if isinstance(answer, Unknown) else ""
    match status:
        case Landed(slot=slot):
            return Waiting(WaitsFor.FINALITY, f"it landed in slot {slot}, which is not final yet")
        case FailedOnChain(detail=detail, slot=slot):
            return Waiting(WaitsFor.FINALITY, f"it failed in slot {slot}, which is not final yet: {detail}")
        case Unavailable(detail) if searched:
            return Waiting(WaitsFor.PROOF, f"{GONE}: {detail}. {ADVICE}")
        case Unavailable(detail):
            return Waiting(WaitsFor.NODE, f"no node reports its status: {detail}{refused}")
        case NotSeen(node=node) if searched:
            return Waiting(WaitsFor.PROOF, f"{GONE}: according to {node} it may still land. {ADVICE}")
        case _:
            sent = "it was sent" if answer else "it may have been sent before, and is no longer sent"
            until = f"it may land until block height {signed.last_valid_height}"
            return Waiting(WaitsFor.LANDING, f"{sent}, and no node has seen it yet; {until}{refused}")

"""What a swap waits for while its fate is open, in words for people. Nothing here decides anything."""

from collections.abc import Awaitable, Callable

from dexexec.clock import Clock
from dexexec.domain.swap import FailedOnChain, NotSeen, SignedSwap, SubmitAnswer, SwapStatus, Unavailable, Unknown
from dexexec.domain.wait_reason import Waiting, WaitsFor

STANDS_STILL = 2.0
"""Seconds without progress, or with another reason for it, before that is told: most swaps land sooner."""
REWORDED = 10.0
"""Seconds before other words for the same reason are told: nodes' answers may change with every look."""

GONE = "by the recent statuses of one node it is gone, and no node proves that"
ADVICE = "One node of SOLANA_RPC_URL must keep the transactions of the last hours: add one if none does"

Tell = Callable[[Waiting], Awaitable[None]]


async def untold(_: Waiting) -> None:
    """For who needs not know."""


class StandStill:
    """Tells what one swap waits for: when it has waited for a while, and then only what has changed."""

    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock, self._tell = clock, tell
        self._told: Waiting | None = None
        self._told_at = clock.monotonic()

    async def at(self, waiting: Waiting) -> None:
        """The swap has been looked up, and waits for this."""
        now = self._clock.monotonic()
        reworded = self._told is not None and self._told.reason is waiting.reason
        if waiting == self._told or now - self._told_at < (REWORDED if reworded else STANDS_STILL):
            return
        self._told, self._told_at = waiting, now
        await self._tell(waiting)


def waiting_of(signed: SignedSwap, status: SwapStatus, answer: SubmitAnswer | None, *, searched: bool) -> Waiting:
    """What the swap waits for by the last look. `answer` is that to the last send, None where there was none;
    `searched`: the whole history was searched, as by the recent statuses it is gone."""
    refused = f"; the last send was answered: {answer.detail}" if isinstance(answer, Unknown) else ""
    match status:
        case FailedOnChain(code=_, detail=detail, fee=_, slot=slot):
            return Waiting(WaitsFor.FINALITY, f"it failed in slot {slot}, which is not final yet: {detail}")
        case Unavailable(detail) if searched:
            return Waiting(WaitsFor.PROOF, f"{GONE}: {detail}. {ADVICE}")
        case Unavailable(detail):
            return Waiting(WaitsFor.NODE, f"no node says what became of it: {detail}{refused}")
        case NotSeen(_, _, node) if searched:
            return Waiting(WaitsFor.PROOF, f"{GONE}: by {node} it may still land. {ADVICE}")
        case _:
            sent = "it was sent" if answer else "it may have been sent before, and is not sent any more"
            until = f"it may land until block height {signed.last_valid_height}"
            return Waiting(WaitsFor.LANDING, f"{sent}, and no node has seen it yet; {until}{refused}")

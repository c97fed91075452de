"""Sends one recorded attempt, and looks it up until its outcome is proven or the swap is confirmed.

It runs after the record has the signed bytes, and before the result is recorded. Sending the same bytes again is
harmless: they are one transaction, which lands at most once. So a worker that resumes an attempt after a crash does
the same as the one that began it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.pace import Pace
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, SwapStatus
from dexexec.failpoints import Failpoints
from dexexec.observe.observer import Observer
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.attempt_lookup import AttemptLookup, AttemptView
from dexexec.settlement.attempt_result import result_of, unsent
from dexexec.settlement.attempt_sender import AttemptSender
from dexexec.settlement.backoff import FIRST_PAUSE, LookupPauses
from dexexec.settlement.waiting import WaitingCallback, WaitingReporter, waiting_of
from dexexec.venue import Chain, NotifyingChain, PacedChain, pace_of

LONGEST_WAIT_SLOTS = 5
"""Slots between two lookups at most, on a chain that sends notifications: one can get lost."""
FINAL_SLOTS = 10
"""Slots for which a landed swap is looked up on until it is final, where that should be at once. Then it is recorded as
confirmed only, and followed as where finality takes time: nodes may be wrong about their cluster."""
TIMER_ERROR = 0.001
"""Seconds by which a timer may fire too early."""


class AttemptSettler:
    """Settles one attempt. `may_send` returns whether this worker still holds its lease; `on_waiting` receives what the
    swap waits for when it makes no progress."""

    def __init__(
        self,
        attempt: PendingAttempt,
        *,
        chain: Chain,
        lookup: AttemptLookup,
        clock: Clock,
        observer: Observer,
        may_send: Callable[[], bool],
        on_waiting: WaitingCallback,
        failpoints: Failpoints,
    ) -> None:
        self._attempt = attempt
        self._chain = chain
        self._lookup = lookup
        self._clock = clock
        self._observer = observer
        self._on_waiting = on_waiting
        self._pauses = LookupPauses(lambda: pace_of(chain).slot_seconds)
        self._landed_at: float | None = None
        self._sender = AttemptSender(
            attempt.signed, chain=chain, clock=clock, observer=observer, may_send=may_send, failpoints=failpoints
        )

    async def run(self) -> SettlementResult:
        """Returns the result, however long it takes. Raises `ClaimLostError` when the lease ran out before a send."""
        late = self._clock.monotonic() >= self._attempt.deadline
        if late and not self._attempt.resumed:
            return unsent()
        overtaken = await self._overtaken()
        # Past the deadline, bytes that may never have been sent are only looked up, until they are proven expired.
        if not late and not overtaken:
            await self._sender.send()
            self._sender.repeats = True
        reporter = WaitingReporter(self._clock, self._on_waiting, pace_of(self._chain))
        while True:
            view = await self._view()
            answer = self._sender.answer
            result = result_of(self._attempt, view.status, self._sender.count, answer, self._observer)
            if result is not None and not self._soon_final(view.status):
                sends = self._sender.record(view.status)
                self._observer.metrics.attempt_sent(sends, landed=isinstance(view.status, Landed | FailedOnChain))
                return replace(result, earlier=view.earlier, sends=sends)
            await reporter.report(waiting_of(self._attempt.signed, view.status, answer, searched=view.searched))
            self._sender.repeats = self._may_resend(view)
            await self._wait(view.status)

    def _soon_final(self, status: SwapStatus) -> bool:
        """Whether the swap landed just now on a chain where that is final at once, and is not final yet."""
        if not isinstance(status, Landed) or status.finalized:
            self._landed_at = None
            return False
        now = self._clock.monotonic()
        if self._landed_at is None:
            self._landed_at = now
        pace = pace_of(self._chain)
        return pace.final_at_once and now - self._landed_at < pace.seconds(FINAL_SLOTS)

    async def _overtaken(self) -> bool:
        """Whether an earlier attempt of the order landed while no worker held it, as after a crash.

        Without a crash there is no need to look: the worker that signed this attempt had just proven the others gone.
        """
        if not self._attempt.resumed or not self._attempt.earlier_signatures:
            return False
        return bool((await self._lookup.view()).earlier)

    def _may_resend(self, view: AttemptView) -> bool:
        # A turn that sent nothing was too late or overtaken. A transaction that is in a block, even without effect,
        # needs no further send. Next to an earlier attempt that landed, this one would be a second swap.
        return self._sender.count > 0 and not isinstance(view.status, FailedOnChain | Landed) and not view.earlier

    async def _view(self) -> AttemptView:
        """Looks the attempt up. Nodes that are slow to answer do not hold up the next send of the bytes."""
        if not self._sender.repeats or not isinstance(self._chain, PacedChain):
            return await self._lookup.view()
        lookup = asyncio.ensure_future(self._lookup.view())
        try:
            # One that is answered at once needs no timer.
            await asyncio.sleep(0)
            while not lookup.done():
                pause = asyncio.ensure_future(self._clock.sleep(max(self._sender.seconds_to_next, FIRST_PAUSE)))
                try:
                    await asyncio.wait({lookup, pause}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    pause.cancel()
                if not lookup.done():
                    await self._sender.send_if_due()
            return lookup.result()
        finally:
            # When the lease ran out during a send: nothing waits for this answer any more.
            lookup.cancel()

    async def _wait(self, status: SwapStatus) -> None:
        """Waits until the next lookup is due: after a growing pause, or when the chain sends a notification. The bytes
        are sent again meanwhile."""
        if not isinstance(self._chain, NotifyingChain):
            await self._clock.sleep(self._pauses.next())
            raise_if_cancelled()
            await self._sender.send_if_due()
            return
        wait = longest_wait(pace_of(self._chain), self._attempt.signed.last_valid_height, status)
        until = self._clock.monotonic() + wait
        while (left := until - self._clock.monotonic()) > TIMER_ERROR:
            # Never zero: a send that is due already would otherwise turn this loop into a busy one.
            seconds = min(left, max(self._sender.seconds_to_next, FIRST_PAUSE))
            ends = self._clock.monotonic() + seconds
            await self._chain.wait_for_notification(self._attempt.signed.signature, seconds)
            raise_if_cancelled()
            # A timer may fire a moment early, which is no notification.
            notified = self._clock.monotonic() < ends - TIMER_ERROR
            await self._sender.send_if_due()
            # A send is no reason for a lookup: nothing can have happened since the last one that was not notified.
            if notified:
                return


def longest_wait(pace: Pace, last_valid_height: int, status: SwapStatus) -> float:
    """Seconds until the next lookup at most, after one that returned `status`.

    No notification comes when a swap can no longer land. So towards the last valid height the lookups follow the
    blocks, and its proof is not later than it has to be: another attempt waits for it.
    """
    left = last_valid_height + 1 - status.height if isinstance(status, NotSeen) else 0
    return pace.seconds(min(left, LONGEST_WAIT_SLOTS) if left > 0 else LONGEST_WAIT_SLOTS)

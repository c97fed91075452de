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
from dexexec.domain.stage import Stage
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, SubmitAnswer, SwapStatus, Unknown
from dexexec.errors import ClaimLostError
from dexexec.failpoints import Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.attempt_lookup import AttemptLookup, AttemptView
from dexexec.settlement.attempt_result import result_of, unsent
from dexexec.settlement.backoff import FIRST_PAUSE, LookupPauses
from dexexec.settlement.status_lookup import CALL_TIMEOUT
from dexexec.settlement.waiting import WaitingCallback, WaitingReporter, waiting_of
from dexexec.venue import Chain, NotifyingChain, pace_of

LONGEST_WAIT_SLOTS = 5
"""Slots between two lookups at most, on a chain that sends notifications: one can get lost."""
FINAL_SLOTS = 10
"""Slots for which a landed swap is looked up on until it is final, where that should be at once. Then it is recorded as
confirmed only, and followed as where finality takes time: nodes may be wrong about their cluster."""
RESEND_AFTER = 2.0
"""Seconds between two sends of the same bytes."""


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
        self._may_send = may_send
        self._on_waiting = on_waiting
        self._failpoints = failpoints
        self._pauses = LookupPauses(lambda: pace_of(chain).slot_seconds)
        self._landed_at: float | None = None
        self._sends = 0
        self._last_answer: SubmitAnswer | None = None

    async def run(self) -> SettlementResult:
        """Returns the result, however long it takes. Raises `ClaimLostError` when the lease ran out before a send."""
        late = self._clock.monotonic() >= self._attempt.deadline
        if late and not self._attempt.resumed:
            return unsent()
        sent_at = self._clock.monotonic()
        overtaken = await self._overtaken()
        # Past the deadline, bytes that may never have been sent are only looked up, until they are proven expired.
        if not late and not overtaken:
            await self._send()
        reporter = WaitingReporter(self._clock, self._on_waiting, pace_of(self._chain))
        while True:
            view = await self._lookup.view()
            result = result_of(self._attempt, view.status, self._sends, self._last_answer, self._observer)
            if result is not None and not self._soon_final(view.status):
                return replace(result, earlier=view.earlier)
            waiting = waiting_of(self._attempt.signed, view.status, self._last_answer, searched=view.searched)
            await reporter.report(waiting)
            may_resend = self._may_resend(view)
            await self._wait(view.status, resend_at=sent_at + RESEND_AFTER if may_resend else None)
            raise_if_cancelled()
            # Nodes and validators drop transactions under load. Only another send gives the same bytes another chance
            # before their blockhash expires, and it cannot make a second swap of them.
            if may_resend and self._clock.monotonic() - sent_at >= RESEND_AFTER:
                await self._send()
                sent_at = self._clock.monotonic()

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
        return self._sends > 0 and not isinstance(view.status, FailedOnChain | Landed) and not view.earlier

    async def _wait(self, status: SwapStatus, *, resend_at: float | None) -> None:
        """Waits until the next lookup is due: after a growing pause, or when the chain sends a notification."""
        if not isinstance(self._chain, NotifyingChain):
            await self._clock.sleep(self._pauses.next())
            return
        left = longest_wait(pace_of(self._chain), self._attempt.signed.last_valid_height, status)
        if resend_at is not None:
            left = min(left, resend_at - self._clock.monotonic())
        # Never zero: a resend that is due already would otherwise turn this loop into a busy one.
        seconds = max(left, FIRST_PAUSE)
        await self._chain.wait_for_notification(self._attempt.signed.signature, seconds)

    async def _send(self) -> None:
        # Checked right before the send, not once at the start: the lease may run out while this attempt waits, and
        # then another worker may already have ended the order.
        if not self._may_send():
            raise ClaimLostError("the lease ran out: nothing more is sent")
        await self._failpoints.reach(Failpoint.SENDING)
        self._last_answer = await self._submit()
        self._sends += 1
        await self._failpoints.reach(Failpoint.SENT)

    async def _submit(self) -> SubmitAnswer:
        signed = self._attempt.signed
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return await self._chain.submit(signed)
        except TimeoutError:
            return Unknown("no answer in time")
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the swap may be on its way
            self._observer.settlement_failed(signed.network, signed.signature, error)
            return Unknown("sending failed")
        finally:
            now = self._clock.monotonic()
            self._observer.metrics.stage_ended(Stage.SENDING, now - begun)
            self._observer.tracer.stage(Stage.SENDING, begun, now)


def longest_wait(pace: Pace, last_valid_height: int, status: SwapStatus) -> float:
    """Seconds until the next lookup at most, after one that returned `status`.

    No notification comes when a swap can no longer land. So towards the last valid height the lookups follow the
    blocks, and its proof is not later than it has to be: another attempt waits for it.
    """
    left = last_valid_height + 1 - status.height if isinstance(status, NotSeen) else 0
    return pace.seconds(min(left, LONGEST_WAIT_SLOTS) if left > 0 else LONGEST_WAIT_SLOTS)

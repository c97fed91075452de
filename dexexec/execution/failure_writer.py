"""Writes what follows a round without a fill: when the next round begins, or that the order failed or expired."""

import random
from dataclasses import replace

from dexexec.clock import Clock
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import Order
from dexexec.domain.status import Trigger
from dexexec.domain.terms import OrderType
from dexexec.domain.wait_reason import WaitsFor
from dexexec.execution.job import Job, RetryAfter
from dexexec.execution.retry_policy import MAX_DOUBLINGS, FailedRound, Retry, RetryPolicy, fit_before_deadline
from dexexec.execution.step_writer import Events, StepWriter
from dexexec.observe.observer import Observer
from dexexec.store import Resolution

TOO_LATE = FailedRound(
    reason=FailureReason.DEADLINE, detail="the deadline passed before anything was sent", retry=Retry.NEVER
)
FIRST_QUIET_MS = 1_000
LONGEST_QUIET_MS = 60_000
"""How long a limit order is not triggered again after a round without a fill (milliseconds). It doubles each time, so
that a price beside the limit does not keep a worker busy."""
ENDED = "ended"
"""The span of the commit that ends an order."""
CUT_SHORT_BY_DEADLINE = frozenset({FailureReason.DEADLINE, FailureReason.QUOTE_EXPIRED, FailureReason.TIMEOUT})
"""Reasons that may be an effect of the order's own deadline."""


def _may_change(order: Order, failed: FailedRound) -> bool:
    """Whether a refusal of every venue may come to an end for an order that has the time to wait for it."""
    # It was triggered by a quote that it could accept, so the pools have become smaller since: in a crash they do, just
    # when a stop is reached. A sniper's next pool may also be of another kind.
    of_pools = {FailureReason.PRICE_IMPACT}
    if order.type is OrderType.SNIPER:
        of_pools.add(FailureReason.UNSUPPORTED)
    return failed.reason in of_pools


class FailureWriter:
    """Ends rounds and orders without a fill, as `retry_policy` allows."""

    def __init__(
        self, steps: StepWriter, retry_policy: RetryPolicy, clock: Clock, observer: Observer, rng: random.Random
    ) -> None:
        self._steps = steps
        self._retry_policy = retry_policy
        self._clock = clock
        self._observer = observer
        self._rng = rng

    async def retry_or_end(
        self, job: Job, failed: FailedRound, resolution: Resolution | None = None
    ) -> RetryAfter | None:
        """Schedule the next round. Fail the order when another round cannot help or it had enough of them; expire it
        at its deadline. `resolution` is of the attempt that was signed in this round."""
        if failed.retry is not Retry.NEVER and job.order.single_try:
            once = replace(failed, detail=f"it is tried once, and could not be filled: {failed.detail}")
            await self._end(job, Trigger.EXPIRE, once, resolution)
            return None
        if (
            job.order.rests
            and not job.order.single_try
            and (failed.retry is not Retry.NEVER or _may_change(job.order, failed))
        ):
            return await self._wait_for_price(job, failed, resolution)
        signed = resolution is not None
        refusals = 1 if failed.retry is Retry.FEW_TIMES and not signed else 0
        job.refusals += refusals
        if self._retry_policy.is_exhausted(
            failed, signed=signed, rounds=job.rounds, attempts=job.attempts, refusals=job.refusals
        ):
            await self.fail(job, failed, resolution)
            return None
        left_ms = (job.deadline - self._clock.monotonic()) * 1000
        if left_ms <= 0 or failed.reason == FailureReason.DEADLINE:
            await self.expire(job, failed, resolution)
            return None
        pause_ms = self._retry_policy.pause_ms(job.rounds, self._rng, failed.breakers_open_ms)
        pause_ms = fit_before_deadline(pause_ms, left_ms)
        detail = {
            **(failed.quotes or {}),
            **failed.attempt,
            "reason": failed.reason,
            "detail": failed.detail,
            "retryInMs": round(pause_ms),
            "triesLeft": self._retry_policy.attempts - max(job.attempts, job.refusals),
        }
        await self._steps.write(
            job,
            ((Trigger.ROUTE, detail),),
            resolution=resolution,
            rounds=1 if failed.quotes else 0,
            refusals=refusals,
            resume_in_ms=pause_ms,
        )
        self._observer.order_retry_scheduled(job.order.id, failed.reason, failed.detail, job.rounds, pause_ms)
        return RetryAfter(pause_ms)

    async def _wait_for_price(self, job: Job, failed: FailedRound, resolution: Resolution | None) -> RetryAfter | None:
        """Let an order with a limit rest until its price is reached again, and a sniper until its conditions hold; try
        a stop that was reached again soon. None has a number of rounds: they end at their expiry."""
        left_ms = (job.deadline - self._clock.monotonic()) * 1000
        if left_ms <= 0:
            await self.expire(job, failed, resolution)
            return None
        detail: dict[str, object] = {**failed.attempt, "reason": failed.reason, "detail": failed.detail}
        is_sniper = job.order.type is OrderType.SNIPER
        if not job.order.has_limit and not is_sniper:
            pause_ms = self._retry_policy.pause_ms(job.rounds, self._rng, failed.breakers_open_ms)
            pause_ms = fit_before_deadline(pause_ms, left_ms)
            detail = {**(failed.quotes or {}), **detail, "retryInMs": round(pause_ms)}
            # Its next bound comes from the price of the next round: one from this round's price would keep a stop from
            # being executed in the very drop that it is for.
            await self._steps.write(
                job,
                ((Trigger.ROUTE, detail),),
                resolution=resolution,
                rounds=1 if failed.quotes else 0,
                resume_in_ms=pause_ms,
                unbind=True,
            )
            self._observer.order_retry_scheduled(job.order.id, failed.reason, failed.detail, job.rounds, pause_ms)
            return RetryAfter(pause_ms)
        quiet_ms = min(FIRST_QUIET_MS * 2 ** min(job.order.rested, MAX_DOUBLINGS), LONGEST_QUIET_MS)
        detail |= {"waitsFor": WaitsFor.LAUNCH if is_sniper else WaitsFor.PRICE, "quietMs": quiet_ms}
        events: Events = ((Trigger.WAIT, detail),)
        if failed.quotes:
            events = ((Trigger.ROUTE, failed.quotes), *events)
        # A sniper's next bound comes from the pool and the price of its next trigger, as a stop's from its next round.
        await self._steps.write(
            job,
            events,
            resolution=resolution,
            rounds=1 if failed.quotes else 0,
            rest_ms=float(quiet_ms),
            unbind=is_sniper,
        )
        self._observer.order_rests(job.order.id, failed.reason, quiet_ms)
        return None

    async def expire(self, job: Job, failed: FailedRound, resolution: Resolution | None = None) -> None:
        """End the order at its deadline, with the reason that kept it from being filled."""
        reason, detail = failed.reason, failed.detail
        # When the deadline itself cut this round short, the reason of the round before is the one to report.
        if job.cause is not None and failed.reason in CUT_SHORT_BY_DEADLINE:
            reason, detail = job.cause
        if reason != FailureReason.DEADLINE:
            detail = f"the deadline passed, and the order could not be filled before: {detail}"
        await self._end(job, Trigger.EXPIRE, replace(failed, reason=reason, detail=detail), resolution)

    async def fail(self, job: Job, failed: FailedRound, resolution: Resolution | None = None) -> None:
        """End the order before its deadline."""
        await self._end(job, Trigger.FAIL, failed, resolution)

    async def _end(self, job: Job, trigger: Trigger, failed: FailedRound, resolution: Resolution | None) -> None:
        detail: Detail = {**failed.attempt, "reason": failed.reason, "detail": failed.detail}
        events: Events = ((trigger, detail),)
        if failed.quotes:
            events = ((Trigger.ROUTE, failed.quotes), *events)
        begun = self._clock.monotonic()
        await self._steps.write(
            job, events, reason=failed.reason, resolution=resolution, rounds=1 if failed.quotes else 0
        )
        status = job.status.value
        self._observer.tracer.stage(ENDED, begun, self._clock.monotonic(), error=failed.reason, status=status)

"""Lets an order wait while signing is halted for its key or for all. It keeps its deadline."""

import random
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.halt import Halt
from dexexec.domain.status import Trigger
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.execution.job import Job, RetryAfter
from dexexec.execution.retry_policy import fit_before_deadline
from dexexec.execution.step_writer import StepWriter
from dexexec.observe.observer import Observer
from dexexec.store import Release, Store

LONGEST_PAUSE_MS = 30_000.0
"""How often a waiting order looks whether it may go on. The command that ends the halt makes them due in two
seconds."""


class Halts(Protocol):
    """The part of `dexexec.feed.halt_watch.HaltWatch` that is used here."""

    def of(self, owner: int | None) -> Halt | None:
        """The halt that covers orders of `owner`, as of a second ago."""


class HaltedOrders:
    """Gives orders back that may not be signed now."""

    def __init__(
        self, *, halts: Halts, store: Store, steps: StepWriter, clock: Clock, observer: Observer, rng: random.Random
    ) -> None:
        self._halts = halts
        self._store = store
        self._steps = steps
        self._clock = clock
        self._observer = observer
        self._rng = rng

    def halt_of(self, job: Job) -> Halt | None:
        """The halt that keeps the order from being executed; None if none does. A dry run signs nothing."""
        return None if job.dry else self._halts.of(job.order.owner)

    async def wait(self, job: Job, halt: Halt) -> RetryAfter:
        """Give the order back, with one event for the whole halt."""
        # At its deadline it must be taken up once more, to expire.
        left_ms = max(0.0, (job.deadline - self._clock.monotonic()) * 1000)
        # The random part keeps the orders of a long halt from being looked at together.
        pause_ms = fit_before_deadline(LONGEST_PAUSE_MS * self._rng.uniform(0.5, 1), left_ms)
        # Its last event has reported this halt already: another one each time would fill its history.
        if job.cause is not None and job.cause == (FailureReason.HALTED, halt.detail):
            release = Release(order_id=job.order.id, claim=job.order.claim, blame=False, resume_in_ms=pause_ms)
            await self._store.release(release)
            return RetryAfter(pause_ms)
        detail = {"reason": FailureReason.HALTED, "detail": halt.detail, "waitsFor": WaitsFor.HALT}
        await self._steps.write(job, ((Trigger.WAIT, detail),), resume_in_ms=pause_ms)
        self._observer.order_waiting(job.order.id, Waiting(WaitsFor.HALT, halt.detail))
        return RetryAfter(pause_ms)

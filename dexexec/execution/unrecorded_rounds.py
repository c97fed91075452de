"""Rounds that end since their attempt may not be signed or recorded now. No venue is at fault, and none is blamed."""

from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.errors import FundsReservedError, GroupHeldError
from dexexec.execution.event_detail import Presenter
from dexexec.execution.failure_writer import FailureWriter
from dexexec.execution.halted_orders import HaltedOrders
from dexexec.execution.job import Job, RetryAfter
from dexexec.execution.retry_policy import FailedRound, Retry, group_held, no_signature, policy_broken
from dexexec.execution.wait_notes import WaitNotes
from dexexec.observe.observer import Observer
from dexexec.operator_errors import HaltedError, PolicyError
from dexexec.settlement.signer_errors import SignerError

NotRecorded = SignerError | FundsReservedError | GroupHeldError | HaltedError | PolicyError
NOT_RECORDED = (SignerError, FundsReservedError, GroupHeldError, HaltedError, PolicyError)
"""Why an attempt was not recorded, although a venue could build it."""


class UnrecordedRounds:
    """Lets such orders wait, or end."""

    def __init__(
        self,
        *,
        failures: FailureWriter,
        halted: HaltedOrders,
        notes: WaitNotes,
        presenter: Presenter,
        observer: Observer,
    ) -> None:
        self._failures = failures
        self._halted = halted
        self._notes = notes
        self._presenter = presenter
        self._observer = observer

    async def wait(self, job: Job, error: NotRecorded) -> RetryAfter | None:
        """Let the order wait, or end, when it may not be signed or recorded now. No venue is blamed."""
        match error:
            case HaltedError():
                return await self._halted.wait(job, error.halt)
            case SignerError():
                return await self.wait_for_signer(job, no_signature(error))
            case GroupHeldError():
                return await self._failures.retry_or_end(job, group_held(error.held.detail))
            case PolicyError():
                for breach in error.breaches:
                    self._observer.metrics.policy_refused(breach.policy)
                return await self._failures.retry_or_end(job, policy_broken(error))
            case FundsReservedError():
                return await self._failures.retry_or_end(job, self._outrun(error))

    async def wait_for_signer(self, job: Job, failed: FailedRound) -> RetryAfter | None:
        """Let the order wait until the signer of its wallet answers. No venue is blamed."""
        waits = await self._failures.retry_or_end(job, failed)
        if waits is not None:
            # After the step, which removes what the order waited for before.
            await self._notes.report(job, Waiting(WaitsFor.SIGNER, failed.detail))
        return waits

    def _outrun(self, error: FundsReservedError) -> FailedRound:
        """The round of an order for a share of the balance, of which another order took some since it was read."""
        return FailedRound(
            reason=FailureReason.INSUFFICIENT_FUNDS,
            detail=self._presenter.shortfall(error.shortfall),
            retry=Retry.UNTIL_DEADLINE,
        )

"""Writes the steps of an order: the only place where its status changes."""

from dexexec.domain.event import Detail
from dexexec.domain.handout import Handout, client_address
from dexexec.domain.quote import Fill
from dexexec.domain.status import NEEDS_PROOF, IllegalTransitionError, Status, Trigger, advance, ends
from dexexec.errors import ClaimLostError
from dexexec.execution.job import Job
from dexexec.store import NewAttempt, Resolution, Step, Store

Events = tuple[tuple[Trigger, Detail], ...]


class StepWriter:
    """Writes steps to `store`, each under its job's claim."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(
        self,
        job: Job,
        events: Events,
        *,
        venue: str | None = None,
        reason: str | None = None,
        fill: Fill | None = None,
        rounds: int = 0,
        refusals: int = 0,
        attempt: NewAttempt | None = None,
        resolution: Resolution | None = None,
        resume_in_ms: float | None = None,
        rest_ms: float | None = None,
        unbind: bool = False,
        corrections: tuple[Resolution, ...] = (),
        tx_hash: str | None = None,
        handout: Handout | None = None,
    ) -> None:
        """Write one step, with a status for each event. Raises `ClaimLostError`, `IllegalTransitionError`, and for
        an attempt `FundsReservedError`, `GroupHeldError` and `HaltedError`."""
        status = job.status
        steps: list[tuple[Status, Detail]] = []
        resolutions = (*corrections, resolution) if resolution else corrections
        proven = any(each.outcome is not None for each in resolutions)
        for trigger, detail in events:
            # A transaction that was sent may still land. Without a proof of its outcome, nothing else may follow it:
            # the order would be swapped twice.
            if status in {Status.SUBMITTED, Status.CONFIRMED} and trigger in NEEDS_PROOF and not proven:
                raise IllegalTransitionError(status, trigger)
            status = advance(status, trigger)
            # In every event, so that a client which sees only some of them takes none for that of a real order.
            steps.append((status, {**detail, "dryRun": True} if job.dry else detail))
        step = Step(
            order_id=job.order.id,
            claim=job.order.claim,
            version=job.version,
            events=tuple(steps),
            final=ends(status, finalized=proven),
            venue=venue,
            reason=reason,
            fill=fill,
            rounds=rounds,
            attempt=attempt,
            resolution=resolution,
            resume_in_ms=resume_in_ms,
            refusals=refusals,
            bound=None if unbind else job.fixed,
            corrections=corrections,
            tx_hash=tx_hash,
            rest_ms=rest_ms,
            unbind=unbind,
            amount=job.amount,
            owner=job.order.owner,
            group=job.order.oco_group,
            group_lookups=len(job.group_signatures),
            stages=job.stages,
            handout=handout,
            by_client=client_address(job.order.wallet) is not None,
            kind=job.order.type.value,
        )
        if await self._store.advance(step) is None:
            raise ClaimLostError(str(job.order.id))
        # Only after the commit: a step that failed leaves the job as the record has it.
        job.status = status
        job.version += len(steps)
        job.fixed = None
        job.amount = None
        job.stages = {}

"""An order in the hands of a worker, and the one way to write what happens to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dexexec.domain.bound import FixedBound
from dexexec.domain.event import Detail
from dexexec.domain.order import Order
from dexexec.domain.quote import Fill
from dexexec.domain.status import NEEDS_PROOF, IllegalTransitionError, Status, Trigger, advance, ends
from dexexec.domain.wait_reason import WaitsFor
from dexexec.errors import ClaimLostError
from dexexec.store import Attempt, Claimed, NewAttempt, Resolution, Step, Store
from dexexec.venue import AnyVenue

Events = tuple[tuple[Trigger, Detail], ...]


@dataclass(slots=True, kw_only=True)
class Job:
    """An order in the hands of this worker: where it stands, until when it may be sent (monotonic seconds), the
    signatures of all its attempts, until when it waits for funds that others in flight may spend (once it does), the
    reason and words of the round before, a bound that is still to be recorded, and what it last said it waits for."""

    order: Order
    status: Status
    version: int
    rounds: int
    attempts: int
    refusals: int
    deadline: float
    begun: float
    may_send: Callable[[], bool]
    signatures: tuple[str, ...] = ()
    funds_until: float | None = None
    cause: tuple[str, str] | None = None
    fixed: FixedBound | None = None
    waits_for: WaitsFor | None = None

    @classmethod
    def of(cls, claimed: Claimed, claimed_at: float, may_send: Callable[[], bool]) -> "Job":
        """The job of a claim that was asked for at `claimed_at` (monotonic seconds): deadlines count from there."""
        order = claimed.order
        return cls(
            order=order,
            status=order.status,
            version=order.version,
            rounds=order.rounds,
            attempts=order.attempts,
            refusals=order.refusals,
            deadline=claimed_at + order.deadline_in_ms / 1000,
            begun=claimed_at,
            may_send=may_send,
            signatures=claimed.signatures,
            cause=claimed.cause,
        )


def located(attempt: Attempt, venues: Mapping[str, AnyVenue]) -> Attempt:
    """The attempt with its network. Old records do not name it: then it is the one of its venue."""
    venue = venues.get(attempt.venue)
    if attempt.signed.network or venue is None:
        return attempt
    return replace(attempt, signed=replace(attempt.signed, network=venue.capabilities.network))


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
        corrections: tuple[Resolution, ...] = (),
        tx_hash: str | None = None,
    ) -> None:
        """Write one step: the only place where a status changes, and only along the table."""
        status, steps = job.status, []
        proven = any(one.outcome is not None for one in (*corrections, *((resolution,) if resolution else ())))
        for trigger, detail in events:
            if status in {Status.SUBMITTED, Status.CONFIRMED} and trigger in NEEDS_PROOF and not proven:
                raise IllegalTransitionError(status, trigger)
            status = advance(status, trigger)
            steps.append((status, detail))
        final = ends(status, finalized=proven)
        step = Step(
            order_id=job.order.id,
            claim=job.order.claim,
            version=job.version,
            events=tuple(steps),
            final=final,
            venue=venue,
            reason=reason,
            fill=fill,
            rounds=rounds,
            attempt=attempt,
            resolution=resolution,
            resume_in_ms=resume_in_ms,
            refusals=refusals,
            bound=job.fixed,
            corrections=corrections,
            tx_hash=tx_hash,
        )
        if await self._store.advance(step) is None:
            raise ClaimLostError(str(job.order.id))
        job.status, job.version, job.fixed = status, job.version + len(steps), None

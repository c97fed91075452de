"""Writes what a landed swap moved: the fill of the open attempt, or of an earlier one that was taken for expired.

Used by `execution.pipeline` and `execution.finality_watcher`. When both attempts landed, the record reports both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from dexexec.domain.cost import AttemptCost
from dexexec.domain.event import Detail
from dexexec.domain.order import Order
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status, Trigger
from dexexec.execution.event_detail import Presenter, first_quote_of
from dexexec.execution.job import Job
from dexexec.execution.step_writer import Events, StepWriter
from dexexec.observe.observer import Observer
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.settlement.finality import TakenBack
from dexexec.store import Attempt, Resolution, Store

UNCONFIRMED = "un-confirmed"
"""The reason of the event when the chain took a confirmed swap back."""
FOUND_LATE = "this attempt was proven to have expired, but it is on the chain"
AttemptView = Mapping[str, object]
"""An attempt as clients see it in the order."""


class FillWriter:
    """Writes fills, and compares them with what was quoted."""

    def __init__(self, store: Store, steps: StepWriter, presenter: Presenter, observer: Observer) -> None:
        self._store = store
        self._steps = steps
        self._presenter = presenter
        self._observer = observer

    async def write(
        self,
        job: Job,
        attempt: Attempt,
        fill: Fill,
        resolution: Resolution,
        earlier: Sequence[EarlierLanding] = (),
        *,
        resume_in_ms: float | None = None,
    ) -> None:
        """Write the open attempt's fill: final, or only confirmed if `resolution` has no outcome. Then it is looked at
        again, by any watcher in `resume_in_ms` (None: by that of this worker). `earlier` attempts landed as well."""
        is_final = resolution.outcome is not None
        signature = attempt.signed.signature
        detail: Detail = {
            **attempt.about(),
            **self._fill_detail(job, attempt.venue, signature, fill, attempt.quoted),
            "finalized": is_final,
        }
        resolution = replace(resolution, proof={**resolution.proof, "cost": detail["cost"]})
        corrections: tuple[Resolution, ...] = ()
        if earlier:
            attempts = await self._attempts_by_signature(job)
            detail = {**detail, "alsoLanded": [_landing_detail(landing, attempts) for landing in earlier]}
            corrections = _corrections(job.order, earlier, attempts)
            signatures = [signature, *(landing.signature for landing in earlier)]
            self._observer.duplicate_swap_landed(job.order.id, signatures)
        is_first = job.status is not Status.CONFIRMED
        await self._steps.write(
            job,
            ((Trigger.FINALIZE if is_final else Trigger.LAND, detail),),
            fill=fill,
            resolution=resolution,
            resume_in_ms=resume_in_ms,
            corrections=corrections,
        )
        # Once per swap: a confirmed swap is written again when it is final.
        slippage = detail.get("venueSlippageBps")
        if is_first and isinstance(slippage, str):  # an attempt that was restored from the chain has no quote
            self._observer.metrics.fill_compared(attempt.venue, float(slippage))
        if is_final:
            self._observer.metrics.attempt_resolved(attempt.venue, Outcome.LANDED)

    async def end_with_earlier(
        self,
        job: Job,
        earlier: Sequence[EarlierLanding],
        ended: tuple[Trigger, Detail] | None = None,
        resolution: Resolution | None = None,
    ) -> bool:
        """End the order with the first of `earlier`, if that one is final. `ended` and `resolution` are of a later
        attempt, which had no effect."""
        first, *others = earlier
        self._observer.abandoned_attempt_landed(job.order.id, first.signature)
        if not first.finalized:
            return False
        attempts = await self._attempts_by_signature(job)
        landed = attempts[first.signature]
        venue = str(landed["venue"])
        quoted = cast("Detail", landed["quote"])
        about: Detail = {"venue": venue, "attempt": landed["attempt"], "txHash": first.signature, "detail": FOUND_LATE}
        fill = {**about, **self._fill_detail(job, venue, first.signature, first.fill, quoted), "finalized": True}
        if others:
            fill["alsoLanded"] = [_landing_detail(landing, attempts) for landing in others]
            self._observer.duplicate_swap_landed(job.order.id, [landing.signature for landing in earlier])
        # The status table has no shortcut to `confirmed`, so the events lead there step by step, as they did when that
        # attempt was signed.
        events: Events = ((Trigger.SUBMIT, about), (Trigger.FINALIZE, fill))
        if job.status is not Status.BUILDING:
            events = ((Trigger.BUILD, {"venue": venue, "detail": FOUND_LATE}), *events)
        if job.status is Status.WAITING:  # it went back to rest after that attempt
            events = ((Trigger.ROUTE, {"detail": FOUND_LATE}), *events)
        if ended:
            events = (ended, *events)
        await self._steps.write(
            job,
            events,
            venue=venue,
            fill=first.fill,
            resolution=resolution,
            corrections=_corrections(job.order, earlier, attempts),
            tx_hash=first.signature,
        )
        return True

    async def take_back(self, job: Job, attempt: Attempt, verdict: TakenBack) -> None:
        """Remove the fill of a confirmed swap that the chain took back. The order is due again at once."""
        detail = {**attempt.about(), "reason": UNCONFIRMED, "detail": verdict.detail, "proof": verdict.proof}
        # The attempt is open again: its bytes are still valid and may land on the chain's new fork.
        reopened = Resolution(attempt.n, None, {})
        await self._steps.write(job, ((Trigger.UNLAND, detail),), resolution=reopened, resume_in_ms=0)
        self._observer.swap_rolled_back(job.order.id, attempt.signed.signature)

    def _fill_detail(self, job: Job, venue: str, signature: str, fill: Fill, quoted: Detail) -> dict[str, object]:
        # The swap's own instructions carry the bound, so a fill beyond it is a fault of the venue's program.
        if not self._presenter.within_bounds(job.order, fill, quoted):
            self._observer.fill_out_of_bounds(job.order.id, venue, signature)
        return {**self._presenter.fill(job.order, fill, quoted), "cost": _cost(job.order, fill, quoted)}

    async def _attempts_by_signature(self, job: Job) -> dict[str, AttemptView]:
        order = await self._store.order(job.order.id) or {}
        attempts = cast("list[AttemptView]", order.get("attempts", []))
        return {str(attempt["txHash"]): attempt for attempt in attempts}


def _landing_detail(landing: EarlierLanding, attempts: Mapping[str, AttemptView]) -> dict[str, object]:
    attempt = attempts[landing.signature]
    return {
        "venue": attempt["venue"],
        "attempt": attempt["attempt"],
        "txHash": landing.signature,
        "amountIn": str(landing.fill.amount_in),
        "amountOut": str(landing.fill.amount_out),
        "networkFee": str(landing.fill.fee),
        "slot": landing.fill.slot,
        "finalized": landing.finalized,
    }


def _cost(order: Order, fill: Fill, quoted: Detail) -> Detail:
    return AttemptCost.of_fill(fill, order.swap, quoted, first_quote_of(order, fill)).detail()


def _corrections(
    order: Order, earlier: Sequence[EarlierLanding], attempts: Mapping[str, AttemptView]
) -> tuple[Resolution, ...]:
    """The true outcome of attempts that the record holds for expired. One that is not final has none yet."""
    return tuple(
        Resolution(
            cast("int", attempts[landing.signature]["attempt"]),
            Outcome.LANDED,
            {
                "slot": landing.fill.slot,
                "finalized": True,
                "foundLate": True,
                "cost": _cost(order, landing.fill, cast("Detail", attempts[landing.signature]["quote"])),
            },
        )
        for landing in earlier
        if landing.finalized
    )

"""Writes what a landed swap brought into the record, for `execution.pipeline` and `execution.finality_watcher`.

As a rule it is the open attempt's. It may be an earlier one's that was proven gone, as by a node that told a false
height: then the order ends with that, and nothing more is signed. Where both landed, the record says so.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from dexexec.clock import Clock
from dexexec.domain.event import Detail
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status, Trigger
from dexexec.execution.event_detail import Presenter
from dexexec.execution.job import Events, Job, StepWriter
from dexexec.observe.observer import Observer
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.settlement.finality import TakenBack
from dexexec.store import Attempt, Resolution, Store

UNCONFIRMED = "un-confirmed"
"""The reason of the event that tells of a landing which the chain took back."""
FOUND_LATE = "this attempt was proven gone, and is on chain all the same"
Recorded = Mapping[str, object]
"""An attempt as clients see it in the order."""


class FillWriter:
    """Writes fills beside what was quoted."""

    def __init__(self, store: Store, steps: StepWriter, presenter: Presenter, clock: Clock, observer: Observer) -> None:
        self._store, self._steps, self._presenter = store, steps, presenter
        self._clock, self._observer = clock, observer

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
        """The open attempt's fill: final, or to be looked at again in `resume_in_ms`. `earlier` landed as well."""
        final, signature = resume_in_ms is None, attempt.signed.signature
        told: Detail = {
            **attempt.about(),
            **self._beside_quoted(job, attempt.venue, signature, fill, attempt.quoted),
            "finalized": final,
        }
        corrections: tuple[Resolution, ...] = ()
        if earlier:
            tries = await self._tries(job)
            told = {**told, "alsoLanded": [_told(one, tries) for one in earlier]}
            corrections = _corrections(earlier, tries)
            self._observer.duplicate_swap_landed(job.order.id, [signature, *(one.signature for one in earlier)])
        trigger = Trigger.FINALIZE if final else Trigger.LAND
        await self._steps.write(
            job, ((trigger, told),), fill=fill, resolution=resolution, resume_in_ms=resume_in_ms,
            corrections=corrections,
        )  # fmt: skip
        if final:
            self._ended(job, attempt.venue)

    async def end_with_earlier(
        self,
        job: Job,
        earlier: Sequence[EarlierLanding],
        ended: tuple[Trigger, Detail] | None = None,
        resolution: Resolution | None = None,
    ) -> bool:
        """End the order with the first of `earlier`, if that is final. `ended` and `resolution` are of a later attempt,
        which came to nothing."""
        first, *others = earlier
        self._observer.abandoned_attempt_landed(job.order.id, first.signature)
        if not first.finalized:
            return False
        tries = await self._tries(job)
        landed = tries[first.signature]
        venue, quoted = str(landed["venue"]), cast("Detail", landed["quote"])
        about: Detail = {"venue": venue, "attempt": landed["attempt"], "txHash": first.signature, "detail": FOUND_LATE}
        told = {**about, **self._beside_quoted(job, venue, first.signature, first.fill, quoted), "finalized": True}
        if others:
            told["alsoLanded"] = [_told(one, tries) for one in others]
            self._observer.duplicate_swap_landed(job.order.id, [one.signature for one in earlier])
        # The way to `submitted` goes along the table, as it did when that attempt was signed.
        before = (ended,) if ended else ()
        chosen = () if job.status is Status.BUILDING else ((Trigger.BUILD, {"venue": venue, "detail": FOUND_LATE}),)
        events: Events = (*before, *chosen, (Trigger.SUBMIT, about), (Trigger.FINALIZE, told))
        await self._steps.write(
            job, events, venue=venue, fill=first.fill, resolution=resolution,
            corrections=_corrections(earlier, tries), tx_hash=first.signature,
        )  # fmt: skip
        self._ended(job, venue)
        return True

    async def taken_back(self, job: Job, attempt: Attempt, found: TakenBack) -> None:
        """The chain has taken a confirmed swap back: there is no fill any more, and the order is due again now."""
        told = {**attempt.about(), "reason": UNCONFIRMED, "detail": found.detail, "proof": found.proof}
        open_again = Resolution(attempt.n, None, {})
        await self._steps.write(job, ((Trigger.UNLAND, told),), resolution=open_again, resume_in_ms=0)
        self._observer.swap_rolled_back(job.order.id, attempt.signed.signature)

    def _beside_quoted(self, job: Job, venue: str, signature: str, fill: Fill, quoted: Detail) -> dict[str, object]:
        """A fill beside what was quoted. One past the order's bound is a promise that the venue's program broke, and
        somebody has to hear of it."""
        if not self._presenter.within_bounds(job.order, fill, quoted):
            self._observer.fill_out_of_bounds(job.order.id, venue, signature)
        return self._presenter.fill(job.order, fill, quoted)

    async def _tries(self, job: Job) -> dict[str, Recorded]:
        """The order's attempts by their signatures."""
        order = await self._store.order(job.order.id) or {}
        return {str(one["txHash"]): one for one in cast("list[Recorded]", order.get("attempts", []))}

    def _ended(self, job: Job, venue: str) -> None:
        self._observer.order_filled(job.order.id, venue, self._clock.monotonic() - job.begun)


def _told(one: EarlierLanding, tries: Mapping[str, Recorded]) -> dict[str, object]:
    recorded, fill = tries[one.signature], one.fill
    return {
        "venue": recorded["venue"],
        "attempt": recorded["attempt"],
        "txHash": one.signature,
        "amountIn": str(fill.amount_in),
        "amountOut": str(fill.amount_out),
        "networkFee": str(fill.fee),
        "slot": fill.slot,
        "finalized": one.finalized,
    }


def _corrections(earlier: Sequence[EarlierLanding], tries: Mapping[str, Recorded]) -> tuple[Resolution, ...]:
    """What became in truth of attempts that the record holds for gone: of those that are final."""
    return tuple(
        Resolution(
            cast("int", tries[one.signature]["attempt"]),
            Outcome.LANDED,
            {"slot": one.fill.slot, "finalized": True, "foundLate": True},
        )
        for one in earlier
        if one.finalized
    )

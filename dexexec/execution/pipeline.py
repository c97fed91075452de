"""The story of one claimed order: what its status and its open attempt ask for next, until it rests.

1. An open attempt comes first, always: its outcome must be proven before anything else is signed (`_follow`).
   Where none is open, earlier ones are looked for: one that was proven gone and is on chain all the same ends the order
   (`dexexec.execution.fills`).
2. Otherwise venues are asked (`_route`). The quotes, the winner and why the others lost become the `routing` event, the
   winner the `building` event.
3. The winner's swap is built and signed; if that fails, the next best venue is taken (`_build`). The signed bytes are
   recorded as an attempt with the `submitted` event, and only then sent. If they are there at once, all three events
   are one commit; else the first two are told while the venue builds (`_prepare`).
4. Its outcome (`_conclude`). Confirmed: the order says so, and belongs to the watcher from then on
   (`execution.finality_watcher`); it comes back here if the chain takes the swap back. Over: a fill that is
   finalized ends the order; a proven failure sends it back to routing after a pause, or ends it when it had its tries.

Every step is written under the claim. A stale claim raises `ClaimLostError`, and this worker says no more about the
order.
"""

import asyncio
import contextlib
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception, raise_if_cancelled
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.funds import Spending
from dexexec.domain.quote import Quote
from dexexec.domain.status import Trigger
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.errors import FundsReservedError, UnavailableError
from dexexec.execution.event_detail import Presenter
from dexexec.execution.fills import UNCONFIRMED, FillWriter
from dexexec.execution.fitting_size import fitting_size
from dexexec.execution.job import Events, Job, StepWriter, located
from dexexec.execution.next_round import Chance, FailedRound, Retries, failed_round_of, unbuilt, until_deadline
from dexexec.execution.quote_acceptance import accept, impact_limit_ppm
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.sealing import Sealed
from dexexec.settlement.settlement import Settlement
from dexexec.store import Attempt, Claimed, NewAttempt, Release, Resolution, Store, WaitNote
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, Slippage, VenueError
from dexexec.venues.router import Answer, Router, Routing


@dataclass(frozen=True, slots=True)
class Choice:
    """The quote to be taken, as JSON values too, the order's bound, and the events that say so."""

    quote: Quote
    bound: Bound
    quoted: dict[str, object]
    events: Events


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The order rests and should be taken up again after `delay_ms`."""

    delay_ms: float


LATE = FailedRound(FailureReason.DEADLINE, "the deadline passed before anything was sent", Chance.NONE)
OUT_OF_REACH_PAUSE_MS = 30_000.0
FUNDS_PAUSE, LONGEST_FUNDS_PAUSE = 0.1, 0.8
"""Seconds between two looks at funds that others in flight may spend: at first, and at most."""
AT_ONCE = 0.02
"""Seconds. What is built within them saves a commit; who watches an order does not notice that it is told later."""


class Pipeline:
    """Carries claimed orders on. Holds no state of its own between orders. `finality_ms` is how long a confirmed order
    rests before the chain is asked again, `funds_wait_ms` how long an order waits for what others may spend,
    `max_price_impact_bps` is for orders whose record names none."""

    def __init__(
        self,
        *,
        store: Store,
        router: Router,
        settlement: Settlement,
        venues: Mapping[str, AnyVenue],
        presenter: Presenter,
        retries: Retries,
        max_price_impact_bps: int,
        finality_ms: float,
        funds_wait_ms: float,
        clock: Clock,
        observer: Observer,
        rng: random.Random,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._failpoints = failpoints
        self._steps = StepWriter(store)
        self._fills = FillWriter(store, self._steps, presenter, clock, observer)
        self._store, self._router, self._settlement, self._venues = store, router, settlement, venues
        self._finality_ms, self._funds_wait_ms = finality_ms, funds_wait_ms
        self._max_price_impact_bps = max_price_impact_bps
        self._presenter, self._retries, self._clock, self._observer, self._rng = (
            presenter,
            retries,
            clock,
            observer,
            rng,
        )

    async def run(self, claimed: Claimed, claimed_at: float, may_send: Callable[[], bool]) -> RetryAfter | None:
        """Carry the order on until it has ended or is confirmed (None), or rests (`RetryAfter`).

        `claimed_at` is the monotonic time just before the claim was asked for: deadlines count from there, so a slow
        answer never makes one later. Raises `ClaimLostError` and `UnavailableError`.
        """
        order = claimed.order
        job = Job.of(claimed, claimed_at, may_send)
        if claimed.attempt is not None:
            attempt = located(claimed.attempt, self._venues)
            if why := self._settlement.why_unreachable(attempt.signed):
                self._observer.attempt_chain_unavailable(order.id, attempt.venue, why)
                await self._note(job, Waiting(WaitsFor.NETWORK, f"its transaction cannot be looked up here: {why}"))
                return await self._give_back(job, OUT_OF_REACH_PAUSE_MS)
            return await self._follow(job, attempt, resumed=True)
        if job.signatures and (earlier := await self._settlement.find_landed(job.signatures, order.swap)):
            if await self._fills.end_with_earlier(job, earlier):
                return None
            await self._note(job, Waiting(WaitsFor.FINALITY, "an earlier attempt landed, and is not final yet"))
            return await self._give_back(job, self._finality_ms)
        if self._clock.monotonic() >= job.deadline:
            await self._expire(job, LATE)
            return None
        return await self._route(job)

    async def poison(self, claimed: Claimed) -> None:
        """Fail an order, without an open attempt, whose turns ended in crashes too often."""
        order = claimed.order
        self._observer.order_poisoned(order.id, order.claims)
        job = Job.of(claimed, 0, lambda: False)
        detail = f"given up: {order.claims} times in a row this order crashed what worked on it"
        await self._end(job, Trigger.FAIL, FailedRound(FailureReason.POISONED, detail, Chance.NONE))

    async def _route(self, job: Job) -> RetryAfter | None:
        routing = await self._router.route(job.order.swap, job.deadline)
        await self._failpoints.reach(Failpoint.QUOTED)
        job.rounds += 1
        accepted = accept(job.order, routing, self._max_price_impact_bps)
        routing, job.order, job.fixed = accepted.routing, accepted.order, accepted.fixed
        seen: dict[str, object] = {"round": job.rounds, "quotes": self._presenter.answers(job.order, routing)}
        if accepted.bound is not None:
            seen |= {"minOut": str(accepted.bound.min_out), "maxIn": str(accepted.bound.max_in)}
        if accepted.bound is None or not routing.ranking:
            failed = failed_round_of(routing.answers, seen, routing.breakers_open_ms)
            return await self._retry_or_end(job, await self._with_size(job, routing, failed))
        await self._failpoints.reach(Failpoint.CHOSEN)
        return await self._build(job, routing, accepted.bound, ((Trigger.ROUTE, seen),))

    async def _with_size(self, job: Job, routing: Routing, failed: FailedRound) -> FailedRound:
        """Where the order is too large for every venue: with what size would do."""
        if failed.reason != FailureReason.PRICE_IMPACT:
            return failed
        lost = [
            answer.quote for answer in routing.answers if answer.quote and answer.code == FailureReason.PRICE_IMPACT
        ]
        limit_ppm = impact_limit_ppm(job.order, self._max_price_impact_bps)
        found = await fitting_size(
            lambda asked: self._router.route(asked, job.deadline), job.order.swap, lost, limit_ppm
        )
        return replace(failed, words=f"{failed.words}; {self._presenter.size(job.order, found)}")

    async def _build(self, job: Job, routing: Routing, bound: Bound, told: Events) -> RetryAfter | None:
        """Take the venues from best to worst until one builds. `told` comes before the first one's `building` event."""
        failures: list[Answer] = []
        for quote in routing.ranking:
            reason = {"reason": failures[-1].code, "detail": failures[-1].detail} if failures else {}
            quoted = self._presenter.quote(job.order, quote)
            choice = Choice(quote, bound, quoted, (*told, (Trigger.BUILD, {**reason, "venue": quote.venue, **quoted})))
            try:
                attempt = await self._secure(job, choice, rounds=0 if failures else 1)
            except VenueError as error:
                failures.append(Answer.of(quote.venue, error))
                told = ()
                continue
            await self._failpoints.reach(Failpoint.RECORDED)
            return await self._follow(job, attempt, resumed=False)
        return await self._retry_or_end(job, unbuilt(failures, routing.answers))

    async def _secure(self, job: Job, choice: Choice, rounds: int) -> Attempt:
        """The choice as a recorded attempt, whose spending is reserved. What others in flight may spend is waited for:
        what was signed meanwhile never leaves, and is made anew from the balances of then. Raises `VenueError`, when
        all is told."""
        pause = FUNDS_PAUSE
        while True:
            try:
                sealed, untold = await self._prepare(job, choice, rounds)
            except Slippage:
                # It moved while the order waits: whether the funds come back is known sooner than whether it does.
                left = (job.funds_until or 0) - self._clock.monotonic()
                if left <= 0:
                    raise
                await self._clock.sleep(min(pause, left))
                continue
            await self._failpoints.reach(Failpoint.SIGNED)
            fee = {"priorityFee": sealed.priority_fee.detail()} if sealed.priority_fee else {}
            attempt = Attempt(
                n=job.attempts + 1, venue=choice.quote.venue, signed=sealed.signed, quoted={**choice.quoted, **fee}
            )
            try:
                await self._record(job, attempt, sealed.spending, untold, rounds)
            except FundsReservedError as error:
                words = self._presenter.shortfall(error.shortfall)
                left = await self._tell_of_wait(job, attempt.venue, words, untold, rounds)
                if left <= 0:
                    raise InsufficientFunds(words) from error
            else:
                return attempt
            choice, rounds = replace(choice, events=()), 0
            await self._clock.sleep(min(pause * self._rng.uniform(0.5, 1), left))
            if self._clock.monotonic() >= job.deadline:
                raise InsufficientFunds(words)
            pause = min(2 * pause, LONGEST_FUNDS_PAUSE)

    async def _tell_of_wait(self, job: Job, venue: str, words: str, untold: Events, rounds: int) -> float:
        """How many seconds are left to wait for funds; the first time this is told, after what is `untold`."""
        now, begins = self._clock.monotonic(), job.funds_until is None
        if job.funds_until is None:
            job.funds_until = min(now + self._funds_wait_ms / 1000, job.deadline)
        left = job.funds_until - now
        events = untold
        if begins and left > 0:
            waits = {
                "venue": venue,
                "reason": FailureReason.INSUFFICIENT_FUNDS,
                "detail": words,
                "waitMs": round(left * 1000),
            }
            events = (*untold, (Trigger.BUILD, waits))
        if events:
            await self._steps.write(job, events, venue=venue, rounds=rounds if untold else 0)
        if left > 0:
            await self._stand_still(job, Waiting(WaitsFor.FUNDS, words))
        return left

    async def _prepare(self, job: Job, choice: Choice, rounds: int) -> tuple[Sealed, Events]:
        """The choice, built and signed, and the events that are still to be told. Raises `VenueError`, when all is
        told."""
        venue = self._venues[choice.quote.venue]
        attempt = AttemptId(job.order.id, job.attempts + 1, job.order.key_digest)
        preparing = asyncio.create_task(
            self._settlement.prepare(venue, choice.quote, job.deadline, attempt, bound=choice.bound)
        )
        preparing.add_done_callback(ignore_exception)
        try:
            await asyncio.wait([preparing], timeout=AT_ONCE)
            if preparing.done() and not preparing.cancelled() and preparing.exception() is None:
                return preparing.result(), choice.events
            if choice.events:
                await self._steps.write(job, choice.events, venue=venue.name, rounds=rounds)
            return await preparing, ()
        except asyncio.CancelledError as error:
            raise_if_cancelled()  # else the adapter has cancelled its own task
            raise BadAnswer("the adapter gave up while building") from error
        finally:
            preparing.cancel()

    async def _record(self, job: Job, attempt: Attempt, spending: Spending | None, untold: Events, rounds: int) -> None:
        """The attempt is durable before anything is sent, and what it may spend is reserved with it. Raises
        `FundsReservedError`."""
        new = NewAttempt(
            n=attempt.n, venue=attempt.venue, signed=attempt.signed, quoted=attempt.quoted, spending=spending
        )
        detail = {**attempt.about(), "lastValidHeight": attempt.signed.last_valid_height}
        if "priorityFee" in attempt.quoted:
            detail["priorityFee"] = attempt.quoted["priorityFee"]
        events = (*untold, (Trigger.SUBMIT, detail))
        await self._steps.write(job, events, venue=attempt.venue, rounds=rounds if untold else 0, attempt=new)
        job.attempts += 1
        job.signatures += (attempt.signed.signature,)

    async def _follow(self, job: Job, attempt: Attempt, *, resumed: bool) -> RetryAfter | None:
        others = tuple(signature for signature in job.signatures if signature != attempt.signed.signature)
        venue = self._venues.get(attempt.venue)
        signed_at = job.begun - attempt.age_ms / 1000 if resumed else self._clock.monotonic()
        # What was confirmed once was sent in time, and its client was told: the deadline has no more say.
        deadline = math.inf if job.cause and job.cause[0] == UNCONFIRMED else job.deadline
        pending = PendingAttempt(
            signed=attempt.signed,
            request=job.order.swap,
            deadline=deadline,
            resumed=resumed,
            earlier_signatures=others,
            venue=venue,
            signed_at=signed_at,
        )
        result = await self._settlement.settle(pending, job.may_send, partial(self._stand_still, job))
        await self._failpoints.reach(Failpoint.PROVEN)
        later = await self._conclude(job, attempt, result)
        await self._failpoints.reach(Failpoint.CONCLUDED)
        return later

    async def _stand_still(self, job: Job, waiting: Waiting) -> None:
        """The order waits, and whoever looks at it should read what for."""
        if waiting.reason is not job.waits_for:
            job.waits_for = waiting.reason
            self._observer.order_waiting(job.order.id, waiting)
        await self._note(job, waiting)

    async def _note(self, job: Job, waiting: Waiting) -> None:
        with contextlib.suppress(UnavailableError):  # it decides nothing; what changes next is noted again
            await self._store.note(WaitNote(job.order.id, job.order.claim, waiting.reason, clean(waiting.detail)))

    async def _conclude(self, job: Job, attempt: Attempt, result: SettlementResult) -> RetryAfter | None:
        final = result.outcome.proven
        resolution = Resolution(attempt.n, result.outcome if final else None, result.proof)
        if result.fill is not None:
            rest_ms = None if final else self._finality_ms
            await self._fills.write(job, attempt, result.fill, resolution, result.earlier, resume_in_ms=rest_ms)
            return None
        about = {**attempt.about(), "outcome": result.outcome, "proof": result.proof}
        if result.earlier:
            told = {**about, "reason": result.reason, "detail": result.detail}
            await self._fills.end_with_earlier(job, result.earlier, (Trigger.ROUTE, told), resolution)
            return None
        return await self._retry_or_end(job, FailedRound(result.reason, result.detail, Chance.TIME, about), resolution)

    async def _retry_or_end(
        self, job: Job, failed: FailedRound, resolution: Resolution | None = None
    ) -> RetryAfter | None:
        """Rest until the next round; or fail, when another one cannot help or there were enough; or expire.
        `resolution` is of the attempt that was signed in this round."""
        retries, signed = self._retries, resolution is not None
        refused = 1 if failed.chance is Chance.FEW and not signed else 0
        job.refusals += refused
        if retries.spent(failed, signed=signed, rounds=job.rounds, attempts=job.attempts, refusals=job.refusals):
            await self._end(job, Trigger.FAIL, failed, resolution)
            return None
        left_ms = (job.deadline - self._clock.monotonic()) * 1000
        if left_ms <= 0 or failed.reason == FailureReason.DEADLINE:
            await self._expire(job, failed, resolution)
            return None
        pause_ms = until_deadline(retries.pause_ms(job.rounds, self._rng, failed.rest_ms), left_ms)
        told = {**(failed.asked or {}), **failed.about, "reason": failed.reason, "detail": failed.words}
        told |= {"retryInMs": round(pause_ms), "triesLeft": retries.attempts - max(job.attempts, job.refusals)}
        await self._steps.write(
            job, ((Trigger.ROUTE, told),), resolution=resolution, rounds=1 if failed.asked else 0,
            refusals=refused, resume_in_ms=pause_ms,
        )  # fmt: skip
        self._observer.order_retry_scheduled(job.order.id, failed.reason, job.rounds, pause_ms)
        return RetryAfter(pause_ms)

    async def _expire(self, job: Job, failed: FailedRound, resolution: Resolution | None = None) -> None:
        """End at the deadline, with the cause that kept the order from being filled: that of this round, or, where the
        deadline itself cut this one short, of the round before."""
        lost_during_start = (
            failed.reason in (FailureReason.DEADLINE, FailureReason.QUOTE_EXPIRED, FailureReason.TIMEOUT)
            and job.cause is not None
        )
        reason, words = job.cause if lost_during_start and job.cause else (failed.reason, failed.words)
        if reason != FailureReason.DEADLINE:
            words = f"the deadline passed, and the order could not be filled before: {words}"
        await self._end(job, Trigger.EXPIRE, replace(failed, reason=reason, words=words), resolution)

    async def _end(self, job: Job, trigger: Trigger, failed: FailedRound, resolution: Resolution | None = None) -> None:
        """End without a fill. The last round's quotes, if they are not told yet, come first."""
        told: Detail = {**failed.about, "reason": failed.reason, "detail": failed.words}
        events: Events = ((trigger, told),)
        if failed.asked:
            events = ((Trigger.ROUTE, failed.asked), *events)
        rounds = 1 if failed.asked else 0
        await self._steps.write(job, events, reason=failed.reason, resolution=resolution, rounds=rounds)
        seconds = self._clock.monotonic() - job.begun
        self._observer.order_failed(job.order.id, job.status, failed.reason, failed.words, seconds)

    async def _give_back(self, job: Job, delay_ms: float) -> RetryAfter:
        await self._store.release(Release(job.order.id, job.order.claim, blame=False, resume_in_ms=delay_ms))
        return RetryAfter(delay_ms)

"""The story of one claimed order: what its status and its open attempt ask for next, until it rests.

1. An open attempt comes first, always: its fate must be proven before anything else is signed (`_follow`).
2. Otherwise venues are asked (`_route`). The quotes, the winner and why the others lost become the `routing` event, the
   winner the `building` event, in one commit.
3. The winner's swap is built and signed; if that fails, the next best venue is taken (`_build`). The signed bytes are
   recorded as an attempt with the `submitted` event, and only then sent.
4. Its fate (`_conclude`): a fill ends the order; a proven failure sends it back to routing after a pause, or ends it
   when it had its tries.

Every step is written under the claim. A stale claim raises `ClaimLostError`, and this worker says no more about the
order.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from dexexec.clock import Clock, Failpoint
from dexexec.domain.event import Detail
from dexexec.domain.order import Order
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.status import NEEDS_PROOF, IllegalTransitionError, Status, Trigger, advance
from dexexec.errors import ClaimLostError
from dexexec.observe import Observer
from dexexec.presenting import Presenter
from dexexec.router import Router, Routing
from dexexec.settlement.settle import Fate, Settlement
from dexexec.store import Attempt, Claimed, NewAttempt, Release, Resolution, Step, Store
from dexexec.venue import AnyVenue, VenueError


@dataclass(frozen=True, slots=True)
class Retries:
    """How often an order is tried, and the pause before the next time: doubled each time up to a maximum, of which a
    random part from half to all is waited (milliseconds)."""

    attempts: int
    base_ms: int
    max_ms: int

    def pause_ms(self, tries: int, rng: random.Random) -> float:
        """The pause after `tries` tries."""
        return min(self.base_ms << (tries - 1), self.max_ms) * rng.uniform(0.5, 1)


@dataclass(slots=True)
class Job:
    """An order in the hands of this worker: where it stands and until when it may be sent (monotonic seconds)."""

    order: Order
    status: Status
    version: int
    rounds: int
    attempts: int
    deadline: float
    begun: float
    may_send: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Later:
    """The order rests and should be taken up again after `delay_ms`."""

    delay_ms: float


@dataclass(frozen=True, slots=True)
class Setback:
    """Why a round brought no fill: a reason code, words, whether trying again can help. `about` and `resolution` tell
    of the attempt that ended, `asked` of a round of quotes that is not told yet."""

    reason: str
    words: str
    retryable: bool
    about: Detail = field(default_factory=dict)
    resolution: Resolution | None = None
    asked: Detail | None = None


LATE = Setback("deadline", "the deadline passed before anything was sent", retryable=False)
VENUE_MISSING_PAUSE_MS = 30_000.0


class Pipeline:
    """Carries claimed orders on. Holds no state of its own between orders."""

    def __init__(
        self,
        *,
        store: Store,
        router: Router,
        settlement: Settlement,
        venues: Mapping[str, AnyVenue],
        presenter: Presenter,
        retries: Retries,
        clock: Clock,
        observer: Observer,
        rng: random.Random,
    ) -> None:
        self._store, self._router, self._settlement, self._venues = store, router, settlement, venues
        self._presenter, self._retries, self._clock, self._observer, self._rng = (
            presenter,
            retries,
            clock,
            observer,
            rng,
        )

    async def run(self, claimed: Claimed, claimed_at: float, may_send: Callable[[], bool]) -> Later | None:
        """Carry the order on until it has ended (None) or rests (`Later`).

        `claimed_at` is the monotonic time just before the claim was asked for: deadlines count from there, so a slow
        answer never makes one later. Raises `ClaimLostError` and `UnavailableError`.
        """
        order = claimed.order
        job = Job(
            order, order.status, order.version, order.rounds, order.attempts,
            claimed_at + order.deadline_in_ms / 1000, claimed_at, may_send,
        )  # fmt: skip
        if claimed.attempt is not None:
            venue = self._venues.get(claimed.attempt.venue)
            if venue is None:
                self._observer.venue_missing(order.id, claimed.attempt.venue)
                return await self._give_back(job, VENUE_MISSING_PAUSE_MS)
            return await self._follow(job, venue, claimed.attempt, resumed=True)
        if self._clock.monotonic() >= job.deadline:
            await self._end(job, Trigger.EXPIRE, LATE)
            return None
        return await self._route(job)

    async def poison(self, claimed: Claimed) -> None:
        """End an order that was claimed too often without a step. One whose swap may still land is not failed: it is
        set aside as it is, until somebody looks at it."""
        order, attempt = claimed.order, claimed.attempt
        self._observer.order_set_aside(order.id, order.claims, attempt is not None)
        if attempt is not None:
            await self._store.set_aside(order.id, order.claim)
            return
        job = Job(order, order.status, order.version, order.rounds, order.attempts, 0, 0, lambda: False)
        detail = f"set aside: {order.claims} workers took this order up and none brought it a step further"
        await self._end(job, Trigger.FAIL, Setback("poisoned", detail, retryable=False))

    async def _route(self, job: Job) -> Later | None:
        routing = await self._router.route(job.order.swap, job.deadline)
        await self._clock.failpoint(Failpoint.QUOTED)
        job.rounds += 1
        seen = {"round": job.rounds, "quotes": self._presenter.answers(job.order, routing)}
        if not routing.ranking:
            return await self._no_route(job, routing, seen)
        best = routing.ranking[0]
        events = (
            (Trigger.ROUTE, seen),
            (Trigger.BUILD, {"venue": best.venue, **self._presenter.quote(job.order, best)}),
        )
        await self._write(job, events, venue=best.venue, rounds=1)
        await self._clock.failpoint(Failpoint.CHOSEN)
        return await self._build(job, routing)

    async def _no_route(self, job: Job, routing: Routing, seen: dict[str, object]) -> Later | None:
        codes = {answer.code for answer in routing.answers}
        reason = codes.pop() if len(codes) == 1 else "no-route"
        words = "; ".join(f"{answer.venue}: {answer.detail or answer.code}" for answer in routing.answers)
        return await self._retry_or_end(job, Setback(reason, words, routing.retryable, asked=seen))

    async def _build(self, job: Job, routing: Routing) -> Later | None:
        """Take the venues from best to worst until one builds."""
        failures: list[VenueError] = []
        for quote in routing.ranking:
            if failures:
                detail: dict[str, object] = {"reason": failures[-1].code, "detail": str(failures[-1])}
                detail |= {"venue": quote.venue, **self._presenter.quote(job.order, quote)}
                await self._write(job, ((Trigger.BUILD, detail),), venue=quote.venue)
            venue = self._venues[quote.venue]
            try:
                signed = await self._settlement.prepare(venue, quote, job.deadline)
            except VenueError as error:
                failures.append(error)
                continue
            await self._clock.failpoint(Failpoint.SIGNED)
            attempt = Attempt(job.attempts + 1, quote.venue, signed)
            await self._record(job, attempt, quote)
            await self._clock.failpoint(Failpoint.RECORDED)
            return await self._follow(job, venue, attempt, resumed=False)
        if self._clock.monotonic() >= job.deadline:
            await self._end(job, Trigger.EXPIRE, LATE)
            return None
        last = failures[-1]
        retryable = any(failure.retryable for failure in failures)
        return await self._retry_or_end(job, Setback(last.code, str(last) or last.code, retryable))

    async def _record(self, job: Job, attempt: Attempt, quote: Quote) -> None:
        """The attempt is durable before anything is sent."""
        quoted = self._presenter.quote(job.order, quote)
        new = NewAttempt(attempt.n, attempt.venue, attempt.signed, quoted)
        detail = {
            "venue": attempt.venue,
            "attempt": attempt.n,
            "txHash": attempt.signed.signature,
            "lastValidHeight": attempt.signed.last_valid_height,
        }
        await self._write(job, ((Trigger.SUBMIT, detail),), attempt=new)
        job.attempts += 1

    async def _follow(self, job: Job, venue: AnyVenue, attempt: Attempt, *, resumed: bool) -> Later | None:
        fate = await self._settlement.settle(
            venue, attempt.signed, resumed=resumed, deadline=job.deadline, may_send=job.may_send
        )
        await self._clock.failpoint(Failpoint.PROVEN)
        later = await self._conclude(job, attempt, fate)
        await self._clock.failpoint(Failpoint.CONCLUDED)
        return later

    async def _conclude(self, job: Job, attempt: Attempt, fate: Fate) -> Later | None:
        resolution = Resolution(attempt.n, fate.outcome, fate.proof)
        about: dict[str, object] = {"venue": attempt.venue, "attempt": attempt.n, "txHash": attempt.signed.signature}
        if fate.fill is not None:
            detail = {**about, **self._presenter.fill(job.order, fate.fill)}
            await self._write(job, ((Trigger.LAND, detail),), fill=fate.fill, resolution=resolution)
            took = self._clock.monotonic() - job.begun
            self._observer.order_ended(job.order.id, job.status, attempt.venue, None, took)
            return None
        about |= {"outcome": fate.outcome, "proof": fate.proof}
        return await self._retry_or_end(job, Setback(fate.reason, fate.detail, True, about, resolution))

    async def _retry_or_end(self, job: Job, setback: Setback) -> Later | None:
        pause_ms = self._retries.pause_ms(job.rounds, self._rng)
        reason, words = setback.reason, setback.words
        if not setback.retryable or job.rounds >= self._retries.attempts:
            await self._end(job, Trigger.FAIL, setback)
            return None
        if self._clock.monotonic() + pause_ms / 1000 >= job.deadline:
            text = f"the deadline leaves no time to try again ({reason}: {words})"
            await self._end(job, Trigger.EXPIRE, replace(setback, reason="deadline", words=text))
            return None
        told = {**(setback.asked or {}), **setback.about, "reason": reason, "detail": words}
        told |= {"retryInMs": round(pause_ms), "triesLeft": self._retries.attempts - job.rounds}
        rounds = 1 if setback.asked else 0
        await self._write(
            job, ((Trigger.ROUTE, told),), resolution=setback.resolution, rounds=rounds, resume_in_ms=pause_ms
        )
        self._observer.order_retried(job.order.id, reason, job.rounds, pause_ms)
        return Later(pause_ms)

    async def _end(self, job: Job, trigger: Trigger, setback: Setback) -> None:
        """End without a fill. The last round's quotes, if they are not told yet, come first."""
        told: Detail = {**setback.about, "reason": setback.reason, "detail": setback.words}
        events: tuple[tuple[Trigger, Detail], ...] = ((trigger, told),)
        if setback.asked:
            events = ((Trigger.ROUTE, setback.asked), *events)
        rounds = 1 if setback.asked else 0
        await self._write(job, events, reason=setback.reason, resolution=setback.resolution, rounds=rounds)
        self._observer.order_ended(job.order.id, job.status, None, setback.reason, self._clock.monotonic() - job.begun)

    async def _give_back(self, job: Job, delay_ms: float) -> Later:
        await self._store.release(Release(job.order.id, job.order.claim, blame=False, resume_in_ms=delay_ms))
        return Later(delay_ms)

    async def _write(
        self,
        job: Job,
        events: tuple[tuple[Trigger, Detail], ...],
        *,
        venue: str | None = None,
        reason: str | None = None,
        fill: Fill | None = None,
        rounds: int = 0,
        attempt: NewAttempt | None = None,
        resolution: Resolution | None = None,
        resume_in_ms: float | None = None,
    ) -> None:
        """Write one step: the only place where a status changes, and only along the table."""
        status, steps = job.status, []
        for trigger, detail in events:
            if status is Status.SUBMITTED and trigger in NEEDS_PROOF and resolution is None:
                raise IllegalTransitionError(status, trigger)
            status = advance(status, trigger)
            steps.append((status, detail))
        step = Step(
            job.order.id, job.order.claim, job.version, tuple(steps), venue, reason, fill,
            rounds, attempt, resolution, resume_in_ms,
        )  # fmt: skip
        if await self._store.advance(step) is None:
            raise ClaimLostError(str(job.order.id))
        job.status, job.version = status, job.version + len(steps)

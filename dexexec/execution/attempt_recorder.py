"""Turns a chosen quote into a recorded attempt: built, signed, its funds reserved, and written before it is sent."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception, raise_if_cancelled
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.policy_check import attempted_trade
from dexexec.domain.quote import Quote
from dexexec.domain.stage import Stage
from dexexec.domain.status import Trigger
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.errors import FundsReservedError, GroupHeldError
from dexexec.execution.event_detail import Presenter
from dexexec.execution.halted_orders import Halts
from dexexec.execution.job import Job
from dexexec.execution.step_writer import Events, StepWriter
from dexexec.execution.wait_notes import WaitNotes
from dexexec.failpoints import Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.operator_errors import HaltedError, PolicyError
from dexexec.settlement.sealing import Sealed
from dexexec.settlement.settlement import Settlement
from dexexec.store import Attempt, NewAttempt
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, Slippage

FIRST_FUNDS_PAUSE = 0.1
LONGEST_FUNDS_PAUSE = 0.8
"""Seconds between two tries to reserve funds that other open attempts may spend."""
QUICK_BUILD_SECONDS = 0.02
"""A swap that is built and signed within this time saves a commit, by a delay that a client does not notice."""


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Events that were decided and are not written yet, and how many rounds they begin."""

    events: Events = ()
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class ChosenQuote:
    """The quote to execute, the same as JSON values, the order's bound, and the events up to this choice."""

    quote: Quote
    quoted: Detail
    bound: Bound
    unwritten: Unwritten


class AttemptRecorder:
    """Makes attempts for orders. An order waits up to `funds_wait_ms` for funds that other open attempts may spend."""

    def __init__(
        self,
        *,
        steps: StepWriter,
        notes: WaitNotes,
        settlement: Settlement,
        venues: Mapping[str, AnyVenue],
        presenter: Presenter,
        halts: Halts,
        funds_wait_ms: float,
        clock: Clock,
        observer: Observer,
        rng: random.Random,
        failpoints: Failpoints,
    ) -> None:
        self._steps = steps
        self._halts = halts
        self._notes = notes
        self._settlement = settlement
        self._venues = venues
        self._presenter = presenter
        self._funds_wait_ms = funds_wait_ms
        self._clock = clock
        self._observer = observer
        self._rng = rng
        self._failpoints = failpoints

    async def record(self, job: Job, choice: ChosenQuote) -> Attempt:
        """The choice as a recorded attempt. Raises `VenueError`, `SignerError`, `GroupHeldError`, `HaltedError` and
        `PolicyError`, with the events of the choice written; for an order that spends a share of the balance also
        `FundsReservedError`, if others take some of it."""
        pause = FIRST_FUNDS_PAUSE
        while True:
            # Nothing is signed that could not be recorded. The record decides: a halt may be newer than this look.
            if (halt := self._halts.of(job.order.owner)) is not None:
                await self._write_choice(job, choice.quote.venue, choice.unwritten)
                raise HaltedError(halt)
            begun = self._clock.monotonic()
            try:
                sealed, unwritten = await self._build(job, choice)
            except Slippage:
                # While the order waits for funds, a price beyond its bound may come back. Only the wait ends this.
                left = (job.funds_until or 0) - self._clock.monotonic()
                if left <= 0:
                    raise
                choice = replace(choice, unwritten=Unwritten())  # `_build` has written them before it raised
                await self._clock.sleep(min(pause, left))
                continue
            signed_at = self._clock.monotonic()
            built_at = begun + sealed.building_seconds
            job.took(Stage.BUILDING, sealed.building_seconds)
            job.took(Stage.SIGNING, signed_at - built_at)
            self._observer.tracer.stage(Stage.BUILDING, begun, built_at, venue=choice.quote.venue)
            self._observer.tracer.stage(Stage.SIGNING, built_at, signed_at, venue=choice.quote.venue)
            await self._failpoints.reach(Failpoint.SIGNED)
            attempt = _attempt_of(job, choice, sealed)
            try:
                await self._write(job, attempt, _recorded(job, choice, attempt, sealed), unwritten)
                now = self._clock.monotonic()
                job.took(Stage.RECORDING, now - signed_at)
                self._observer.tracer.stage(Stage.RECORDING, signed_at, now, attempt=attempt.n)
            except (GroupHeldError, HaltedError, PolicyError):
                # The signed bytes are thrown away: they were never sent.
                await self._write_choice(job, attempt.venue, unwritten)
                raise
            except FundsReservedError as error:
                if job.order.share_bps is not None:
                    # Its amount is what nobody else had reserved. A wait would not bring that back: the next round
                    # reads the balance again.
                    await self._write_choice(job, attempt.venue, unwritten)
                    raise
                detail = self._presenter.shortfall(error.shortfall)
                left = await self._report_wait(job, attempt.venue, detail, unwritten)
                if left <= 0:
                    raise InsufficientFunds(detail) from error
            else:
                return attempt
            # The signed bytes are thrown away: they were never sent, and the balances they were checked against change
            # during the wait. The next try builds and signs again.
            choice = replace(choice, unwritten=Unwritten())
            # The random part keeps orders that wait for the same funds from trying together.
            await self._clock.sleep(min(pause * self._rng.uniform(0.5, 1), left))
            if self._clock.monotonic() >= job.deadline:
                raise InsufficientFunds(detail)
            pause = min(2 * pause, LONGEST_FUNDS_PAUSE)

    async def _build(self, job: Job, choice: ChosenQuote) -> tuple[Sealed, Unwritten]:
        """The signed transaction, and the events that are still to be written. Raises `VenueError` and
        `SignerError`, with all events written."""
        venue = self._venues[choice.quote.venue]
        attempt_id = AttemptId(job.order.id, job.attempts + 1, job.order.key_digest)
        building = asyncio.create_task(
            self._settlement.prepare(
                venue,
                choice.quote,
                job.deadline,
                attempt_id,
                bound=choice.bound,
                wallet=job.order.wallet,
                close_account=job.order.closes_account,
            )
        )
        building.add_done_callback(ignore_exception)
        try:
            await asyncio.wait([building], timeout=QUICK_BUILD_SECONDS)
            if building.done() and not building.cancelled() and building.exception() is None:
                return building.result(), choice.unwritten
            # It takes long, or has failed: clients see the quotes and the choice meanwhile.
            await self._write_choice(job, venue.name, choice.unwritten)
            return await building, Unwritten()
        except asyncio.CancelledError as error:
            # Either this order's task was cancelled, or the adapter cancelled its own, which must not end this one.
            raise_if_cancelled()
            raise BadAnswer("the adapter gave up while building") from error
        finally:
            building.cancel()

    async def _write_choice(self, job: Job, venue: str, unwritten: Unwritten) -> None:
        if unwritten.events:
            await self._steps.write(job, unwritten.events, venue=venue, rounds=unwritten.rounds)

    async def _write(self, job: Job, attempt: Attempt, new: NewAttempt, unwritten: Unwritten) -> None:
        """Write the attempt and reserve its funds in one commit. Raises `FundsReservedError`, `GroupHeldError`,
        `HaltedError` and `PolicyError`."""
        # Before anything is sent: after a crash the next worker must find every transaction that could be on its way.
        detail = {**attempt.about(), "lastValidHeight": attempt.signed.last_valid_height}
        detail |= {
            name: attempt.quoted[name]
            for name in ("priorityFee", "closeAccount", "preparedFrom")
            if name in attempt.quoted
        }
        events = (*unwritten.events, (Trigger.SUBMIT, detail))
        await self._steps.write(job, events, venue=attempt.venue, rounds=unwritten.rounds, attempt=new)
        self._observer.metrics.attempt_recorded(attempt.venue)
        job.attempts += 1
        job.signatures += (attempt.signed.signature,)

    async def _report_wait(self, job: Job, venue: str, detail: str, unwritten: Unwritten) -> float:
        """How many seconds are left to wait for funds. The first time, the wait becomes an event."""
        now = self._clock.monotonic()
        is_first = job.funds_until is None
        if job.funds_until is None:
            job.funds_until = min(now + self._funds_wait_ms / 1000, job.deadline)
        left = job.funds_until - now
        events = unwritten.events
        if is_first and left > 0:
            wait = {
                "venue": venue,
                "reason": FailureReason.INSUFFICIENT_FUNDS,
                "detail": detail,
                "waitMs": round(left * 1000),
            }
            events = (*events, (Trigger.BUILD, wait))
        if events:
            await self._steps.write(job, events, venue=venue, rounds=unwritten.rounds)
        if left > 0:
            await self._notes.report(job, Waiting(WaitsFor.FUNDS, detail))
        return left


def _recorded(job: Job, choice: ChosenQuote, attempt: Attempt, sealed: Sealed) -> NewAttempt:
    return NewAttempt(
        n=attempt.n,
        venue=attempt.venue,
        signed=attempt.signed,
        quoted=attempt.quoted,
        spending=sealed.spending,
        trade=attempted_trade(job.order, choice.quote),
    )


def _attempt_of(job: Job, choice: ChosenQuote, sealed: Sealed) -> Attempt:
    fee = {"priorityFee": sealed.priority_fee.detail()} if sealed.priority_fee else {}
    closing = {"closeAccount": sealed.closing.detail()} if sealed.closing else {}
    prepared = {"preparedFrom": sealed.prepared.detail()} if sealed.prepared else {}
    tip = {"tipTransfer": sealed.tip.detail()} if sealed.tip else {}
    quoted = {**choice.quoted, **fee, **tip, **closing, **prepared}
    return Attempt(n=job.attempts + 1, venue=choice.quote.venue, signed=sealed.signed, quoted=quoted)

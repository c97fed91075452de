"""Executes one claimed order: settles its open attempt, or starts a round of quotes, until it ends or has to wait.

Each step is written under the claim before the next one begins, so another worker can resume the order from the record.
`docs/ARCHITECTURE.md` draws an order's way.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from dexexec.clock import Clock
from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.handout import client_address
from dexexec.domain.stage import Stage
from dexexec.domain.status import Trigger
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.execution.attempt_recorder import AttemptRecorder, ChosenQuote, Unwritten
from dexexec.execution.client_signatures import ClientSignatures
from dexexec.execution.dry_run import DryRun
from dexexec.execution.early_quotes import EarlyRound
from dexexec.execution.event_detail import Presenter
from dexexec.execution.failure_writer import ENDED, TOO_LATE, FailureWriter
from dexexec.execution.fill_writer import UNCONFIRMED, FillWriter
from dexexec.execution.halted_orders import HaltedOrders, Halts
from dexexec.execution.job import Job, RetryAfter, located
from dexexec.execution.launch_check import within_conditions
from dexexec.execution.policy_book import OwnerLimits, PolicyBook
from dexexec.execution.quote_acceptance import Accepted, accept, impact_limit_ppm
from dexexec.execution.retry_policy import (
    FailedRound,
    Retry,
    RetryPolicy,
    failed_round_of,
    group_held,
    no_signature,
    nothing_built,
)
from dexexec.execution.share_amounts import ShareAmounts
from dexexec.execution.size_suggestion import suggest_size
from dexexec.execution.step_writer import StepWriter
from dexexec.execution.unrecorded_rounds import NOT_RECORDED, UnrecordedRounds
from dexexec.execution.wait_notes import WaitNotes
from dexexec.execution.watched_orders import WatchedOrder, WatchedOrders
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.settlement.sealing import ClientSignatureNeeded
from dexexec.settlement.settlement import Settlement
from dexexec.store import Attempt, Claimed, Release, Resolution, Store
from dexexec.venue import AnyVenue, VenueError
from dexexec.venues.router import Answer, Router, Routing

UNAVAILABLE_CHAIN_PAUSE_MS = 30_000.0


class Pipeline:
    """Executes claimed orders; it has no state of its own between them.

    A confirmed order is left to the finality watcher, which looks at it every `finality_ms`; None: by the pace of its
    chain. `max_price_impact_bps` is for orders whose record has none. With `dry_run`, every order runs dry.
    """

    def __init__(
        self,
        *,
        store: Store,
        router: Router,
        settlement: Settlement,
        venues: Mapping[str, AnyVenue],
        presenter: Presenter,
        retry_policy: RetryPolicy,
        halts: Halts,
        policies: PolicyBook,
        max_price_impact_bps: int,
        finality_ms: float | None,
        watched: WatchedOrders,
        funds_wait_ms: float,
        clock: Clock,
        observer: Observer,
        rng: random.Random,
        dry_run: bool = False,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        steps = StepWriter(store)
        self._store = store
        self._router = router
        self._settlement = settlement
        self._venues = venues
        self._presenter = presenter
        self._max_price_impact_bps = max_price_impact_bps
        self._finality_ms = finality_ms
        self._watched = watched
        self._clock = clock
        self._observer = observer
        self._dry_run = dry_run
        self._failpoints = failpoints
        self._notes = WaitNotes(store, observer)
        self._fills = FillWriter(store, steps, presenter, observer)
        self._failures = FailureWriter(steps, retry_policy, clock, observer, rng)
        self._policies = policies
        self._halted = HaltedOrders(halts=halts, store=store, steps=steps, clock=clock, observer=observer, rng=rng)
        self._shares = ShareAmounts(
            settlement=settlement,
            venues=venues,
            notes=self._notes,
            presenter=presenter,
            funds_wait_ms=funds_wait_ms,
            clock=clock,
            rng=rng,
        )
        self._dry = DryRun(
            steps=steps,
            settlement=settlement,
            presenter=presenter,
            failpoints=failpoints,
        )
        self._unrecorded = UnrecordedRounds(
            failures=self._failures, halted=self._halted, notes=self._notes, presenter=presenter, observer=observer
        )
        self._clients = ClientSignatures(
            store=store,
            steps=steps,
            settlement=settlement,
            venues=venues,
            clock=clock,
            observer=observer,
            failpoints=failpoints,
        )
        self._recorder = AttemptRecorder(
            steps=steps,
            notes=self._notes,
            settlement=settlement,
            venues=venues,
            presenter=presenter,
            halts=halts,
            funds_wait_ms=funds_wait_ms,
            clock=clock,
            observer=observer,
            rng=rng,
            failpoints=failpoints,
        )

    async def run(
        self, claimed: Claimed, claimed_at: float, may_send: Callable[[], bool], early: EarlyRound | None = None
    ) -> RetryAfter | None:
        """Execute the order until it has ended or is confirmed (None), or has to wait (`RetryAfter`).

        `claimed_at` is the monotonic time just before the claim was requested; `early` are quotes that were requested
        since then. Raises `ClaimLostError` and `UnavailableError`.
        """
        job = Job.of(claimed, claimed_at, may_send)
        job.early = early
        # An open attempt always comes first: its outcome must be proven before anything else is signed.
        if claimed.attempt is not None:
            return await self._resume(job, located(claimed.attempt, self._venues))
        # An attempt that was proven expired may be on chain all the same, if a node reported a wrong height.
        if job.signatures:
            landed = await self._settlement.find_landed(job.signatures, job.order.swap)
            if landed:
                return await self._end_with_earlier_landing(job, landed)
        # Only from here on: an attempt that was signed before is settled, whatever the setting is now.
        job.dry = job.dry or self._dry_run
        if self._clock.monotonic() >= job.deadline:
            await self._failures.expire(job, TOO_LATE)
            return None
        if (halt := self._halted.halt_of(job)) is not None:
            return await self._halted.wait(job, halt)
        if job.group_signatures and (held := await self._group_landing(job)):
            return await self._failures.retry_or_end(job, held)
        return await (self._start_round(job) if client_address(job.order.wallet) is None else self._with_client(job))

    async def poison(self, claimed: Claimed) -> None:
        """Fail an order without an open attempt, after too many crashes in a row."""
        order = claimed.order
        self._observer.order_poisoned(order.id, order.claims)
        job = Job.of(claimed, 0, lambda: False)
        detail = f"given up: {order.claims} times in a row the worker crashed while it executed this order"
        await self._failures.fail(job, FailedRound(reason=FailureReason.POISONED, detail=detail, retry=Retry.NEVER))

    # What a claimed order may have left over

    async def _resume(self, job: Job, attempt: Attempt) -> RetryAfter | None:
        """Settle an attempt of an earlier execution, if its chain can be reached from here."""
        problem = self._settlement.why_unreachable(attempt.signed)
        if not problem:
            return await self._settle(job, attempt, resumed=True)
        self._observer.attempt_chain_unavailable(job.order.id, attempt.venue, problem)
        waiting = Waiting(WaitsFor.NETWORK, f"its transaction cannot be looked up here: {problem}")
        await self._notes.write(job, waiting)
        return await self._release(job, UNAVAILABLE_CHAIN_PAUSE_MS)

    async def _end_with_earlier_landing(self, job: Job, landed: Sequence[EarlierLanding]) -> RetryAfter | None:
        if await self._fills.end_with_earlier(job, landed):
            return None
        # Nothing may be signed while it could be a second swap: wait until it is final, or gone.
        await self._notes.write(job, Waiting(WaitsFor.FINALITY, "an earlier attempt landed, and is not final yet"))
        return await self._release(job, self._finality_ms or self._settlement.finality_pause_ms())

    async def _group_landing(self, job: Job) -> FailedRound | None:
        """The round that must not begin, since an attempt of another order of the group is on chain."""
        landed = await self._settlement.find_landed(job.group_signatures, job.order.swap)
        if not landed:
            return None
        # Its order may rest, since that attempt was proven expired: a worker must correct it, and then it fills the
        # group. An order whose attempt is open, or that has ended, is not affected.
        signatures = [landing.signature for landing in landed]
        await self._store.wake_landed(job.order.oco_group or "", signatures)
        detail = f"a swap of another order of its group is on chain: {', '.join(signatures)}"
        return group_held(detail)

    async def _release(self, job: Job, delay_ms: float) -> RetryAfter:
        """Release the claim, so that any worker can take the order up in `delay_ms`."""
        await self._store.release(
            Release(order_id=job.order.id, claim=job.order.claim, blame=False, resume_in_ms=delay_ms)
        )
        return RetryAfter(delay_ms)

    async def _with_client(self, job: Job) -> RetryAfter | None:
        """Settle what the client has signed; wait while it has not; begin a round where there is nothing to sign."""
        try:
            found = await self._clients.resume(job)
        except VenueError as error:
            return await self._failures.retry_or_end(job, failed_round_of([Answer.of("node", error)]))
        except NOT_RECORDED as error:
            return await self._unrecorded.wait(job, error)
        if found is None:
            return await self._start_round(job)
        return found if isinstance(found, RetryAfter) else await self._settle(job, found, resumed=False)

    # A round: quotes, the choice, an attempt

    async def _start_round(self, job: Job) -> RetryAfter | None:
        """Collect quotes and execute the best one that the order accepts."""
        # Without a signer, quotes and simulations would only cost the nodes requests, and this order its place.
        trouble = self._settlement.wallet_trouble(job.order.wallet, signs=not job.dry)
        if trouble is not None:
            return await self._unrecorded.wait_for_signer(job, no_signature(trouble))
        job.rounds += 1
        try:
            share = await self._shares.fix(job)
        except VenueError as error:
            failed = failed_round_of([Answer.of("wallet", error)], {"round": job.rounds, "quotes": []})
            return await self._failures.retry_or_end(job, failed)
        begun = self._clock.monotonic()
        limits = await self._policies.limits_of(job.order.owner, job.order.wallet)
        routing = await self._quotes(job, limits)
        now = self._clock.monotonic()
        job.took(Stage.ROUTING, now - begun)
        self._observer.tracer.stage(Stage.ROUTING, begun, now, round=job.rounds)
        if share:
            # The amount is that of one wallet, and every network has its own.
            routing = self._shares.from_one_wallet(routing)
        await self._failpoints.reach(Failpoint.QUOTED)
        routing = await within_conditions(self._store, job.order, routing, self._clock)
        accepted = accept(limits.tightened(job.order, self._max_price_impact_bps), routing, self._max_price_impact_bps)
        accepted = replace(accepted, routing=limits.within(accepted.order, accepted.routing))
        job.order = accepted.order
        job.fixed = accepted.fixed
        quotes = {**self._quotes_detail(job, accepted), **share}
        if accepted.bound is None or not accepted.routing.ranking:
            failed = failed_round_of(accepted.routing.answers, quotes, accepted.routing.breakers_open_ms)
            return await self._failures.retry_or_end(
                job, await self._with_suggested_size(job, accepted.routing, failed, limits)
            )
        await self._failpoints.reach(Failpoint.CHOSEN)
        return await self._execute_best(job, accepted.routing, accepted.bound, quotes)

    async def _quotes(self, job: Job, limits: OwnerLimits) -> Routing:
        """Quotes for the order: those that were requested while it was claimed, or new ones."""
        early = job.early
        job.early = None  # for the first round only
        if early is not None:
            routing = await early.routing(job.order.swap, limits.venues, self._clock.monotonic())
            if routing is not None:
                return routing
        self._settlement.expect(job.order.wallet, job.order.swap)
        return await self._router.route(job.order.swap, job.deadline, limits.venues)

    def _quotes_detail(self, job: Job, accepted: Accepted) -> dict[str, object]:
        """The detail of the `routing` event: all answers, each with the reason why it was not chosen."""
        detail: dict[str, object] = {
            "round": job.rounds,
            "quotes": self._presenter.answers(job.order, accepted.routing),
        }
        if accepted.bound is not None:
            detail |= {"minOut": str(accepted.bound.min_out), "maxIn": str(accepted.bound.max_in)}
        return detail

    async def _with_suggested_size(
        self, job: Job, routing: Routing, failed: FailedRound, limits: OwnerLimits
    ) -> FailedRound:
        """Where the order is too large for every venue, add what size would not be."""
        if failed.reason != FailureReason.PRICE_IMPACT:
            return failed
        too_large = [
            answer.quote for answer in routing.answers if answer.quote and answer.code == FailureReason.PRICE_IMPACT
        ]
        suggested = await suggest_size(
            lambda request: self._router.route(request, job.deadline, limits.venues),
            job.order.swap,
            too_large,
            impact_limit_ppm(job.order, self._max_price_impact_bps),
        )
        return replace(failed, detail=f"{failed.detail}; {self._presenter.size(job.order, suggested)}")

    async def _execute_best(
        self, job: Job, routing: Routing, bound: Bound, quotes: dict[str, object]
    ) -> RetryAfter | None:
        """Build the quotes from best to worst, and settle (dry: simulate) the first one that can be built."""
        failures: list[Answer] = []
        for quote in routing.ranking:
            quoted = self._presenter.quote(job.order, quote)
            building = {"venue": quote.venue, **quoted}
            unwritten = Unwritten(((Trigger.ROUTE, quotes), (Trigger.BUILD, building)), rounds=1)
            if failures:
                # The quotes were written when the first venue failed; this event reports why the next one is tried.
                building = {"reason": failures[-1].code, "detail": failures[-1].detail, **building}
                unwritten = Unwritten(((Trigger.BUILD, building),))
            choice = ChosenQuote(quote, quoted, bound, unwritten)
            try:
                if job.dry:
                    await self._dry.end(job, self._venues[quote.venue], choice)
                    return None
                attempt = await self._recorder.record(job, choice)
            except ClientSignatureNeeded as needed:
                return await self._clients.hand_out(job, choice, needed)
            except VenueError as error:
                failures.append(Answer.of(quote.venue, error))
                continue
            except NOT_RECORDED as error:
                return await self._unrecorded.wait(job, error)
            await self._failpoints.reach(Failpoint.RECORDED)
            return await self._settle(job, attempt, resumed=False)
        return await self._failures.retry_or_end(job, nothing_built(failures, routing.answers))

    # Settlement

    async def _settle(self, job: Job, attempt: Attempt, *, resumed: bool) -> RetryAfter | None:
        """Send the attempt and wait for its outcome; then write it."""
        is_older = resumed or attempt.age_ms > 0
        signed_at = job.begun - attempt.age_ms / 1000 if is_older else self._clock.monotonic()
        # A swap that was confirmed once was sent in time, and its client has seen it: the deadline no longer applies.
        was_confirmed = job.cause is not None and job.cause.reason == UNCONFIRMED
        pending = PendingAttempt(
            signed=attempt.signed,
            request=job.order.swap,
            deadline=math.inf if was_confirmed else job.deadline,
            resumed=resumed,
            earlier_signatures=job.signatures_except(attempt),
            venue=self._venues.get(attempt.venue),
            signed_at=signed_at,
        )
        begun = self._clock.monotonic()
        result = await self._settlement.settle(pending, job.may_send, partial(self._notes.report, job))
        now = self._clock.monotonic()
        job.took(Stage.CONFIRMING, now - begun)
        self._observer.tracer.stage(
            Stage.CONFIRMING, begun, now, error=result.reason, venue=attempt.venue, attempt=attempt.n
        )
        await self._failpoints.reach(Failpoint.PROVEN)
        retry_after = await self._write_result(job, attempt, result)
        await self._failpoints.reach(Failpoint.CONCLUDED)
        return retry_after

    async def _write_result(self, job: Job, attempt: Attempt, result: SettlementResult) -> RetryAfter | None:
        """End the order, leave it to the finality watcher, or retry it."""
        is_final = result.outcome.proven
        # A confirmed swap has no outcome yet: the chain may still take it back, and the attempt stays open until then.
        resolution = Resolution(attempt.n, result.outcome if is_final else None, result.proof, result.sends)
        if result.fill is not None:
            pause_ms = self._finality_ms or self._settlement.finality_pause_ms(attempt.signed.network)
            # This worker goes on holding a confirmed order, for its watcher; one that it has no room for is released.
            keeps = not is_final and self._watched.has_room()
            look_in_ms = None if is_final or keeps else pause_ms
            begun = self._clock.monotonic()
            await self._fills.write(job, attempt, result.fill, resolution, result.earlier, resume_in_ms=look_in_ms)
            if keeps:
                seen = WatchedOrder(job, replace(attempt, landed_slot=result.fill.slot))
                self._watched.add(seen, pause_ms)
            if is_final:
                self._observer.tracer.stage(ENDED, begun, self._clock.monotonic(), status=job.status.value)
            return None
        about: Detail = {**attempt.about(), "outcome": result.outcome, "proof": result.proof}
        if result.earlier:
            ended = {**about, "reason": result.reason, "detail": result.detail}
            await self._fills.end_with_earlier(job, result.earlier, (Trigger.ROUTE, ended), resolution)
            self._observer.metrics.attempt_resolved(attempt.venue, result.outcome)
            return None
        failed = FailedRound(reason=result.reason, detail=result.detail, retry=Retry.UNTIL_DEADLINE, attempt=about)
        retry_after = await self._failures.retry_or_end(job, failed, resolution)
        self._observer.metrics.attempt_resolved(attempt.venue, result.outcome)
        return retry_after

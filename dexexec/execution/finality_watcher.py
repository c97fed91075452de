"""Looks whether the swaps of confirmed orders are final, many orders at a time, beside the turns of a worker's orders.

A page of confirmed orders is taken from Postgres for one look, which asks the chain for all of them at once. What is
final ends its order; what the chain took back goes to the queue, and some worker sends it again; what is confirmed as
before is left alone until it is due for the next look, here or in another process. So a process that dies costs the
orders in its hands one look.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from dexexec.broker.queue import Queue
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.outcome import Outcome
from dexexec.domain.wait_reason import NOT_FINAL, Waiting, WaitsFor
from dexexec.errors import ClaimLostError, UnavailableError
from dexexec.execution.event_detail import Presenter
from dexexec.execution.fills import FillWriter
from dexexec.execution.job import Job, StepWriter, located
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.settlement.finality import ConfirmedSwap, Final, TakenBack, Verdict
from dexexec.settlement.settlement import Settlement
from dexexec.store import Attempt, Claimed, ConfirmedPage, Resolution, Store, WaitNote
from dexexec.venue import AnyVenue

PAGE = 256
"""Orders of one look: as many signatures as a node of Solana takes in one request."""
LONGEST_PAUSE = 1.0
"""Seconds between two searches for orders that are due."""
NOBODYS_MS = 60_000.0
"""An order that has been due for so long is of a network that no process serves, and says so."""
MOST_REMEMBERED = 10_000
"""Orders whose last look was in vain. It only decides what they say they wait for."""


class FinalityWatcher:
    """Looks at each confirmed order every `finality_ms`, on the networks of `settlement`. `venues` tell the network of
    attempts that do not name it."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        settlement: Settlement,
        venues: Mapping[str, AnyVenue],
        presenter: Presenter,
        finality_ms: float,
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._failpoints = failpoints
        self._store, self._queue, self._settlement, self._venues = store, queue, settlement, venues
        self._fills, self._finality_ms = FillWriter(store, StepWriter(store), presenter, clock, observer), finality_ms
        self._clock, self._observer = clock, observer
        self._in_vain: set[UUID] = set()

    async def run(self, worker: int) -> None:
        """Watch as the worker session `worker`, until cancelled; each network at its own pace."""
        pause = min(LONGEST_PAUSE, self._finality_ms / 4_000)
        async with asyncio.TaskGroup() as loops:
            for network in self._settlement.networks:
                loops.create_task(self._again_and_again(partial(self.look, network, worker), pause))
            loops.create_task(self._again_and_again(partial(self.tell_of_nobodys, worker), NOBODYS_MS / 1_000))

    async def _again_and_again(self, once: Callable[[], Awaitable[None]], pause: float) -> None:
        outage: float | None = None
        while True:
            await self._clock.sleep(pause)
            try:
                await once()
            except UnavailableError as error:
                if outage is None:
                    outage = self._clock.monotonic()
                    self._observer.server_unavailable("looking at confirmed orders", error)
            except asyncio.CancelledError:
                raise_if_cancelled()  # else somebody else's work was given up, and the next look asks for it again
            except Exception as error:  # noqa: BLE001 - a bug must cost a look, not the worker its life
                self._observer.finality_check_failed(error)
            else:
                if outage is not None:
                    self._observer.server_recovered("looking at confirmed orders", self._clock.monotonic() - outage)
                    outage = None
            raise_if_cancelled()

    async def look(self, network: str, worker: int) -> None:
        """Look once at every order of `network` that is due. Raises `UnavailableError`."""
        venues = [name for name, venue in self._venues.items() if venue.capabilities.network == network]
        page = ConfirmedPage(
            next_look_ms=self._finality_ms,
            network=network,
            genesis=self._settlement.networks[network],
            venues=venues,
            limit=PAGE,
        )
        async for asked, taken in self._pages(page, worker):
            await self._failpoints.reach(Failpoint.WATCHING)
            jobs = [Job.of(one, asked, lambda: False) for one in taken]
            attempts = [self._attempt(one) for one in taken]
            swaps = [self._swap(job, attempt) for job, attempt in zip(jobs, attempts, strict=True)]
            verdicts = await self._settlement.check_finality(network, swaps)
            await self._failpoints.reach(Failpoint.WATCHED)
            await self._write(jobs, attempts, verdicts)

    async def tell_of_nobodys(self, worker: int) -> None:
        """Let orders that no process looks at say why. Raises `UnavailableError`."""
        page = ConfirmedPage(next_look_ms=self._finality_ms, overdue_ms=NOBODYS_MS, limit=PAGE)
        async for asked, taken in self._pages(page, worker):
            for one in taken:
                attempt = self._attempt(one)
                why = self._settlement.why_unreachable(attempt.signed)
                if why:
                    if self._is_new(one.order.id):
                        self._observer.attempt_chain_unavailable(one.order.id, attempt.venue, why)
                    waiting = Waiting(WaitsFor.NETWORK, f"its transaction cannot be looked up here: {why}")
                    await self._note(Job.of(one, asked, lambda: False), waiting)

    async def _pages(self, page: ConfirmedPage, worker: int) -> AsyncIterator[tuple[float, list[Claimed]]]:
        """What is due, a page after the other, each with when it was asked for (monotonic seconds)."""
        while True:
            asked = self._clock.monotonic()
            taken = await self._store.take_confirmed(worker, page)
            if taken:
                yield asked, taken
            if len(taken) < page.limit:
                return
            page = replace(page, behind=(taken[-1].order.created_at, taken[-1].order.id))
            raise_if_cancelled()

    def _attempt(self, claimed: Claimed) -> Attempt:
        assert claimed.attempt is not None  # noqa: S101 - only orders with an open attempt are taken
        return located(claimed.attempt, self._venues)

    def _swap(self, job: Job, attempt: Attempt) -> ConfirmedSwap:
        ago = self._clock.monotonic() - job.begun + attempt.age_ms / 1000
        return ConfirmedSwap(
            signed=attempt.signed,
            request=job.order.swap,
            earlier_signatures=tuple(
                signature for signature in job.signatures if signature != attempt.signed.signature
            ),
            landed_slot=attempt.landed_slot,
            signed_ago=ago,
        )

    async def _write(self, jobs: Sequence[Job], attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> None:
        """Write what was found of a page, all in one commit. What fails for one order keeps no other from it."""
        found = list(zip(jobs, attempts, verdicts, strict=True))
        results = await asyncio.gather(*(self._write_one(*one) for one in found), return_exceptions=True)
        await self._failpoints.reach(Failpoint.BOOKED)
        back = [
            job.order.id
            for (job, _, verdict), result in zip(found, results, strict=True)
            if isinstance(verdict, TakenBack) and result is None
        ]
        with contextlib.suppress(UnavailableError):  # then the sweeper finds them
            await self._queue.enqueue(back)
        outage: BaseException | None = None
        for job, result in zip(jobs, results, strict=True):
            match result:
                case ClaimLostError():
                    self._observer.claim_lost(job.order.id)
                case UnavailableError() | asyncio.CancelledError():
                    outage = result
                case BaseException() if self._is_new(job.order.id):
                    self._observer.order_run_crashed(job.order.id, job.order.claims, result)
        if outage is not None:
            raise outage

    async def _write_one(self, job: Job, attempt: Attempt, verdict: Verdict) -> None:
        match verdict:
            case Final(fill, proof, earlier):
                await self._fills.write(job, attempt, fill, Resolution(attempt.n, Outcome.LANDED, proof), earlier)
            case TakenBack():
                await self._fills.taken_back(job, attempt, verdict)
            case Waiting():
                if not self._is_new(job.order.id):
                    await self._note(job, verdict)
                return
            case None if job.order.id in self._in_vain:
                await self._note(job, NOT_FINAL)
        self._in_vain.discard(job.order.id)

    def _is_new(self, order_id: UUID) -> bool:
        """Whether the look before, if there was one here, was not in vain. This one is."""
        if order_id in self._in_vain:
            return False
        if len(self._in_vain) >= MOST_REMEMBERED:
            self._in_vain.clear()
        self._in_vain.add(order_id)
        return True

    async def _note(self, job: Job, waiting: Waiting) -> None:
        with contextlib.suppress(UnavailableError):  # it decides nothing; it is noted again after the next look
            await self._store.note(WaitNote(job.order.id, job.order.claim, waiting.reason, clean(waiting.detail)))

"""Requests quotes from all venues at the same time, under one deadline, and ranks them: the first step of a round.

The best quote receives most for an exact input, or pays least for an exact output, after the venue's fee and the
network's cost. A venue that hangs, fails or answers nonsense does not affect the others; one that keeps failing is
skipped for a while (by a circuit breaker). Every answer is returned, with the reason if it was rejected.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception, raise_if_cancelled
from dexexec.concurrency.circuit_breaker import Breaker, State
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean, code_of, is_retryable, is_shared
from dexexec.venue import (
    AnyVenue,
    BadAnswer,
    Capabilities,
    InsufficientFunds,
    NoRoute,
    Timeout,
    Unreachable,
    Unsupported,
    VenueError,
)
from dexexec.venues.quote_check import checked, refusal_of
from dexexec.venues.ranking import rank
from dexexec.venues.statistics import VenueAnswer, VenueFigures, VenueStatistics

HARMLESS = frozenset(error.code for error in (NoRoute, Unsupported, InsufficientFunds))
"""Errors that are normal answers of a working venue. A breaker counts them as successes."""
QUARANTINE_SECONDS = 5.0
"""How long an order waits before it looks again whether the quarantine of its only venue has ended."""
CUT_SHORT = "the order's deadline came before a quote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One venue's answer: a quote, or the code and text of an error, or a quote with the reason why it was rejected.

    `shared`: the cause lies outside the venue. `breaker_open_seconds`: the venue was skipped; how long its breaker
    stays open."""

    venue: str
    elapsed_ms: int = 0
    quote: Quote | None = None
    code: str = ""
    detail: str = ""
    retryable: bool = True
    shared: bool = False
    breaker_open_seconds: float | None = None

    @classmethod
    def of(cls, venue: str, error: VenueError, elapsed_ms: int = 0) -> "Answer":
        """An error as an answer, with a code and text that can be stored."""
        return cls(
            venue=venue,
            elapsed_ms=elapsed_ms,
            code=code_of(error),
            detail=clean(error),
            retryable=is_retryable(error),
            shared=is_shared(error),
        )

    def rejected(self, code: str, detail: str, *, retryable: bool = True) -> "Answer":
        """The same quote, rejected for a reason."""
        return replace(self, code=code, detail=detail, retryable=retryable)


@dataclass(frozen=True, slots=True)
class Routing:
    """All answers, and the acceptable quotes among them from best to worst."""

    answers: tuple[Answer, ...]
    ranking: tuple[Quote, ...]

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "Routing":
        """The answers with their ranking."""
        return cls(tuple(answers), rank([answer.quote for answer in answers if answer.quote and not answer.code]))

    @property
    def breakers_open_ms(self) -> float | None:
        """Milliseconds until the first breaker lets a request pass. None if any suitable venue was requested."""
        able = [answer.breaker_open_seconds for answer in self.answers if answer.code != Unsupported.code]
        open_seconds = [seconds for seconds in able if seconds is not None]
        return min(open_seconds) * 1000 if open_seconds and len(open_seconds) == len(able) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueReport:
    """A venue's state in this process: what it supports, its breaker, and what it answered lately."""

    venue: str
    capabilities: Capabilities
    breaker: str
    breaker_open_seconds: float
    breaker_cause: str
    figures: VenueFigures


def no_quarantine(venue: str) -> str:
    """Why a venue is quarantined, where nothing watches programs: it is not."""
    return ""


def no_tip(venue: AnyVenue, quote: Quote) -> int:
    """The tip where there are none: 0."""
    return 0


class Router:
    """Collects quotes from `venues`.

    `timeout_ms` is the time limit for all of them. After `breaker_failures` failures in a row, a venue's breaker opens
    for `breaker_seconds`. Several routers over the same venues may share their `statistics`. `tip` returns the lamports
    that the engine adds to the swap of a quote, and `quarantine` why a venue gets no requests at present. `combined`
    are the engine's own venues, whose quotes may have legs.
    """

    def __init__(
        self,
        venues: Mapping[str, AnyVenue],
        clock: Clock,
        observer: Observer,
        *,
        timeout_ms: int,
        breaker_failures: int,
        breaker_seconds: float,
        statistics: VenueStatistics | None = None,
        tip: Callable[[AnyVenue, Quote], int] = no_tip,
        quarantine: Callable[[str], str] = no_quarantine,
        combined: Collection[str] = (),
    ) -> None:
        self.venues = venues
        self._clock = clock
        self._observer = observer
        self._timeout = timeout_ms / 1000
        self._tip = tip
        self._quarantine = quarantine
        self._combined = combined
        self._breakers = {
            name: Breaker(
                breaker_failures, breaker_seconds, clock.monotonic, partial(observer.breaker_state_changed, name)
            )
            for name in venues
        }
        self.statistics = statistics or VenueStatistics(venues)
        # Keeps references to cancelled tasks that still run, or the garbage collector could drop them half-way.
        self._abandoned: set[asyncio.Task[Answer]] = set()

    async def route(self, request: SwapRequest, deadline: float, only: Collection[str] | None = None) -> Routing:
        """Quotes for `request` by the earlier of the router's timeout and `deadline` (monotonic seconds). Only the
        venues in `only` are queried (None: all)."""
        begun = self._clock.monotonic()
        timeout_at = begun + self._timeout
        until = min(deadline, timeout_at)
        answers: dict[str, Answer] = {}
        requested: dict[str, asyncio.Task[Answer]] = {}
        for name, venue in self.venues.items():
            refusal = _not_allowed(name) if only is not None and name not in only else None
            refusal = refusal or self._refusal(name, venue, request)
            if refusal is not None:
                answers[name] = refusal
            else:
                # A copy for each venue: an adapter could change it.
                requested[name] = asyncio.create_task(self._request(name, venue, replace(request), until))
        try:
            if requested:
                await asyncio.wait(requested.values(), timeout=max(0.0, until - self._clock.monotonic()))
        except BaseException:
            # This order was cancelled. Its requests must release the breakers, or a half-open one would stay busy.
            for name, task in requested.items():
                self._breakers[name].abandoned()
                self._abandon(task)
            raise
        # Tasks that are still running are left behind: no venue may delay the order past its deadline.
        for name, task in requested.items():
            if task.done() and not task.cancelled():
                answers[name] = task.result()
            else:
                answers[name] = self._late(name, by_order=deadline < timeout_at)
                self._abandon(task)
        if deadline < timeout_at:
            answers |= {name: _cut_short(answers[name]) for name in requested}
        self._count([answers[name] for name in requested])
        for name in requested:
            ended = begun + answers[name].elapsed_ms / 1000
            self._observer.tracer.stage("quote", begun, ended, error=answers[name].code, venue=name)
        routing = Routing.of([_without_forbidden(answers[name], only) for name in self.venues])
        self._record(routing, requested)
        return routing

    def breaker_states(self) -> dict[str, State]:
        """The state of each venue's breaker, by venue."""
        return {
            # Open until a request may try the venue, whether one has come since or not.
            name: State.HALF_OPEN if breaker.state is State.OPEN and not breaker.remaining_seconds() else breaker.state
            for name, breaker in self._breakers.items()
        }

    def trouble(self) -> str:
        """Why no venue gets requests; an empty text while at least one does."""
        # A half-open breaker counts as well: one order tries the venue, and the others wait.
        causes = {
            name: FailureReason.QUARANTINED.value if self._quarantine(name) else breaker.cause[0]
            for name, breaker in self._breakers.items()
            # What combines other venues is of no use without them.
            if name not in self._combined and (breaker.state is not State.CLOSED or self._quarantine(name))
        }
        if not causes or len(causes) < len(self._breakers.keys() - set(self._combined)):
            return ""
        shown = ", ".join(f"{name} ({cause})" for name, cause in causes.items())
        # Failures only, in the words that operators search for; a quarantine is not a failure of the venue.
        only_failures = FailureReason.QUARANTINED.value not in causes.values()
        return f"every venue is skipped{' after failures' if only_failures else ''}: {shown}"

    def open_breakers(self) -> dict[str, Breaker]:
        """The breakers of the venues that are skipped now, by venue."""
        return {name: breaker for name, breaker in self._breakers.items() if breaker.remaining_seconds()}

    def report(self) -> list[VenueReport]:
        """The state of every venue, in the order of the configuration."""
        return [
            VenueReport(
                venue=name,
                capabilities=venue.capabilities,
                breaker=self._breakers[name].state.value,
                breaker_open_seconds=self._breakers[name].remaining_seconds(),
                breaker_cause=self._breakers[name].cause[0],
                figures=self.statistics.figures(name),
            )
            for name, venue in self.venues.items()
        ]

    def _record(self, routing: Routing, requested: Iterable[str]) -> None:
        best = routing.ranking[0].venue if routing.ranking else ""
        by_venue = {answer.venue: answer for answer in routing.answers}
        for name in requested:
            answer = by_venue[name]
            if answer.quote is not None:
                self._observer.metrics.venue_quoted(name, answer.elapsed_ms / 1000, best=name == best)
            elif answer.code != FailureReason.DEADLINE:
                self._observer.metrics.venue_failed(name, answer.code)
            if answer.code != FailureReason.DEADLINE:  # the order had no time left, which says nothing of the venue
                recorded = VenueAnswer(
                    quoted=answer.quote is not None,
                    elapsed_ms=answer.elapsed_ms,
                    best=name == best,
                    code=answer.code,
                )
                self.statistics.add(name, recorded)

    def _refusal(self, name: str, venue: AnyVenue, request: SwapRequest) -> Answer | None:
        """Why the venue gets no request, or None. With None, its breaker expects a result."""
        try:
            refusal = refusal_of(venue, replace(request))
        except BadAnswer as error:
            self._observer.adapter_misbehaved(name, request, error)
            return Answer.of(name, error)
        except BaseException as error:  # noqa: BLE001 - it is an adapter's code
            self._observer.adapter_misbehaved(name, request, error)
            return Answer(venue=name, code=BadAnswer.code, detail="the adapter failed to check the request")
        if refusal:
            return Answer(venue=name, code=Unsupported.code, detail=clean(refusal), retryable=False)
        if quarantined := self._quarantine(name):
            return Answer(
                venue=name,
                code=FailureReason.QUARANTINED,
                detail=clean(quarantined),
                breaker_open_seconds=QUARANTINE_SECONDS,
            )
        breaker = self._breakers[name]
        if breaker.enter():
            return None
        code, detail = breaker.cause
        remaining = breaker.remaining_seconds()
        until = f"skipped for another {remaining:.1f} s" if remaining else "another order is trying it now"
        return Answer(venue=name, code=code, detail=f"{detail or code} ({until})", breaker_open_seconds=remaining)

    def _late(self, name: str, *, by_order: bool) -> Answer:
        """The missing answer of a venue: within the router's time, or (`by_order`) before the order's deadline."""
        if by_order:
            return Answer(venue=name, code=FailureReason.DEADLINE, detail=CUT_SHORT)
        late = round(self._timeout * 1000)
        return Answer(venue=name, elapsed_ms=late, code=Timeout.code, detail=f"no quote within {late} ms")

    def _count(self, answers: Sequence[Answer]) -> None:
        """Count the results in the breakers."""
        # A timeout only counts against a venue if another one answered. If all are late, the cause is what they share:
        # the node or this machine. An error that the node caused is not an answer either.
        in_time = any(
            not answer.shared and answer.code not in (Timeout.code, FailureReason.DEADLINE) for answer in answers
        )
        for answer in answers:
            breaker = self._breakers[answer.venue]
            if answer.quote is not None or answer.code in HARMLESS:
                breaker.succeeded()
            elif (
                answer.shared or answer.code == FailureReason.DEADLINE or (answer.code == Timeout.code and not in_time)
            ):
                breaker.abandoned()
            else:
                breaker.failed(answer.code, answer.detail)

    def _abandon(self, task: asyncio.Task[Answer]) -> None:
        """Cancel a task without waiting for it, because an adapter may delay even its cancellation."""
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        task.add_done_callback(ignore_exception)
        task.cancel()

    async def _request(self, name: str, venue: AnyVenue, request: SwapRequest, deadline: float) -> Answer:
        begun = self._clock.monotonic()
        try:
            quote = await self._quote(name, venue, request, deadline)
        except VenueError as error:
            return Answer.of(name, error, self._since(begun))
        return Answer(venue=name, elapsed_ms=self._since(begun), quote=quote)

    async def _quote(self, name: str, venue: AnyVenue, request: SwapRequest, deadline: float) -> Quote:
        # The adapter gets one copy, and its answer is compared with another one that it cannot have changed.
        original = replace(request)
        try:
            answer = await venue.quote(request, deadline)
            quote = checked(name, original, answer, self._clock.unix_ms(), combined=name in self._combined)
            # What a venue states about it does not count: the engine pays it.
            return replace(quote, tip=self._tip(venue, quote))
        except VenueError as error:
            if isinstance(error, BadAnswer) and not is_shared(error):
                self._observer.adapter_misbehaved(name, original, error)
            raise
        except asyncio.CancelledError as error:
            # If this task was not cancelled, the adapter raised it itself.
            raise_if_cancelled()
            raise BadAnswer("the adapter gave up") from error
        # Not only Exception: a panic in a Rust library is a BaseException.
        except BaseException as error:
            self._observer.adapter_misbehaved(name, original, error)
            raise BadAnswer("the adapter failed") from error

    def _since(self, begun: float) -> int:
        return round((self._clock.monotonic() - begun) * 1000)


def _not_allowed(venue: str) -> Answer:
    """The answer of a venue that the policy of the order's key leaves out."""
    detail = "the policy of the order's key does not allow this venue"
    return Answer(venue=venue, code=FailureReason.POLICY, detail=detail, retryable=False)


def _without_forbidden(answer: Answer, only: Collection[str] | None) -> Answer:
    """The answer, with a quote rejected that uses pools of a venue that is left out."""
    legs = answer.quote.legs if answer.quote else ()
    forbidden = sorted({leg.venue for leg in legs if only is not None and leg.venue not in only})
    if not forbidden:
        return answer
    detail = f"the policy of the order's key does not allow {' and '.join(forbidden)}"
    return answer.rejected(FailureReason.POLICY, detail, retryable=False)


def _cut_short(answer: Answer) -> Answer:
    """The answer of a venue that only had until the order's deadline.

    A timeout, or a connection that was given up for lack of time, is the order's deadline and not the venue's fault.
    """
    if answer.code not in (Timeout.code, Unreachable.code):
        return answer
    return replace(answer, code=FailureReason.DEADLINE, detail=f"{CUT_SHORT}: {answer.detail}")

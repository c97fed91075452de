"""The router: asks every venue at once under one deadline and ranks what they answer. Between pending and building.

The best quote is the one that leaves the taker most, after the venue's fee (inside the amounts) and the network's
cost: most received for an exact input, least paid for an exact output. The network's cost is in lamports; it is
weighed when one side of the swap is SOL, by the quote's own price, and left out where there is no price for it.

A venue that hangs, fails or answers nonsense loses its turn and nothing else: the rest go on. One that keeps failing
by itself rests for a while (`dexexec.venues.circuit_breaker`). Every answer is kept with the reason why it lost.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception, raise_if_cancelled
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.token import WSOL
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean, code_of, is_retryable, is_shared
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, NoRoute, Timeout, Unreachable, Unsupported, VenueError
from dexexec.venues.circuit_breaker import Breaker
from dexexec.venues.quote_check import checked, refusal_of

HARMLESS = frozenset(error.code for error in (NoRoute, Unsupported, InsufficientFunds))
"""Answers that say nothing against the venue: its breaker counts them as answers."""
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
        """The answer that an error is, in words and codes that can be recorded."""
        return cls(
            venue=venue,
            elapsed_ms=elapsed_ms,
            code=code_of(error),
            detail=clean(error),
            retryable=is_retryable(error),
            shared=is_shared(error),
        )

    def rejected(self, code: str, detail: str, *, retryable: bool = True) -> "Answer":
        """The same quote, which may not be taken."""
        return replace(self, code=code, detail=detail, retryable=retryable)


@dataclass(frozen=True, slots=True)
class Routing:
    """All answers, and the quotes among them that may be taken, from best to worst."""

    answers: tuple[Answer, ...]
    ranking: tuple[Quote, ...]

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "Routing":
        """The answers, ranked."""
        return cls(tuple(answers), rank([answer.quote for answer in answers if answer.quote and not answer.code]))

    @property
    def breakers_open_ms(self) -> float | None:
        """How long every venue that can do the order still rests, at least; None when one of them was asked."""
        able = [answer.breaker_open_seconds for answer in self.answers if answer.code != Unsupported.code]
        rests = [rest for rest in able if rest is not None]
        return min(rests) * 1000 if rests and len(rests) == len(able) else None


def network_cost(quote: Quote) -> int:
    """The network fee in base units of what is counted: output for exact in, input for exact out. Rounded up."""
    request = quote.request
    counted, other = (
        (request.mint_out, request.mint_in) if request.mode is Mode.EXACT_IN else (request.mint_in, request.mint_out)
    )
    if counted == WSOL:
        return quote.network_fee
    if other == WSOL:
        price_of_counted, price_of_other = (
            (quote.amount_out, quote.amount_in)
            if request.mode is Mode.EXACT_IN
            else (quote.amount_in, quote.amount_out)
        )
        return -(-quote.network_fee * price_of_counted // price_of_other)
    return 0


def net_amount(quote: Quote) -> int:
    """What ranks a quote: base units received (exact in) or paid (exact out), network cost included."""
    cost = network_cost(quote)
    return quote.amount_out - cost if quote.request.mode is Mode.EXACT_IN else quote.amount_in + cost


def rank(quotes: Sequence[Quote]) -> tuple[Quote, ...]:
    """Best first. Equal ones keep the order in which the venues are configured."""
    if not quotes:
        return ()
    return tuple(sorted(quotes, key=net_amount, reverse=quotes[0].request.mode is Mode.EXACT_IN))


class Router:
    """Asks `venues`. `timeout_ms` is the one deadline for all of them; `breaker_failures` in a row open a venue's
    breaker for `breaker_seconds`."""

    def __init__(
        self,
        venues: Mapping[str, AnyVenue],
        clock: Clock,
        observer: Observer,
        *,
        timeout_ms: int,
        breaker_failures: int,
        breaker_seconds: float,
    ) -> None:
        self._venues, self._clock, self._observer, self._timeout = venues, clock, observer, timeout_ms / 1000
        self._breakers = {
            name: Breaker(
                breaker_failures, breaker_seconds, clock.monotonic, partial(observer.breaker_state_changed, name)
            )
            for name in venues
        }
        self._strays: set[asyncio.Task[Answer]] = set()

    async def route(self, request: SwapRequest, deadline: float) -> Routing:
        """Quotes for `request` by the earlier of the router's timeout and `deadline` (monotonic seconds)."""
        patience = self._clock.monotonic() + self._timeout
        until = min(deadline, patience)
        answers: dict[str, Answer] = {}
        asked: dict[str, asyncio.Task[Answer]] = {}
        for name, venue in self._venues.items():
            refusal = self._refusal(name, venue, request)
            if refusal is not None:
                answers[name] = refusal
            else:
                # Each venue has a request of its own, which it may spoil.
                asked[name] = asyncio.create_task(self._ask(name, venue, replace(request), until))
        try:
            if asked:
                await asyncio.wait(asked.values(), timeout=max(0.0, until - self._clock.monotonic()))
        except BaseException:
            for name, task in asked.items():
                self._breakers[name].abandoned()
                self._abandon(task)
            raise
        for name, task in asked.items():
            if task.done() and not task.cancelled():
                answers[name] = task.result()
            else:
                answers[name] = self._late(name, deadline < patience)
                self._abandon(task)
        if deadline < patience:
            answers |= {name: _cut_short(answers[name]) for name in asked}
        self._count([answers[name] for name in asked])
        return Routing.of([answers[name] for name in self._venues])

    def _refusal(self, name: str, venue: AnyVenue, request: SwapRequest) -> Answer | None:
        """Why the venue is not asked, or None. A breaker that lets the request pass waits for its result."""
        try:
            refusal = refusal_of(venue, replace(request))
        except BadAnswer as error:
            self._observer.adapter_misbehaved(name, request, error)
            return Answer.of(name, error)
        except BaseException as error:  # noqa: BLE001 - it is an adapter's code
            self._observer.adapter_misbehaved(name, request, error)
            return Answer(venue=name, code=BadAnswer.code, detail="the adapter failed to say what it does")
        if refusal:
            return Answer(venue=name, code=Unsupported.code, detail=clean(refusal), retryable=False)
        breaker = self._breakers[name]
        if breaker.enter():
            return None
        code, detail = breaker.cause
        remaining = breaker.remaining_seconds()
        until = f"asked again in {remaining:.1f} s" if remaining else "another order is trying it now"
        return Answer(venue=name, code=code, detail=f"{detail or code} ({until})", breaker_open_seconds=remaining)

    def _late(self, name: str, by_order: bool) -> Answer:
        """No answer: in the router's time, or before the order's own deadline."""
        if by_order:
            return Answer(venue=name, code=FailureReason.DEADLINE, detail=CUT_SHORT)
        late = round(self._timeout * 1000)
        return Answer(venue=name, elapsed_ms=late, code=Timeout.code, detail=f"no quote within {late} ms")

    def _count(self, answers: Sequence[Answer]) -> None:
        """Tell the breakers. A time-out counts against a venue only when another one did answer: what all of them wait
        for, a node or this machine, is not theirs. That the node gave another one nothing is no answer."""
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
        """Cancel without waiting: an adapter may take its time even to be cancelled."""
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)
        task.add_done_callback(ignore_exception)
        task.cancel()

    async def _ask(self, name: str, venue: AnyVenue, request: SwapRequest, deadline: float) -> Answer:
        begun = self._clock.monotonic()
        try:
            quote = await self._quote(name, venue, request, deadline)
        except VenueError as error:
            return Answer.of(name, error, self._since(begun))
        return Answer(venue=name, elapsed_ms=self._since(begun), quote=quote)

    async def _quote(self, name: str, venue: AnyVenue, request: SwapRequest, deadline: float) -> Quote:
        asked = replace(request)
        try:
            return checked(name, asked, await venue.quote(request, deadline), self._clock.unix_ms())
        except VenueError as error:
            if isinstance(error, BadAnswer) and not is_shared(error):
                self._observer.adapter_misbehaved(name, asked, error)
            raise
        except asyncio.CancelledError as error:
            raise_if_cancelled()  # else it is the adapter's own doing
            raise BadAnswer("the adapter gave up") from error
        except BaseException as error:  # a panic of a library in Rust is no Exception
            self._observer.adapter_misbehaved(name, asked, error)
            raise BadAnswer("the adapter failed") from error

    def _since(self, begun: float) -> int:
        return round((self._clock.monotonic() - begun) * 1000)


def _cut_short(answer: Answer) -> Answer:
    """An answer of a venue that had until the order's own deadline. One that ran out of that time, or gave up a
    connection for want of it, was cut short by us."""
    if answer.code not in (Timeout.code, Unreachable.code):
        return answer
    return replace(answer, code=FailureReason.DEADLINE, detail=f"{CUT_SHORT}: {answer.detail}")

"""The router: asks every venue at once under one deadline and ranks what they answer. Between pending and building.

The best quote is the one that leaves the taker most, after the venue's fee (inside the amounts) and the network's
cost: most received for an exact input, least paid for an exact output. The network's cost is in lamports; it is
weighed when one side of the swap is SOL, by the quote's own price, and left out where there is no price for it.

A venue that hangs, fails or answers nonsense loses its turn and nothing else: the rest go on. One that keeps failing
is left alone for a while (a breaker per venue). Every answer is kept with the reason why it lost.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState
from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker

from dexexec.clock import Clock
from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.token import WSOL
from dexexec.observe import Observer
from dexexec.venue import AnyVenue, BadAnswer, InsufficientFunds, NoRoute, Timeout, Unsupported, VenueError

HARMLESS: list[type[VenueError]] = [NoRoute, Unsupported, InsufficientFunds]
"""Answers that say nothing against the venue: its breaker does not count them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one venue said: a quote, or the code and words of why there is none."""

    venue: str
    elapsed_ms: int
    quote: Quote | None = None
    code: str = ""
    detail: str = ""
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Routing:
    """All answers, and the quotes among them from best to worst."""

    answers: tuple[Answer, ...]
    ranking: tuple[Quote, ...]

    @property
    def retryable(self) -> bool:
        """Whether asking again later may help: some venue failed for a reason that passes."""
        return any(answer.retryable for answer in self.answers)


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


def net(quote: Quote) -> int:
    """What ranks a quote: base units received (exact in) or paid (exact out), network cost included."""
    cost = network_cost(quote)
    return quote.amount_out - cost if quote.request.mode is Mode.EXACT_IN else quote.amount_in + cost


def rank(quotes: Sequence[Quote]) -> tuple[Quote, ...]:
    """Best first. Equal ones keep the order in which the venues are configured."""
    if not quotes:
        return ()
    return tuple(sorted(quotes, key=net, reverse=quotes[0].request.mode is Mode.EXACT_IN))


def check(venue: str, request: SwapRequest, quote: Quote, now_ms: int) -> None:
    """Raises `BadAnswer` unless `quote` can be what `venue` answers to `request`: whatever an adapter does, no order
    is filled below its minimum or above its maximum because of it."""
    amounts = {name: getattr(quote, name) for name in ("amount_in", "amount_out", "min_out", "max_in")}
    for name, amount in amounts.items():
        if type(amount) is not int or not 0 <= amount <= U64_MAX:
            raise BadAnswer(f"{name} must be an integer of base units from 0 to 2^64 - 1")
    if quote.venue != venue or quote.request != request:
        raise BadAnswer("the quote is for another venue or another request")
    if not quote.amount_in or not quote.amount_out:
        raise BadAnswer("an amount is 0")
    if request.mode is Mode.EXACT_IN:
        bounded = quote.amount_in == request.amount and quote.max_in == request.amount
        bounded = bounded and min_out(quote.amount_out, request.slippage_bps) <= quote.min_out <= quote.amount_out
    else:
        bounded = quote.amount_out >= request.amount and quote.min_out >= request.amount
        bounded = bounded and quote.amount_in <= quote.max_in <= max_in(quote.amount_in, request.slippage_bps)
    if not bounded:
        raise BadAnswer("the amounts do not fit the request and its slippage bound")
    if quote.expires_at_ms <= now_ms:
        raise BadAnswer("the quote has expired already")


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
        self._breakers = AsyncCircuitBreakerFactory(breaker_failures, breaker_seconds, exclude=list(HARMLESS))
        self._breakers.add_listener(self._breaker_event)
        self._strays: set[asyncio.Task[Answer]] = set()

    async def route(self, request: SwapRequest, deadline: float) -> Routing:
        """Quotes for `request` by the earlier of the router's timeout and `deadline` (monotonic seconds)."""
        deadline = min(deadline, self._clock.monotonic() + self._timeout)
        tasks = {name: asyncio.create_task(self._ask(venue, request, deadline)) for name, venue in self._venues.items()}
        try:
            await asyncio.wait(tasks.values(), timeout=max(0.0, deadline - self._clock.monotonic()))
        finally:
            for task in tasks.values():
                if not task.done():
                    self._abandon(task)
        late = round(self._timeout * 1000)
        answers = tuple(
            task.result() if task.done() and not task.cancelled()
            else Answer(name, late, code=Timeout.code, detail=f"no quote within {late} ms")
            for name, task in tasks.items()
        )  # fmt: skip
        return Routing(answers, rank([answer.quote for answer in answers if answer.quote]))

    def _abandon(self, task: asyncio.Task[Answer]) -> None:
        """Cancel without waiting: an adapter may take its time even to be cancelled."""
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)
        task.cancel()

    async def _ask(self, venue: AnyVenue, request: SwapRequest, deadline: float) -> Answer:
        begun = self._clock.monotonic()
        refusal = venue.capabilities.refusal(request)
        if refusal:
            return Answer(venue.name, 0, code=Unsupported.code, detail=refusal, retryable=False)
        try:
            async with await self._breaker(venue.name):
                quote = await self._quote(venue, request, deadline)
            return Answer(venue.name, self._since(begun), quote)
        except OpenedState:
            return Answer(venue.name, 0, code="breaker-open", detail="left alone after repeated failures")
        except VenueError as error:
            return Answer(venue.name, self._since(begun), None, error.code, str(error), error.retryable)

    async def _quote(self, venue: AnyVenue, request: SwapRequest, deadline: float) -> Quote:
        try:
            quote = await venue.quote(request, deadline)
            check(venue.name, request, quote, self._clock.unix_ms())
        except VenueError as error:
            if isinstance(error, BadAnswer):
                self._observer.venue_misbehaved(venue.name, request, error)
            raise
        except Exception as error:
            self._observer.venue_misbehaved(venue.name, request, error)
            raise BadAnswer("the adapter failed") from error
        return quote

    async def _breaker(self, name: str) -> AsyncCircuitBreaker:
        return await self._breakers.get_breaker(name)

    def _breaker_event(self, name: str, kind: str, event: object) -> None:
        if kind == "state_changed":
            self._observer.breaker_moved(name, str(getattr(event, "state", "")))

    def _since(self, begun: float) -> int:
        return round((self._clock.monotonic() - begun) * 1000)

"""Venues for quotes without an order: those of the worker in the same process, or, in an API process, its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from dexexec.api.handler import QuoteSource
from dexexec.api.warm_json import WarmSource
from dexexec.bootstrap.background import running
from dexexec.bootstrap.clusters import tips
from dexexec.bootstrap.localnet import default_url
from dexexec.bootstrap.networks import Networks, Purpose, open_networks
from dexexec.bootstrap.routes import with_routes
from dexexec.bootstrap.shared import Shared
from dexexec.bootstrap.venues import close_venues, prepare_venues
from dexexec.bootstrap.warm_view import WarmView
from dexexec.clock import Clock
from dexexec.concurrency.circuit_breaker import Breaker
from dexexec.config.environment import environment
from dexexec.config.settings import Settings
from dexexec.domain.quote import SwapRequest
from dexexec.errors import StartupError, VenuesUnavailableError
from dexexec.observe.observer import Observer
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.venue import AnyVenue
from dexexec.venues import registry
from dexexec.venues.router import Answer, Router, Routing, VenueReport, no_quarantine
from dexexec.venues.routes.venue import Routes

if TYPE_CHECKING:
    from dexexec.settlement.solana.warm.account_watch import AccountWatch

NEVER = 10**9
"""A number of failures that no breaker reaches."""


class WorkerQuoting:
    """The venues of the worker in this process. Its router `orders` decides how they are shown; `quotes` is a second
    router over the same venues, so that no request of a client can open a breaker that orders go by."""

    def __init__(self, orders: Router, quotes: Router, warm: WarmSource) -> None:
        self._orders = orders
        self._quotes = quotes
        self.warm = warm

    async def route(self, request: SwapRequest, deadline: float) -> Routing:
        """Quotes of all venues. One that orders skip now is shown, and not chosen."""
        routing = await self._quotes.route(request, deadline)
        skipped = self._orders.open_breakers()
        return Routing.of([_as_for_orders(answer, skipped.get(answer.venue)) for answer in routing.answers])

    async def report(self) -> list[VenueReport]:
        """The state of every venue, for orders."""
        return self._orders.report()


class OwnQuoting:
    """Venues of an API process. They are opened by the first request, so that the API starts without any node, and hold
    no key."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        observer: Observer,
        quarantine: Callable[[str], str] = no_quarantine,
    ) -> None:
        self._settings = settings
        self._quarantine = quarantine
        self._clock = clock
        self._observer = observer
        self.warm: WarmSource = WarmView(observer=observer)
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._router: Router | None = None

    async def route(self, request: SwapRequest, deadline: float) -> Routing:
        """Quotes of all venues. Raises `VenuesUnavailableError`."""
        return await (await self._opened()).route(request, deadline)

    async def report(self) -> list[VenueReport]:
        """The state of every venue. Raises `VenuesUnavailableError`."""
        return (await self._opened()).report()

    async def aclose(self) -> None:
        """Close what was opened."""
        await self._stack.aclose()

    async def _opened(self) -> Router:
        async with self._opening:  # several first requests open the venues once
            if self._router is None:
                try:
                    self._router = await self._open()
                except StartupError as error:
                    raise VenuesUnavailableError(str(error)) from error
            return self._router

    async def _open(self) -> Router:
        settings, clock, observer = self._settings, self._clock, self._observer
        classes = registry.load(settings.adapters)
        async with AsyncExitStack() as stack:
            needed = registry.networks(classes, environment())
            networks = await stack.enter_async_context(open_quote_networks(settings, needed, clock, observer))
            tokens = settings.token_list()
            venues = registry.create(classes, environment(), clock, tokens, networks.chains, networks.clusters)
            stack.push_async_callback(close_venues, venues, observer)
            await prepare_venues(venues)
            self._stack = stack.pop_all()
        combined = with_routes(venues, settings, clock, self._quarantine)
        return make_router(combined, settings, clock, observer, self._quarantine)


@asynccontextmanager
async def open_quote_networks(
    settings: Settings, needed: Iterable[str], clock: Clock, observer: Observer
) -> AsyncIterator[Networks]:
    """The networks in `needed` for quotes alone: no key, and nothing settles there. Raises `StartupError`."""
    async with AsyncExitStack() as stack:
        networks = await stack.enter_async_context(
            open_networks(
                settings,
                needed,
                ledger=MemoryLedger(clock),
                localnet_url=settings.localnet_url or default_url(),
                clock=clock,
                observer=observer,
                purpose=Purpose.QUOTE,
            )
        )
        await stack.enter_async_context(running(networks.background))
        yield networks


def make_router(
    venues: Iterable[AnyVenue],
    settings: Settings,
    clock: Clock,
    observer: Observer,
    quarantine: Callable[[str], str] = no_quarantine,
) -> Router:
    """The router of orders, as the settings describe it. `quarantine` returns why a venue gets no orders."""
    venues = list(venues)
    return Router(
        {venue.name: venue for venue in venues},
        clock,
        observer,
        timeout_ms=settings.quote_timeout_ms,
        breaker_failures=settings.breaker_failures,
        breaker_seconds=settings.breaker_seconds,
        tip=tips(settings),
        quarantine=quarantine,
        combined=[venue.name for venue in venues if isinstance(venue, Routes)],
    )


def unmetered(venues: Iterable[AnyVenue]) -> list[AnyVenue]:
    """Those of `venues` whose quotes count against no limit, which can be requested at any time; all of them if there
    are no others."""
    every = list(venues)
    return [venue for venue in every if not venue.capabilities.metered] or every


def quotes_router(
    orders: Router,
    settings: Settings,
    clock: Clock,
    observer: Observer,
    quarantine: Callable[[str], str] = no_quarantine,
) -> Router:
    """A router over the same venues as that of orders: it shares their statistics and never skips a venue."""
    return Router(
        orders.venues,
        clock,
        observer,
        timeout_ms=settings.quote_timeout_ms,
        breaker_failures=NEVER,
        breaker_seconds=settings.breaker_seconds,
        statistics=orders.statistics,
        tip=tips(settings),
        quarantine=quarantine,
        combined=[venue.name for venue in orders.venues.values() if isinstance(venue, Routes)],
    )


def _as_for_orders(answer: Answer, breaker: Breaker | None) -> Answer:
    if breaker is None or answer.quote is None:
        return answer
    seconds = breaker.remaining_seconds()
    code, _ = breaker.cause
    return answer.rejected(code, f"orders skip this venue for another {seconds:.1f} s after failures")


@asynccontextmanager
async def open_quoting(
    shared: Shared, router: Router | None, watches: Mapping[str, "AccountWatch"]
) -> AsyncIterator[QuoteSource]:
    """Quotes by the worker's `router`, whose chains have these `watches`, or by venues of this process's own."""
    if router is not None:
        warm = WarmView(venues=router.venues, watches=watches, observer=shared.observer)
        quotes = quotes_router(
            router, shared.settings, shared.clock, shared.observer, quarantine=shared.quarantines.refusal
        )
        yield WorkerQuoting(router, quotes, warm)
        return
    own = OwnQuoting(shared.settings, shared.clock, shared.observer, shared.quarantines.refusal)
    try:
        yield own
    finally:
        await own.aclose()

"""Assembles the loops that look after resting orders."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from dexexec.bootstrap.quoting import make_router, unmetered
from dexexec.bootstrap.shared import Shared
from dexexec.bootstrap.venues import close, prepare
from dexexec.config.environment import environment
from dexexec.resting.due_queue import DueQueue, TriggeredQueue
from dexexec.resting.follow_ups import FollowUps
from dexexec.resting.launches import Launches
from dexexec.resting.leader import Duty, Leader
from dexexec.resting.oracle import Oracle
from dexexec.resting.quotes import OracleQuotes
from dexexec.resting.reference_check import NoReference, Reference, ReferenceCheck
from dexexec.resting.share_sizes import Balances, ShareSizes
from dexexec.resting.slices import Slices
from dexexec.resting.sniper_trigger import SniperTrigger
from dexexec.resting.wakes import Wakes
from dexexec.store import Store
from dexexec.venue import AnyVenue, Chain
from dexexec.venues import references


@asynccontextmanager
async def open_reference(shared: Shared, chains: Mapping[str, Chain]) -> AsyncIterator[Reference]:
    """The reference price of DEXEXEC_ORACLE, or none. Raises `StartupError`."""
    settings = shared.settings
    if settings.oracle is None:
        yield NoReference()
        return
    reference_class = references.load(settings.oracle)
    reference = references.create(reference_class, environment(), shared.clock, settings.token_list(), chains)
    try:
        await prepare(reference)
        yield ReferenceCheck(
            reference,
            max_deviation_bps=settings.oracle_max_deviation_bps,
            max_age_ms=settings.oracle_max_age_ms,
            clock=shared.clock,
            observer=shared.observer,
        )
    finally:
        await close(reference, shared.observer)


def make_leader(
    shared: Shared, store: Store, venues: Iterable[AnyVenue], reference: Reference, balances: Balances
) -> Leader:
    """The leader's duties of a worker process. `store` announces what they write; `venues` quote for the oracle,
    `reference` must agree with them, and `balances` are those of the wallet."""
    tokens = shared.settings.token_list()
    sizes = ShareSizes(balances, shared.clock)
    venues = list(venues)
    # A router of its own: thousands of its quotes must not hide what the orders' router measures, nor open a breaker
    # that orders go by. A venue that allows few requests would have none left for the orders that are triggered.
    router = make_router(unmetered(venues), shared.settings, shared.clock, shared.observer, shared.quarantines.refusal)
    quotes = OracleQuotes(router, shared.clock, reference)
    queue = TriggeredQueue(shared.queue, shared.failpoints)
    duties: list[Duty] = [
        Wakes(store, queue),
        sizes,
        _make_oracle(shared, store, queue, quotes, reference, sizes=sizes),
        _make_launches(shared, store, queue, venues, quotes),
        Slices(store, queue, tokens),
        FollowUps(store, tokens, observer=shared.observer, failpoints=shared.failpoints),
    ]
    interval = shared.settings.oracle_interval_ms / 1000
    return Leader(store, duties, interval, clock=shared.clock, observer=shared.observer)


def _make_launches(
    shared: Shared, store: Store, queue: DueQueue, venues: Iterable[AnyVenue], quotes: OracleQuotes
) -> Launches:
    trigger = SniperTrigger(
        store,
        queue,
        quotes,
        max_price_impact_bps=shared.settings.max_price_impact_bps,
        clock=shared.clock,
    )
    by_name = {venue.name: venue for venue in venues}
    return Launches(store, by_name, trigger, clock=shared.clock, observer=shared.observer)


def _make_oracle(
    shared: Shared, store: Store, queue: DueQueue, quotes: OracleQuotes, reference: Reference, *, sizes: ShareSizes
) -> Oracle:
    return Oracle(
        store,
        queue,
        quotes,
        reference,
        sizes=sizes,
        tokens=shared.settings.token_list(),
        max_price_impact_bps=shared.settings.max_price_impact_bps,
        clock=shared.clock,
        observer=shared.observer,
    )

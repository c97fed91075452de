"""The composition root: makes every part, hands it what it needs as constructor arguments, and runs it as a task.

Roles: `all` (API and worker in one process), `api` (HTTP and WebSockets), `worker` (executes the orders on the queue).
A part that fails unexpectedly ends the process. On SIGTERM or Ctrl-C orders in flight finish or go back to the queue,
sockets are closed with a request to reconnect, and only then do the servers stop.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from tornado.httpserver import HTTPServer

from dexexec.api.app import make_app, make_server
from dexexec.api.handler import Api
from dexexec.api.readiness import Readiness
from dexexec.api.site_check import SiteCheck
from dexexec.api.socket import SocketHandler, SocketRegistry
from dexexec.bootstrap import localnet, standby_check
from dexexec.bootstrap.backends import Servers
from dexexec.bootstrap.banner import banner
from dexexec.bootstrap.connections import open_database
from dexexec.bootstrap.lifetime import Background, close_venues, live, quiet_collector, running
from dexexec.bootstrap.networks import Networks, open_networks, prepare
from dexexec.bootstrap.roles import Role
from dexexec.bootstrap.shared import Shared, at_start, open_shared
from dexexec.bootstrap.shutdown import Stopping, first_of
from dexexec.bootstrap.sockets import reachable
from dexexec.concurrency.cancellation import CANCEL_SECONDS
from dexexec.config.environment import environment
from dexexec.config.settings import Settings
from dexexec.execution.archiver import Retention
from dexexec.execution.event_detail import Presenter
from dexexec.execution.finality_watcher import FinalityWatcher
from dexexec.execution.next_round import Retries
from dexexec.execution.pipeline import Pipeline
from dexexec.execution.sweeper import Sweeper, leave
from dexexec.execution.worker import Limits, Worker
from dexexec.failpoints import NO_FAILPOINTS, Failpoints
from dexexec.feed.feed import Feed
from dexexec.intake.intake import Intake
from dexexec.intake.order_body import BodyReader
from dexexec.observe.observer import Observer
from dexexec.recovery.chain_comparison import Comparison
from dexexec.recovery.signing_permission import ComparedRecord, SigningPermission, Unrestricted
from dexexec.settlement.reachability import Reachability
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.simulated.postgres_ledger import PostgresLedger
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.store import ChainComparisons, Dispatcher, check_ownership, migrate
from dexexec.venue import AnyVenue, Network
from dexexec.venues import registry
from dexexec.venues.router import Router

T = TypeVar("T")


async def migrate_only(servers: Servers, wait_seconds: float, stopping: Stopping, observer: Observer) -> list[str]:
    """Bring the schema up to date; the names of what was applied by the time the process was asked to stop. A Postgres
    that is away is waited for. Raises `StartupError`."""
    applied: list[str] = []

    async def life(started: Callable[[], None]) -> None:
        async with open_database(servers) as database:
            applied.extend(await at_start(migrate(database, observer.existing_table_migrated)))
            started()

    with stopping.event() as stop:
        await live(life, stop, observer, wait_seconds)
    return applied


async def serve(
    settings: Settings,
    role: Role,
    servers: Servers,
    stopping: Stopping,
    *,
    listen: Callable[[], Sequence[socket.socket]],
    observer: Observer,
    up: Callable[[str], None],
    failpoints: Failpoints = NO_FAILPOINTS,
) -> None:
    """Run until the process is asked to stop, then drain. `listen` is asked for the sockets when requests can be
    served; `up` is handed the banner once everything runs, which is empty for a worker; tests pass their own
    `failpoints`.

    Raises `StartupError` when a server cannot be used, and whatever a part failed with.
    """

    async def life(started: Callable[[], None]) -> None:
        async with AsyncExitStack() as stack:
            shared = await stack.enter_async_context(
                open_shared(settings, role, servers, observer=observer, failpoints=failpoints)
            )
            half = await stack.enter_async_context(worker_half(shared, role)) if role is not Role.API else None
            # The worker comes first: the store of the API half dispatches new orders to it.
            dispatcher = half.worker.direct if half else None
            api = make_api_half(shared, dispatcher) if role is not Role.WORKER else None
            quiet_collector()
            started()
            await _run(shared, api, half, servers, stop, listen=listen, up=up)

    with stopping.event() as stop:
        await live(life, stop, observer, settings.start_seconds)


async def _run(
    shared: Shared,
    api: "ApiHalf | None",
    half: "WorkerHalf | None",
    servers: Servers,
    stop: asyncio.Event,
    *,
    listen: Callable[[], Sequence[socket.socket]],
    up: Callable[[str], None],
) -> None:
    settings = shared.settings
    background: list[Background] = [shared.publisher.run]
    background += api.background if api else []
    background += half.background if half else []
    text = ""
    async with running(background) as tasks:
        if half:
            tasks.append(asyncio.create_task(half.worker.run()))
        if api:
            sockets = listen()
            api.server.add_sockets(sockets)
            url = reachable(settings.host, sockets[0].getsockname()[1])
            text = banner(settings, servers, url, half.localnet_url if half else None)
        up(text)
        await first_of(stop, tasks)
        if api:
            api.server.stop()
        if half:
            half.worker.stop()
            await asyncio.wait([tasks[-1]])
        if api:
            await api.sockets.close_all()
            await api.intake.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await api.server.close_all_connections()


@dataclass(frozen=True, slots=True)
class ApiHalf:
    """HTTP and WebSockets, with what runs behind them."""

    server: HTTPServer
    sockets: SocketRegistry
    intake: Intake
    background: list[Background]


@dataclass(frozen=True, slots=True)
class WorkerHalf:
    """The worker, with what runs behind it."""

    worker: Worker
    background: list[Background]
    localnet_url: str | None
    """The localnet that came up with it."""


def make_api_half(shared: Shared, dispatcher: Dispatcher | None) -> ApiHalf:
    """Intake, feed and the HTTP server, which does not listen yet. New orders go to `dispatcher` if it has room."""
    settings, clock, observer = shared.settings, shared.clock, shared.observer
    store = shared.store(dispatcher=dispatcher)
    failpoints = shared.failpoints
    intake = Intake(
        store,
        shared.queue,
        shared.limiter,
        settings=settings,
        clock=clock,
        observer=observer,
        failpoints=failpoints,
    )
    feed = Feed(store, shared.redis, shared.publisher, shared.followed, observe=observer, failpoints=failpoints)
    sockets = SocketRegistry()
    reader, sites = BodyReader(settings), SiteCheck(settings)
    readiness = Readiness(store, shared.queue, clock)
    api = Api(
        settings=settings,
        reader=reader,
        intake=intake,
        history=store,
        readiness=readiness,
        clock=clock,
        observer=observer,
        sites=sites,
    )
    app = make_app(api, SocketHandler, {"api": api, "feed": feed, "registry": sockets})
    return ApiHalf(make_server(app, api), sockets, intake, [store.run, feed.run])


@asynccontextmanager
async def worker_half(shared: Shared, role: Role) -> AsyncIterator[WorkerHalf]:
    """Venues with their networks, router, settlement, pipeline, worker and sweeper; the all-in-one start brings a
    localnet where a venue needs one and none is given. Raises `StartupError`."""
    settings, observer, classes = shared.settings, shared.observer, registry.load(shared.settings.adapters)
    needed = registry.networks(classes, environment())
    ledger, comparisons = (
        PostgresLedger(shared.database, shared.clock),
        ChainComparisons(shared.database, shared.publisher.announce),
    )
    record, pins = await at_start(comparisons.record_name()), Pins.read(settings.venue_programs)
    async with AsyncExitStack() as stack:
        url, started = settings.localnet_url, None
        if Network.LOCALNET in needed and url is None and role is Role.ALL:
            started = await stack.enter_async_context(localnet.alongside(settings.data_folder()))
            url = started.url
        networks = await stack.enter_async_context(
            open_networks(
                settings,
                needed,
                ledger=ledger,
                localnet_url=url,
                clock=shared.clock,
                observer=observer,
                reserved=shared.store().reserved,
                record=record,
                pins=pins,
            )
        )
        clusters, allowed = networks.clusters.values(), settings.allow_async_standby
        await at_start(standby_check.check_mainnet(shared.database, clusters, allowed=allowed))
        if settings.keep_days is not None:
            await at_start(check_ownership(shared.database))
        tokens = settings.token_list()
        venues = registry.create(classes, environment(), shared.clock, tokens, networks.chains, networks.clusters)
        stack.push_async_callback(close_venues, venues, shared.observer)
        await prepare(venues)
        pins.settle(venues, registry.built_in(classes))
        programs = {venue.name: pins.of(venue.name) for venue in venues}
        permission = make_permission(shared, programs, networks, comparisons, record)
        half = make_worker_half(shared, venues, networks, permission)
        half.background.append(ledger.run)
        stack.push_async_callback(leave, shared.name, shared.queue)
        if started:
            half.background.append(started.watch)
        yield replace(half, localnet_url=started.url if started else None)


def make_permission(
    shared: Shared,
    programs: Mapping[str, frozenset[str]],
    networks: Networks,
    comparisons: ChainComparisons,
    record: str,
) -> SigningPermission:
    """What the worker waits for before it signs: `programs` tell by their venues where a swap was made. Attempts are
    only recorded where it permits."""
    settings = shared.settings
    compared = [
        Comparison(
            payer,
            comparisons,
            record=record,
            venues=programs,
            pair=settings.default_pair(),
            clock=shared.clock,
            observer=shared.observer,
        )
        for payer in networks.payers.values()
    ]
    if not compared:
        return Unrestricted()
    return ComparedRecord(compared, shared.clock, shared.observer)


def make_worker_half(
    shared: Shared, adapters: Iterable[AnyVenue], networks: Networks, permission: SigningPermission
) -> WorkerHalf:
    """Router, settlement, pipeline, worker and sweeper, for venues that are ready."""
    settings, clock, observer = shared.settings, shared.clock, shared.observer
    failpoints = shared.failpoints
    store = shared.store(permitted_identity=permission.identity)
    venues = {venue.name: venue for venue in adapters}
    router = Router(
        venues,
        clock,
        observer,
        timeout_ms=settings.quote_timeout_ms,
        breaker_failures=settings.breaker_failures,
        breaker_seconds=settings.breaker_seconds,
    )
    settlement = Settlement(networks.chains, networks.sealers, clock, observer, networks.genesis, failpoints=failpoints)
    presenter, finality_ms = Presenter(settings.token_list()), settings.finality_seconds * 1000
    pipeline = Pipeline(
        store=store,
        router=router,
        settlement=settlement,
        venues=venues,
        presenter=presenter,
        retries=Retries(settings.max_attempts, settings.retry_base_ms, settings.retry_max_ms, settings.max_rounds),
        max_price_impact_bps=settings.max_price_impact_bps,
        finality_ms=finality_ms,
        funds_wait_ms=settings.funds_wait_ms,
        clock=clock,
        observer=observer,
        rng=random.Random(),
        failpoints=failpoints,
    )
    watcher = FinalityWatcher(
        store=store,
        queue=shared.queue,
        settlement=settlement,
        venues=venues,
        presenter=presenter,
        finality_ms=finality_ms,
        clock=clock,
        observer=observer,
        failpoints=failpoints,
    )
    limits = Limits(
        concurrency=settings.concurrency,
        orders_per_minute=settings.orders_per_minute,
        max_claims=settings.max_claims,
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        drain_seconds=settings.drain_seconds,
    )
    reachability = Reachability(venues.values(), networks.chains, clock)
    worker = Worker(
        name=shared.name,
        store=store,
        queue=shared.queue,
        limiter=shared.limiter,
        pipeline=pipeline,
        watcher=watcher,
        limits=limits,
        clock=clock,
        observer=observer,
        permission=permission,
        trouble=reachability.trouble,
        failpoints=failpoints,
    )
    sweeper = Sweeper(
        shared.name,
        store,
        shared.queue,
        settings.sweep_seconds,
        clock=clock,
        observer=observer,
        failpoints=failpoints,
    )
    background: list[Background] = [store.run, *networks.background, sweeper.run, reachability.run]
    if settings.keep_days is not None:
        background.append(Retention(shared.database, settings.keep_days, clock=clock, observer=observer).run)
    return WorkerHalf(worker, background, None)

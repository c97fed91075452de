"""Assembles the worker half of the service: venues, settlement, the order pipeline, the worker and the sweeper."""

import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from dexexec.bootstrap import async_standby, localnet
from dexexec.bootstrap.background import Background
from dexexec.bootstrap.networks import Networks, open_networks
from dexexec.bootstrap.program_watch import watch_programs
from dexexec.bootstrap.quoting import make_router
from dexexec.bootstrap.resting import make_leader, open_reference
from dexexec.bootstrap.roles import Role
from dexexec.bootstrap.routes import with_routes
from dexexec.bootstrap.shared import Shared, at_start
from dexexec.bootstrap.venues import close_venues, prepare_venues
from dexexec.bootstrap.warm_up import WarmUp
from dexexec.bootstrap.webhooks import NO_WEBHOOKS, Webhooks, open_webhooks
from dexexec.config.environment import environment
from dexexec.domain.worker_trouble import TroubleKind, WorkerTrouble
from dexexec.execution.archiver import Archiver
from dexexec.execution.early_quotes import EarlyQuotes
from dexexec.execution.event_detail import Presenter
from dexexec.execution.finality_watcher import FinalityWatcher
from dexexec.execution.pipeline import Pipeline
from dexexec.execution.policy_book import PolicyBook
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.execution.sweeper import Sweeper, leave
from dexexec.execution.watched_orders import WatchedOrders
from dexexec.execution.worker import Limits, Worker
from dexexec.recovery.chain_comparison import Comparison, WalletOnChain, with_former
from dexexec.recovery.signing_permission import ComparedRecord, SigningPermission, Unrestricted
from dexexec.resting.reference_check import Reference
from dexexec.settlement.reachability import Reachability
from dexexec.settlement.rehearsal import Rehearsal
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.simulated.postgres_ledger import PostgresLedger
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.wallet_balances import WalletBalances
from dexexec.store import ChainComparisons, check_ownership, handouts
from dexexec.venue import AnyVenue, Network
from dexexec.venues import registry
from dexexec.venues.router import Router
from dexexec.venues.routes.venue import Routes

MOST_CLIENTS = 1_000
"""Wallets of clients whose sealers are kept."""


@dataclass(frozen=True, slots=True)
class WorkerHalf:
    """The worker, with its background tasks."""

    worker: Worker
    background: list[Background]
    localnet_url: str | None
    """The localnet that was started with the worker."""
    router: Router
    """Quotes without an order use it too."""
    networks: Networks
    mints: frozenset[str]
    """Of the configured tokens."""
    webhooks: Webhooks = NO_WEBHOOKS


@asynccontextmanager
async def open_worker_half(shared: Shared, role: Role) -> AsyncIterator[WorkerHalf]:
    """Open the networks, prepare the venues and assemble the worker. The all-in-one start also starts a localnet, if a
    venue needs one and none is configured. Raises `StartupError`."""
    settings = shared.settings
    observer = shared.observer
    classes = registry.load(shared.settings.adapters)
    needed = registry.networks(classes, environment())
    ledger = PostgresLedger(shared.database, shared.clock)
    comparisons = ChainComparisons(shared.database, shared.announce)
    record = await at_start(comparisons.record_name())
    secret = await at_start(handouts.co_signer_secret(shared.database))
    pins = Pins.read(settings.venue_programs)
    async with AsyncExitStack() as stack:
        url = settings.localnet_url
        started = None
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
                co_signer_secret=secret,
                pins=pins,
            )
        )
        clusters = networks.clusters.values()
        # A standby that lacks commits endangers money, which a dry run does not move.
        allowed = settings.allow_async_standby or settings.dry_run
        await at_start(async_standby.check_mainnet(shared.database, clusters, allowed=allowed))
        # Dropping old partitions needs the owner of the tables: better an error now than in the first night.
        if settings.keep_days is not None:
            await at_start(check_ownership(shared.database))
        tokens = settings.token_list()
        venues = registry.create(classes, environment(), shared.clock, tokens, networks.chains, networks.clusters)
        # Before `prepare_venues`, so that venues are also closed if one of them fails to prepare.
        stack.push_async_callback(close_venues, venues, shared.observer)
        await prepare_venues(venues)
        pins.bind(venues, registry.built_in(classes))
        programs = {venue.name: pins.of(venue.name) for venue in venues}
        watching = await watch_programs(shared, venues, networks)
        # After the others are bound: what it may call is what they may call.
        venues = with_routes(venues, settings, shared.clock, shared.quarantines.refusal, networks.fits)
        pins.combine({venue.name: venue.combines for venue in venues if isinstance(venue, Routes)})
        former = await at_start(comparisons.wallets())
        payers = with_former(networks.payers, former)
        permission = _signing_permission(shared, programs, payers, comparisons, record)
        reference = await stack.enter_async_context(open_reference(shared, networks.chains))
        half = _assemble(shared, venues, networks, permission, reference)
        half.background.append(ledger.run)
        half.background.extend(watching)
        webhooks = await stack.enter_async_context(open_webhooks(shared))
        half.background.extend(webhooks.background)
        if networks.watches:
            rehearsal = Rehearsal(
                networks.chains,
                networks.simulators,
                settings.token_list(),
                shared.clock,
                slippage_bps=settings.slippage_bps,
            )
            warm_up = WarmUp(
                venues,
                networks,
                pair=settings.default_pair(),
                rehearsal=rehearsal,
                clock=shared.clock,
                observer=observer,
            )
            half.background.append(warm_up.run)
        stack.push_async_callback(leave, shared.name, shared.queue)
        if started:
            half.background.append(started.watch)
        yield replace(half, localnet_url=started.url if started else None, webhooks=webhooks)


def _trouble(reachability: Reachability, router: Router) -> str:
    """Why no order can be executed here now, as it is stored with each heartbeat; empty if one can."""
    # Without nodes the venues fail too: the cause comes before its effect.
    if away := reachability.trouble():
        return str(WorkerTrouble(TroubleKind.NODE, away))
    refused = router.trouble()
    return str(WorkerTrouble(TroubleKind.VENUES, refused)) if refused else ""


def _signing_permission(
    shared: Shared,
    programs: Mapping[str, frozenset[str]],
    payers: Iterable[WalletOnChain],
    comparisons: ChainComparisons,
    record: str,
) -> SigningPermission:
    """The permission that the worker needs before it signs. `programs` attribute a swap on chain to its venue."""
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
        for payer in payers
    ]
    if not compared:  # the simulated chain has no history that could contradict Postgres
        return Unrestricted()
    return ComparedRecord(compared, shared.clock, shared.observer)


def _assemble(
    shared: Shared,
    adapters: Iterable[AnyVenue],
    networks: Networks,
    permission: SigningPermission,
    reference: Reference,
) -> WorkerHalf:
    """Assemble router, settlement, pipeline, worker and sweeper for prepared venues."""
    settings = shared.settings
    clock = shared.clock
    observer = shared.observer
    failpoints = shared.failpoints
    store = shared.store(permitted_identity=permission.identity)
    venues = {venue.name: venue for venue in adapters}
    router = make_router(venues.values(), settings, clock, observer, shared.quarantines.refusal)
    settlement = Settlement(
        networks.chains,
        networks.sealers,
        clock,
        observer,
        networks.genesis,
        simulators=networks.simulators,
        named={name: wallet.for_settlement() for name, wallet in networks.named.items()},
        # A checker caches nothing that would be wrong later, so a sealer can be used again and again.
        clients=lru_cache(MOST_CLIENTS)(networks.client_sealers),
        failpoints=failpoints,
    )
    presenter = Presenter(settings.token_list())
    policies = PolicyBook(store, clock, settings.wallet_policies())
    finality_ms = settings.finality_seconds and settings.finality_seconds * 1_000
    watched = WatchedOrders(clock)
    pipeline = Pipeline(
        store=store,
        router=router,
        settlement=settlement,
        venues=venues,
        presenter=presenter,
        retry_policy=RetryPolicy(
            settings.max_attempts, settings.retry_base_ms, settings.retry_max_ms, settings.max_rounds
        ),
        halts=shared.halts,
        policies=policies,
        max_price_impact_bps=settings.max_price_impact_bps,
        finality_ms=finality_ms,
        watched=watched,
        funds_wait_ms=settings.funds_wait_ms,
        clock=clock,
        observer=observer,
        rng=random.Random(),
        dry_run=settings.dry_run,
        failpoints=failpoints,
    )
    watcher = FinalityWatcher(
        store=store,
        queue=shared.queue,
        settlement=settlement,
        venues=venues,
        presenter=presenter,
        finality_ms=finality_ms,
        watched=watched,
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
    reachability = Reachability(venues.values(), networks.nodes, clock)
    balances = WalletBalances(settlement, venues.values())
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
        early=EarlyQuotes(router=router, policies=policies, settlement=settlement, clock=clock, observer=observer),
        trouble=partial(_trouble, reachability, router),
        session_loops=[make_leader(shared, store, venues.values(), reference, balances).run],
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
        background.append(Archiver(shared.database, settings.keep_days, clock=clock, observer=observer).run)
    mints = frozenset(token.mint for token in settings.token_list())
    return WorkerHalf(worker, background, None, router, networks, mints)

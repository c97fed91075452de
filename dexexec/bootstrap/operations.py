"""Assembles what operators read: readiness, metrics, the operations port, and the gauges of this process."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis.asyncio
from tornado.httpserver import HTTPServer

from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.operations import Operations, make_operations_server
from dexexec.api.readiness import Readiness
from dexexec.api.scrape import FactSource, Scrape
from dexexec.bootstrap.api_half import ApiHalf
from dexexec.bootstrap.shared import Shared
from dexexec.bootstrap.wallet_facts import MeasuredChain, read_balances
from dexexec.bootstrap.worker_half import WorkerHalf
from dexexec.observe.metrics import Metrics
from dexexec.observe.metrics.exposition import Fact
from dexexec.store import Database
from dexexec.store.measurements import read_open_orders, read_reserved
from dexexec.store.webhook_planning import read_backlog

SAMPLE_SECONDS = 1.0
"""How often the gauges of a process are set: what a scrape shows of a process is at most that old."""
ORDERS_FRESH_SECONDS = 2.0
WEBHOOKS_FRESH_SECONDS = 10.0
BALANCES_FRESH_SECONDS = 60.0


@dataclass(slots=True)
class OperationsHalf:
    """Readiness and metrics of a process; `server` is None without a port of their own."""

    readiness: Readiness
    scrape: Scrape | None
    server: HTTPServer | None
    sampler: "Sampler"


class Sampler:
    """Sets the gauges of this process, again and again."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], None]] = []

    def add(self, source: Callable[[], None]) -> None:
        """Call `source` with each sample."""
        self._sources.append(source)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            for source in self._sources:
                source()
            await asyncio.sleep(SAMPLE_SECONDS)


def make_operations(shared: Shared, half: WorkerHalf | None) -> OperationsHalf:
    """The operations half. It does not listen yet."""
    settings = shared.settings
    metrics = shared.observer.metrics
    readiness = Readiness(shared.store(), shared.queue, shared.clock, shared.halts, shared.quarantines)
    scrape = None
    sampler = Sampler()
    if metrics.exposition is not None:
        scrape = Scrape(metrics.exposition, _facts(shared, half), shared.clock)
        _sample_process(shared, half, sampler)
    server = None
    if settings.metrics_port is not None:
        server = make_operations_server(Operations(readiness, scrape, shared.clock, SiteCheck(settings)))
    return OperationsHalf(readiness, scrape, server, sampler)


def sample_clients(operations: OperationsHalf, api: ApiHalf, metrics: Metrics) -> None:
    """Also sample the connections of clients."""
    operations.sampler.add(lambda: metrics.clients_seen(len(api.server.table), *api.sockets.counts()))


def _sample_process(shared: Shared, half: WorkerHalf | None, sampler: Sampler) -> None:
    metrics = shared.observer.metrics
    pools: Mapping[str, Database | None] = {
        "main": shared.database,
        "orders": shared.order_pool,
        "reads": shared.read_pool,
        "webhooks": half.webhooks.pool if half else None,
    }
    redis_pools = {"commands": shared.redis, "blocking": shared.blocking_redis}

    def sample() -> None:
        # By a timer and not by each scrape: of several processes only one answers a scrape, and shows the last sample
        # of the others.
        metrics.process_seen()
        metrics.halts_seen(len(list(shared.halts.all())))
        for name, pool in pools.items():
            if pool is not None:
                usage = pool.usage()
                metrics.postgres_pool_seen(name, used=usage.used, idle=usage.idle, waiting=usage.waiting)
        for name, client in redis_pools.items():
            idle, used = _redis_connections(client)
            metrics.redis_pool_seen(name, used=used, idle=idle)

    sampler.add(sample)
    if half is not None:
        worker, router = half.worker, half.router
        chains = [chain for chain in half.networks.chains.values() if isinstance(chain, MeasuredChain)]

        def sample_worker() -> None:
            metrics.worker_seen(*worker.load)
            if half.webhooks.deliverer is not None:
                metrics.webhook_requests_seen(half.webhooks.deliverer.in_flight)
            for venue, state in router.breaker_states().items():
                metrics.breaker_seen(venue, state)
            for chain in chains:
                for node, slots in chain.node_lags().items():
                    metrics.node_lag_seen(node, slots)
                for budget, left in chain.budget_left().items():
                    metrics.budget_seen(budget, left)

        sampler.add(sample_worker)


def _redis_connections(client: redis.asyncio.Redis) -> tuple[int, int]:
    """The idle and the used connections of a client."""
    (idle, _), (used, _) = client.connection_pool.get_connection_count()
    return idle, used


def _facts(shared: Shared, half: WorkerHalf | None) -> list[FactSource]:
    """What is read at each scrape, or less often where that is expensive."""
    database = shared.read_pool or shared.database

    async def queue() -> list[Fact]:
        depth = await shared.queue.depth()
        return [Fact(name="dexexec_queue_orders", about="Orders on the queue in Redis.", values={(): depth})]

    async def orders() -> list[Fact]:
        found = await read_open_orders(database)
        return [
            Fact(
                name="dexexec_orders_open",
                about="Orders that have not ended, by status and kind.",
                labels=("status", "kind"),
                values=found.counts,
            ),
            Fact(
                name="dexexec_orders_oldest_open_age_seconds",
                about="Age of the oldest order that has neither ended nor rests.",
                values={(): found.oldest_seconds},
            ),
            Fact(
                name="dexexec_queue_oldest_age_seconds",
                about="How long the oldest order has waited that no worker has claimed yet; 0 without one.",
                values={(): found.oldest_waiting_seconds},
            ),
        ]

    async def reservations() -> list[Fact]:
        return [
            Fact(
                name="dexexec_wallet_reserved_base_units",
                about="What open attempts may still take from a wallet, in base units of the mint.",
                labels=("network", "wallet", "mint"),
                values=await read_reserved(database),
            )
        ]

    async def webhooks() -> list[Fact]:
        backlog = await read_backlog(database)
        return [
            Fact(
                name="dexexec_webhook_deliveries",
                about="Deliveries that wait for a try, and that failed for good, up to 10,000 of each.",
                labels=("state",),
                values={("waiting",): backlog.waiting, ("failed",): backlog.failed},
            ),
            Fact(
                name="dexexec_webhook_oldest_waiting_age_seconds",
                about="Age of the oldest delivery that waits for an enabled webhook; 0 without one.",
                values={(): backlog.oldest_seconds},
            ),
        ]

    sources = [
        FactSource(name="queue", read=queue),
        FactSource(name="orders", read=orders, fresh_seconds=ORDERS_FRESH_SECONDS),
        FactSource(name="reservations", read=reservations, fresh_seconds=ORDERS_FRESH_SECONDS),
        FactSource(name="webhooks", read=webhooks, fresh_seconds=WEBHOOKS_FRESH_SECONDS),
    ]
    if half is not None:
        sources += _balances(half)
    return sources


def _balances(half: WorkerHalf) -> list[FactSource]:
    networks = half.networks
    mints = half.mints

    async def balances() -> list[Fact]:
        values: dict[tuple[str, ...], float] = {}
        for network, wallet in networks.wallets.items():
            chain = networks.chains[network]
            if isinstance(chain, MeasuredChain):
                values |= await read_balances(chain, network, wallet, mints)
        return [
            Fact(
                name="dexexec_wallet_balance_base_units",
                about="Balance of a wallet on the chain, in base units; lamports are SOL that is not wrapped.",
                labels=("network", "wallet", "mint"),
                values=values,
            )
        ]

    # Without real networks there is no balance, and a source that never answers would only cause an alert.
    if not any(isinstance(networks.chains[network], MeasuredChain) for network in networks.wallets):
        return []
    return [FactSource(name="balances", read=balances, fresh_seconds=BALANCES_FRESH_SECONDS)]

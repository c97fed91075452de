"""The parts that the API and the worker share: Postgres with its schema, Redis, the order store and the queue."""

import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import redis.asyncio

from dexexec.bootstrap import async_standby
from dexexec.bootstrap.connections import ORDER_CONNECTIONS, READ_CONNECTIONS, open_database, open_pool, open_redis
from dexexec.bootstrap.roles import Role
from dexexec.bootstrap.servers import Servers
from dexexec.bootstrap.startup_diagnosis import lost_during_start
from dexexec.broker.permissions import channel
from dexexec.broker.queue import Queue
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.clock import Clock, SystemClock
from dexexec.config.redis_url import Kind, RedisAddress
from dexexec.config.settings import Settings
from dexexec.domain.event import Event
from dexexec.errors import UnavailableError
from dexexec.failpoints import Failpoints
from dexexec.feed.all_events import AllEvents
from dexexec.feed.ended_orders import EndedOrders
from dexexec.feed.followed_orders import FollowedOrders
from dexexec.feed.halt_watch import HaltWatch
from dexexec.feed.listeners import OtherListeners
from dexexec.feed.publisher import Outgoing, Publisher
from dexexec.feed.quarantine_watch import QuarantineWatch
from dexexec.observe.observer import Observer
from dexexec.store import Database, EventReader, ProgramVersions, Store, migrate

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The parts that the API and the worker have in common."""

    settings: Settings
    observer: Observer
    clock: Clock
    failpoints: Failpoints
    name: str
    database: Database
    blocking_redis: redis.asyncio.Redis
    """For reads of the queue that wait."""
    redis: redis.asyncio.Redis
    publisher: Publisher
    followed: FollowedOrders
    ended: EndedOrders
    all_events: AllEvents
    halts: HaltWatch
    quarantines: QuarantineWatch
    queue: Queue
    limiter: RateLimiter
    order_pool: Database | None
    read_pool: Database | None

    def announce(self, events: Sequence[Event]) -> None:
        """Count committed events and pass them on. Never blocks and never raises."""
        self.observer.metrics.events_committed(events)
        self.publisher.announce(events)

    def store(self, *, permitted_identity: Callable[[], str | None] = lambda: None) -> Store:
        """Make a store for the API or the worker; each has its own."""
        return Store(
            self.database,
            self.announce,
            self.clock,
            self.settings.request_timeout_ms / 1000,
            for_orders=self.order_pool,
            for_reads=self.read_pool,
            permitted_identity=permitted_identity,
            unreadable=self.observer.order_unreadable,
            wallets=self.settings.wallet_policies(),
            batch_written=self.observer.metrics.batch_written,
        )


@asynccontextmanager
async def open_shared(
    settings: Settings, role: Role, servers: Servers, *, observer: Observer, failpoints: Failpoints
) -> AsyncIterator[Shared]:
    """Open Postgres with its schema, Redis with its consumer group, and the parts that are built on them."""
    clock = SystemClock()
    # Unique without coordination: a restarted process must not be taken for its predecessor.
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    prefix = settings.redis_prefix
    async with (
        open_database(servers) as database,
        open_redis(servers, prefix) as client,
        # A second client: a blocking read of the queue would delay every other command on the same connection.
        open_redis(servers, prefix) as blocking,
        AsyncExitStack() as pools,
    ):
        await at_start(migrate(database, observer.existing_table_migrated))
        await at_start(async_standby.warn(database, observer))
        orders = None
        reads = None
        # Only where both halves share a process: neither new orders nor the worker's steps may wait for the others.
        if role is Role.ALL:
            orders = await pools.enter_async_context(open_pool(database, ORDER_CONNECTIONS))
        # Reads of clients wait in a pool of their own, so that they cannot delay orders.
        if role is not Role.WORKER:
            reads = await pools.enter_async_context(open_pool(database, READ_CONNECTIONS))
        followed = FollowedOrders()
        ended = EndedOrders(observer)
        all_events = AllEvents(EventReader(reads or database), clock, observe=observer)

        # Called within a commit's answer: neither may block or raise.
        def heard(events: Sequence[Outgoing]) -> None:
            followed.put_committed(events)
            ended.put_committed(events)
            all_events.wake()

        publisher = Publisher(
            client,
            channel(settings.redis_prefix),
            failpoints,
            listener=heard,
            dropped=observer.metrics.events_dropped,
            others=OtherListeners(countable=RedisAddress.parse(servers.redis_url).kind is Kind.SINGLE),
            clock=clock,
        )
        queue = Queue(client, blocking, settings.redis_prefix, observer.redis_repaired)
        await at_start(queue.prepare())
        halts = HaltWatch(Store(database, publisher.announce, clock, for_reads=reads), clock)
        _log_halts(halts, observer)
        await at_start(halts.look())
        quarantines = QuarantineWatch(ProgramVersions(database), clock)
        _log_quarantines(quarantines, observer)
        await at_start(quarantines.look())
        limiter = RateLimiter(client, settings.redis_prefix, name, report=observer.redis_repaired)
        yield Shared(
            settings=settings,
            observer=observer,
            clock=clock,
            failpoints=failpoints,
            name=name,
            database=database,
            redis=client,
            blocking_redis=blocking,
            publisher=publisher,
            followed=followed,
            ended=ended,
            all_events=all_events,
            halts=halts,
            quarantines=quarantines,
            queue=queue,
            limiter=limiter,
            order_pool=orders,
            read_pool=reads,
        )


def _log_halts(halts: HaltWatch, observer: Observer) -> None:
    """Log every halt that begins or ends."""
    halts.listen(lambda halt, began: (observer.signing_halted if began else observer.halt_ended)(halt.detail))


def _log_quarantines(quarantines: QuarantineWatch, observer: Observer) -> None:
    """Log every quarantine that begins or ends."""
    quarantines.listen(
        lambda one, began: (observer.venue_quarantined if began else observer.quarantine_ended)(
            one.venue, one.program, one.detail
        )
    )


async def at_start(step: Awaitable[T]) -> T:
    """Await a step of the start. Raises `UnreachableError` when its server fails meanwhile."""
    try:
        return await step
    except UnavailableError as error:
        raise lost_during_start(error) from error

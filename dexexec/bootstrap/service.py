"""The composition root: assembles the halves of the service for a role, runs them, and drains them after a stop.

An unexpected error in any part ends the process. On SIGTERM or Ctrl-C orders in flight finish or go back to the queue,
WebSockets are closed with a request to reconnect, and only then the servers stop.
"""

import asyncio
import gc
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial

from dexexec.api.readiness import Readiness
from dexexec.bootstrap.access import open_access
from dexexec.bootstrap.api_half import ApiHalf, make_api_half
from dexexec.bootstrap.background import Background, running
from dexexec.bootstrap.banner import banner
from dexexec.bootstrap.connections import open_database
from dexexec.bootstrap.listening_sockets import operations_url, reachable
from dexexec.bootstrap.operations import OperationsHalf, make_operations, sample_clients
from dexexec.bootstrap.overview import SharedState
from dexexec.bootstrap.quoting import open_quoting
from dexexec.bootstrap.roles import Role
from dexexec.bootstrap.servers import Servers
from dexexec.bootstrap.shared import Shared, at_start, open_shared
from dexexec.bootstrap.shutdown import StopRequest, wait_for_stop
from dexexec.bootstrap.startup_retry import run_with_retries
from dexexec.bootstrap.venues import why_no_balances
from dexexec.bootstrap.worker_half import WorkerHalf, open_worker_half
from dexexec.concurrency.cancellation import CANCEL_SECONDS
from dexexec.config.settings import Settings
from dexexec.failpoints import NO_FAILPOINTS, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import migrate


async def migrate_only(servers: Servers, wait_seconds: float, stopping: StopRequest, observer: Observer) -> list[str]:
    """Bring the schema up to date, and return the names of the applied schema files. Waits for a Postgres that does not
    answer. Raises `StartupError`."""
    applied: list[str] = []

    async def run_service(started: Callable[[], None]) -> None:
        async with open_database(servers) as database:
            applied.extend(await at_start(migrate(database, observer.existing_table_migrated)))
            started()

    with stopping.event() as stop:
        await run_with_retries(run_service, stop, observer, wait_seconds)
    return applied


async def serve(
    settings: Settings,
    role: Role,
    servers: Servers,
    stopping: StopRequest,
    *,
    listen: Callable[[], Sequence[socket.socket]],
    listen_operations: Callable[[], Sequence[socket.socket]] = tuple,
    observer: Observer,
    up: Callable[[str], None],
    failpoints: Failpoints = NO_FAILPOINTS,
) -> None:
    """Run until a stop is requested, then drain. `listen` opens the listening sockets when requests can be served, and
    `listen_operations` those of the operations port. `up` gets the banner once everything runs; it is empty for a
    worker. Tests pass their own `failpoints`.

    Raises `StartupError` when a server cannot be used, and the error of a part that failed.
    """

    async def run_service(started: Callable[[], None]) -> None:
        async with AsyncExitStack() as stack:
            shared = await stack.enter_async_context(
                open_shared(settings, role, servers, observer=observer, failpoints=failpoints)
            )
            # Before the venues, whose preparation takes longer: a start that is refused should be so at once.
            access = await open_access(shared) if role is not Role.WORKER else None
            half = await stack.enter_async_context(open_worker_half(shared, role)) if role is not Role.API else None
            operations = make_operations(shared, half)
            api = None
            if access is not None:
                quoting = await stack.enter_async_context(
                    open_quoting(shared, half.router if half else None, half.networks.watches if half else {})
                )
                # Only with a worker here: the workers of other processes may have other venues.
                no_balances = why_no_balances(half.router.venues.values()) if half else ""
                api = make_api_half(
                    shared,
                    half.worker.accepted.add if half else lambda _, __: None,
                    quoting,
                    access,
                    readiness=operations.readiness,
                    state=SharedState(shared, half),
                    scrape=operations.scrape,
                    no_balances=no_balances,
                )
                sample_clients(operations, api, observer.metrics)
            _relax_garbage_collector()
            started()
            await _run(
                shared,
                api,
                half,
                operations,
                stop,
                servers=servers,
                listen=listen,
                listen_operations=listen_operations,
                up=up,
            )

    with stopping.event() as stop:
        await run_with_retries(run_service, stop, observer, settings.start_seconds)


async def _run(
    shared: Shared,
    api: ApiHalf | None,
    half: WorkerHalf | None,
    operations: OperationsHalf,
    stop: asyncio.Event,
    *,
    servers: Servers,
    listen: Callable[[], Sequence[socket.socket]],
    listen_operations: Callable[[], Sequence[socket.socket]],
    up: Callable[[str], None],
) -> None:
    settings = shared.settings
    background: list[Background] = [shared.publisher.run, shared.halts.run, shared.quarantines.run]
    background.append(operations.sampler.run)
    background.append(partial(shared.ended.run, shared.store().events_after))
    background += api.background if api else []
    background += half.background if half else []
    text = ""
    async with running(background) as tasks:
        if half:
            tasks.append(asyncio.create_task(half.worker.run()))
        if api:
            sockets = listen()
            api.server.add_sockets(sockets)
            url = reachable(settings, sockets[0].getsockname()[1])
            text = banner(settings, servers, url, half.localnet_url if half else None)
        if operations.server:
            sockets = listen_operations()
            operations.server.add_sockets(sockets)
            url = operations_url(settings, sockets[0].getsockname()[1])
            shared.observer.operations_port_opened(url)
        up(text)
        await wait_for_stop(stop, tasks)
        await lame_duck(operations.readiness, stop, settings.lame_duck_seconds, shared.observer)
        # New connections end first, so that no order arrives while the worker drains. WebSockets end after the worker,
        # so that clients receive the last events of the orders in flight.
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
        # Last: until here a load balancer reads from this port that the process is stopping.
        if operations.server:
            operations.server.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await operations.server.close_all_connections()


async def lame_duck(readiness: Readiness, stop: asyncio.Event, seconds: float, observer: Observer) -> None:
    """Let load balancers see that this process stops, while it goes on, until `seconds` have passed. A second stop
    request, or a part that fails, ends the wait."""
    readiness.stop()
    if seconds:
        observer.lame_duck_began(seconds)
        stop.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


def _relax_garbage_collector() -> None:
    """Let the garbage collector run rarely, so that its pauses do not delay orders."""
    gc.freeze()  # what exists by now lives as long as the process
    # An order leaves no reference cycles; reference counting frees its objects.
    gc.set_threshold(20_000, 20, 20)

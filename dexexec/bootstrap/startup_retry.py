"""Retries the start of the service while a server does not answer, until it has started or a stop is requested."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from dexexec.bootstrap.shutdown import END_SECONDS
from dexexec.concurrency.cancellation import cancelled, unless_stopped
from dexexec.errors import UnreachableError
from dexexec.observe.observer import Observer

ServiceRun = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
"""The whole run of a service. It calls its argument once it has started, and returns after a stop."""
START_PAUSE = 0.5
"""Seconds between two attempts to start."""


async def run_with_retries(
    run_service: ServiceRun, stop: asyncio.Event, observer: Observer, wait_seconds: float
) -> None:
    """Run `run_service`. While a server is unreachable at the start, it is retried for `wait_seconds`. A stop before
    it has started cancels it. Raises what `run_service` raises."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + wait_seconds
    logged = ""  # the last logged cause, so that the same cause is logged once
    started = asyncio.Event()
    while True:
        try:
            await _run_once(run_service, started, stop)
            break
        except UnreachableError as error:
            left = give_up_at - loop.time()
            # Once started, the parts handle outages themselves; such an error then ends the process.
            if started.is_set() or left <= 0:
                raise
            if str(error) != logged:
                logged = str(error)
                observer.start_delayed(logged, left)
            await unless_stopped(stop, asyncio.sleep(min(START_PAUSE, left)))
            if stop.is_set():
                break
    if not started.is_set():
        observer.start_aborted()


async def _run_once(run_service: ServiceRun, started: asyncio.Event, stop: asyncio.Event) -> None:
    task = asyncio.create_task(run_service(started.set))
    beginning = asyncio.create_task(started.wait())
    try:
        await unless_stopped(stop, _first(task, beginning))
        # Shielded: after a stop `run_service` drains by itself and must not be cancelled.
        if started.is_set() or task.done():
            await asyncio.shield(task)
    finally:
        await cancelled([beginning])
        await cancelled([task], END_SECONDS)


async def _first(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

"""What `bootstrap.service` runs: a life from the first contact to the last, background tasks, venues with what they
opened.

None of it is waited for without a bound once it has to end.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dexexec.bootstrap.shutdown import END_SECONDS
from dexexec.concurrency.cancellation import CANCEL_SECONDS, cancelled, unless_stopped
from dexexec.errors import UnreachableError
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.venue import AnyVenue

Background = Callable[[], Coroutine[Any, Any, None]]
"""What runs beside the rest: started only once every part is made."""


Life = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
"""From the first contact to the last. It calls what it is handed once it has started, and then ends by itself after a
stop."""
START_PAUSE = 0.5
"""Seconds between two tries to start."""


async def live(life: Life, stop: asyncio.Event, observer: Observer, wait_seconds: float) -> None:
    """Run `life`. While servers are away it is begun again, for `wait_seconds`. Stopped before it has started, it is
    cancelled: what is still waited for would not be used any more. Raises what it raises."""
    loop = asyncio.get_running_loop()
    until, told = loop.time() + wait_seconds, ""
    started = asyncio.Event()
    while True:
        try:
            await _live_once(life, started, stop)
            break
        except UnreachableError as error:
            left = until - loop.time()
            if started.is_set() or left <= 0:
                raise
            if str(error) != told:
                told = str(error)
                observer.start_delayed(told, left)
            await unless_stopped(stop, asyncio.sleep(min(START_PAUSE, left)))
            if stop.is_set():
                break
    if not started.is_set():
        observer.start_aborted()


async def _live_once(life: Life, started: asyncio.Event, stop: asyncio.Event) -> None:
    task = asyncio.create_task(life(started.set))
    beginning = asyncio.create_task(started.wait())
    try:
        await unless_stopped(stop, _first(task, beginning))
        if started.is_set() or task.done():
            await asyncio.shield(task)
    finally:
        await cancelled([beginning])
        await cancelled([task], END_SECONDS)


async def _first(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


@asynccontextmanager
async def running(work: Sequence[Background]) -> AsyncIterator[list[asyncio.Future[None]]]:
    """Tasks for the block's duration, cancelled at its end in reverse order."""
    tasks: list[asyncio.Future[None]] = [asyncio.create_task(one()) for one in work]
    try:
        yield tasks
    finally:
        for task in reversed(tasks):
            await cancelled([task])


async def close_venues(venues: Iterable[AnyVenue], observer: Observer) -> None:
    """Let each venue release what it has; one that cannot keeps no other from it."""
    for venue in venues:
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await venue.aclose()
        except Exception as error:  # noqa: BLE001 - it is an adapter's code, and everything is over
            observer.adapter_close_failed(venue.name, clean(error))


def quiet_collector() -> None:
    """What was made by now stays, so the garbage collector need not look at it again; and what an order makes is freed
    by counting references, so that it need not look often."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)

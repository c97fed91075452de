"""What `dexexec.run` runs: a life from the first contact to the last, background tasks, venues with what they opened.

None of it is waited for without a bound once it has to end.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dexexec.cancellation import CANCEL_SECONDS, cancelled, unless_stopped
from dexexec.foreign import clean
from dexexec.observe import Observer
from dexexec.stopping import END_SECONDS
from dexexec.venue import AnyVenue

Background = Callable[[], Coroutine[Any, Any, None]]
"""What runs beside the rest: started only once every part is made."""


async def live(
    life: Callable[[Callable[[], None]], Coroutine[Any, Any, None]], stop: asyncio.Event, observer: Observer
) -> None:
    """Run `life`, which calls what it is handed once it has started, and from then on ends by itself after `stop`.
    Stopped before, it is cancelled: what is still waited for would not be used any more. Raises what it raises."""
    started = asyncio.Event()
    task = asyncio.create_task(life(started.set))
    task.add_done_callback(lambda _: started.set())
    try:
        await unless_stopped(stop, started.wait())
        if started.is_set():
            await asyncio.shield(task)
        else:
            observer.start_given_up()
    finally:
        await cancelled([task], END_SECONDS)


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
            observer.venue_not_closed(venue.name, clean(error))


def quiet_collector() -> None:
    """What was made by now stays, so the garbage collector need not look at it again; and what an order makes is freed
    by counting references, so that it need not look often."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)

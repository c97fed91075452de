"""Cancellations that got lost on the way, tasks that take their time to end, and errors that nobody waits for any more.

redis-py and psycopg wait with `asyncio.wait_for`, and that of Python 3.11 swallows a cancellation which arrives just as
what it waits for has finished (CPython issue 86296, fixed in 3.12). A loop around Redis or Postgres would then never
end, so it asks here.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_SECONDS = 2.0
"""How long a task may take to end that was cancelled."""


def raise_if_cancelled() -> None:
    """Raise CancelledError when the current task was cancelled and nobody has taken that back."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def ignore_exception(task: asyncio.Future[Any]) -> None:
    """A callback for what may end with an error that nobody waits for any more: it is not reported as forgotten."""
    if not task.cancelled():
        task.exception()


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T], grace: float = 0.0) -> T | None:
    """The result of `work`; None when it has none `grace` seconds after the stop: then it is cancelled."""
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait([task], timeout=grace)
        if not task.done():
            await cancelled([task])
        return task.result() if task.done() and not task.cancelled() else None
    except asyncio.CancelledError:
        await cancelled([task])
        raise
    finally:
        stopped.cancel()


async def cancelled(tasks: Iterable[asyncio.Future[Any]], seconds: float = CANCEL_SECONDS) -> set[asyncio.Future[Any]]:
    """Cancel the tasks and let them end; those that have not after `seconds`."""
    waiting = set(tasks)
    for task in waiting:
        task.cancel()
        task.add_done_callback(ignore_exception)
    return (await asyncio.wait(waiting, timeout=seconds))[1] if waiting else set()

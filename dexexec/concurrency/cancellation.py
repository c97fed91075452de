"""Ending tasks: cancellations that were swallowed, tasks that end slowly, and errors without a waiter.

redis-py and psycopg wait with `asyncio.wait_for`, which swallows a cancellation in Python 3.11 if its work has just
finished (CPython issue 86296, fixed in 3.12). Loops around Redis or Postgres would then never end, so they call
`raise_if_cancelled`.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_SECONDS = 2.0
"""How long a cancelled task may take to end."""


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task was cancelled and the cancellation was not taken back."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def ignore_exception(task: asyncio.Future[Any]) -> None:
    """A callback for a task whose error has no waiter any more: it is not reported as "never retrieved"."""
    if not task.cancelled():
        task.exception()


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T], grace: float = 0.0) -> T | None:
    """The result of `work`; None if it has no result `grace` seconds after the stop: then it is cancelled."""
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
    """Cancel the tasks and wait until they end; returns those that have not ended after `seconds`."""
    waiting = set(tasks)
    for task in waiting:
        task.cancel()
        task.add_done_callback(ignore_exception)
    return (await asyncio.wait(waiting, timeout=seconds))[1] if waiting else set()

"""Cancelling tasks and waiting for their end, and exceptions of tasks whose results are no longer needed."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_SECONDS = 2.0
"""How long a cancelled task may take to end."""


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task was cancelled. Loops around Redis or Postgres call this in each turn."""
    # redis-py and psycopg wait with `asyncio.wait_for`. In Python 3.11 it swallows a cancellation that arrives just as
    # the awaited call has finished (CPython issue 86296, fixed in 3.12). Without this check such a loop never ends.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def ignore_exception(task: asyncio.Future[Any]) -> None:
    """A callback for a task whose result is no longer needed: keeps asyncio from logging its exception."""
    # asyncio logs "exception was never retrieved" unless the exception has been read.
    if not task.cancelled():
        task.exception()


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T], grace: float = 0.0) -> T | None:
    """Return the result of `work`, or None if it has not finished `grace` seconds after `stop` was set; it is cancelled
    then."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
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
    """Cancel the tasks and wait for their end; returns those that have not ended after `seconds`."""
    waiting = set(tasks)
    for task in waiting:
        task.cancel()
        # Set before the wait: a task that outlasts it may still fail, and its exception is read by no caller then.
        task.add_done_callback(ignore_exception)
    return (await asyncio.wait(waiting, timeout=seconds))[1] if waiting else set()

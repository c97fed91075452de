"""Cancellations that got lost on the way, and errors of tasks that nobody waits for any more.

redis-py and psycopg wait with `asyncio.wait_for`, and that of Python 3.11 swallows a cancellation which arrives just as
what it waits for has finished (CPython issue 86296, fixed in 3.12). A loop around Redis or Postgres would then never
end, so it asks here.
"""

import asyncio
from typing import Any


def raise_if_cancelled() -> None:
    """Raise CancelledError when the current task was cancelled and nobody has taken that back."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def no_news(task: asyncio.Future[Any]) -> None:
    """A callback for what may end with an error that nobody waits for any more: it is not reported as forgotten."""
    if not task.cancelled():
        task.exception()

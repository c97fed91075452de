"""Background tasks that run as long as a block."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dexexec.concurrency.cancellation import cancelled

Background = Callable[[], Coroutine[Any, Any, None]]
"""The main loop of a part. It is started once every part has been created."""


@asynccontextmanager
async def running(work: Sequence[Background]) -> AsyncIterator[list[asyncio.Future[None]]]:
    """Run tasks for the duration of the block. They are cancelled at its end, the last started first."""
    tasks: list[asyncio.Future[None]] = [asyncio.create_task(one()) for one in work]
    try:
        yield tasks
    finally:
        for task in reversed(tasks):
            await cancelled([task])

"""Waiting for a condition, with a deadline: what tests do instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

POLL = 0.02
"""Seconds between two checks of a condition outside this process."""
SPINS, SPARING = 200, 0.001
"""Checks of a condition without a pause, which is enough for other tasks of this loop; after these it waits for
something else, and pauses for so many seconds."""


async def until(condition: Callable[[], Any], seconds: float = 20.0, pause: float = 0.0) -> Any:
    """The first true answer of `condition`, which may be a coroutine function; TimeoutError after `seconds`. Other
    tasks run in between; `pause` spares the processor."""
    checks = 0
    async with asyncio.timeout(seconds):
        while True:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            checks += 1
            await asyncio.sleep(pause or (0.0 if checks < SPINS else SPARING))


def wait_until(condition: Callable[[], T], seconds: float, what: str) -> T:
    """The first true answer of `condition`, for tests without an event loop. `what` names it in the failure."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(POLL)
    return answer

"""Waiting for a condition, with a deadline: what tests do instead of sleeping."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], seconds: float = 20.0, pause: float = 0.0) -> Any:
    """The first true answer of `condition`, which may be a coroutine function; TimeoutError after `seconds`. Other
    tasks run in between; `pause` spares the processor."""
    async with asyncio.timeout(seconds):
        while True:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(pause)

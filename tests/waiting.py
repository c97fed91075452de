"""Waiting for a condition, with a deadline: what tests do instead of sleeping."""

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], bool], seconds: float = 10.0, pause: float = 0.0) -> None:
    """Let other tasks run until `holds()`; TimeoutError after `seconds`. `pause` spares the processor."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(pause)

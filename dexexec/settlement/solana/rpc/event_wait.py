"""Waiting for an event for a limited time of a clock that tests control."""

import asyncio

from dexexec.clock import Clock


async def wait_for_event(event: asyncio.Event, seconds: float, clock: Clock) -> None:
    """Wait for `event`, at most for `seconds` of `clock`."""
    tasks = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()

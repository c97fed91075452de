"""Runs a coroutine on the fastest event loop that is installed."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


def run_event_loop(work: Coroutine[object, object, T]) -> T:
    """Run `work` to its end on uvloop, or on asyncio's own loop where uvloop is not installed."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)

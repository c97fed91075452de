"""The way from a caller to a server in memory: where a simulation puts delays, outages and lost answers."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Wire(Protocol):
    """Carries a request to the server and its answer back."""

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        """Have the server do `effect`, at once and undivided, and bring its answer or its exception. Raises
        `UnavailableError` when none came; the effect may have happened, and may still happen."""

    async def wait(self, what: str, effect: Callable[[], "asyncio.Future[T]"]) -> T:
        """As `call`, for an answer that the server gives later."""


class Direct:
    """No way at all, but one turn of the event loop."""

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        """The answer."""
        await asyncio.sleep(0)
        return effect()

    async def wait(self, what: str, effect: Callable[[], "asyncio.Future[T]"]) -> T:
        """The answer."""
        await asyncio.sleep(0)
        return await effect()

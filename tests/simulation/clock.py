"""The clock of a simulated process: virtual time, and failpoints at which it may be struck."""

import asyncio
from collections.abc import Awaitable, Callable

from dexexec.failpoints import Failpoint
from tests.simulation.loop import VirtualLoop

START_MS = 1_700_000_000_000
"""Unix time at the beginning of every scenario."""


class VirtualClock:
    """`dexexec.clock.Clock`. `origin` is where its monotonic time begins, `skew_ms` how far its wall clock is off."""

    def __init__(
        self, loop: VirtualLoop, strike: Callable[[Failpoint], Awaitable[None]], origin: float = 0, skew_ms: int = 0
    ) -> None:
        self._loop, self._strike, self._origin, self._skew = loop, strike, origin, skew_ms

    def unix_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch."""
        return START_MS + int(self._loop.time() * 1000) + self._skew

    def monotonic(self) -> float:
        """Seconds since some moment of its own."""
        return self._origin + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let virtual seconds pass."""
        await asyncio.sleep(seconds)

    async def failpoint(self, name: Failpoint) -> None:
        """The place where it may be struck."""
        await self._strike(name)

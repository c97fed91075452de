"""The clock of a simulated process: virtual time."""

import asyncio

from tests.simulation.loop import VirtualLoop

START_MS = 1_700_000_000_000
"""Unix time at the beginning of every scenario."""


class VirtualClock:
    """`dexexec.clock.Clock`. `origin` is where its monotonic time begins, `skew_ms` how far its wall clock is off."""

    def __init__(self, loop: VirtualLoop, origin: float = 0, skew_ms: int = 0) -> None:
        self._loop, self._origin, self._skew = loop, origin, skew_ms

    def unix_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch."""
        return START_MS + int(self._loop.time() * 1000) + self._skew

    def monotonic(self) -> float:
        """Seconds since some moment of its own."""
        return self._origin + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let virtual seconds pass."""
        await asyncio.sleep(seconds)

"""Time as a constructor argument, so that tests can hold it still, and stop it for good at a named place."""

import asyncio
import time
from typing import Protocol

from dexexec.failpoints import Failpoint


class Clock(Protocol):
    """What the rest of the project may know of time."""

    def unix_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""

    async def failpoint(self, name: Failpoint) -> None:
        """Pass a place where a test may strike."""


class SystemClock:
    """The machine's own time."""

    def unix_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await asyncio.sleep(seconds)

    async def failpoint(self, name: Failpoint) -> None:
        """Nothing strikes outside of tests."""

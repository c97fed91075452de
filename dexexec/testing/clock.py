"""A clock for tests, whose time passes only on demand."""

import asyncio


class ManualClock:
    """`dexexec.clock.Clock` whose time passes only by `advance` and by `sleep`.

    No real time passes: when a task sleeps and no other task wakes earlier, the time jumps to its waking. Wall clock
    and monotonic clock advance together; the wall clock starts at `unix_ms`.
    """

    def __init__(self, unix_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = unix_ms
        self._elapsed_ns = 0
        self._wakings: list[int] = []

    def unix_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch."""
        return self._start_ms + self._elapsed_ns // 1_000_000

    def monotonic(self) -> float:
        """Seconds since this clock was created."""
        return self._elapsed_ns / 1e9

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back, as an operator or a time server may. The monotonic clock goes on."""
        self._start_ms -= round(seconds * 1000)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._elapsed_ns += round(seconds * 1e9)

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass. Tasks that wake earlier run first."""
        waking = self._elapsed_ns + round(seconds * 1e9)
        self._wakings.append(waking)
        try:
            await asyncio.sleep(0)
            # The task that wakes first moves the time; the others yield until it has run.
            while self._elapsed_ns < waking:
                if min(self._wakings) == waking:
                    self._elapsed_ns = waking
                else:
                    await asyncio.sleep(0)
        finally:
            self._wakings.remove(waking)

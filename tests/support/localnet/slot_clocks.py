"""Manual clocks whose time makes the blocks of a localnet in this process."""

import time
from collections import deque
from collections.abc import Awaitable, Callable

from dexexec.testing.clock import ManualClock
from tests.support.localnet.in_process import InProcessLocalnet

SLOT_MS = 400
Action = Callable[[], Awaitable[object]]


class SlotClock(ManualClock):
    """Manual time, with a block every `SLOT_MS`."""

    def __init__(self, net: InProcessLocalnet) -> None:
        super().__init__()
        self._net = net
        self._blocks = self.unix_ms() // SLOT_MS

    def advance(self, seconds: float) -> None:
        """Moves the time on at once."""
        super().advance(seconds)
        self._make_blocks()

    async def sleep(self, seconds: float) -> None:
        """Moves the time on, after everything that is due before."""
        await super().sleep(seconds)
        self._make_blocks()

    def _make_blocks(self) -> None:
        while self._blocks < self.unix_ms() // SLOT_MS:
            self._net.ledger.tick()
            self._blocks += 1


class ScriptedClock(SlotClock):
    """Manual time that starts at the machine's, because deadlines are counted from there.

    `meanwhile` are actions: one runs before each pause.
    """

    def __init__(self, net: InProcessLocalnet) -> None:
        super().__init__(net)
        self._base = time.monotonic()
        self.meanwhile: deque[Action] = deque()
        self.pauses = 0

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._base + super().monotonic()

    async def sleep(self, seconds: float) -> None:
        """Runs the next action, then moves the time on."""
        self.pauses += 1
        if self.meanwhile:
            await self.meanwhile.popleft()()
        await super().sleep(seconds)

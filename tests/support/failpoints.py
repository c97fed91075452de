"""Failpoints that a test controls: one that runs a function, and one that holds the first task that reaches it."""

import asyncio
from collections.abc import Awaitable, Callable

from dexexec.failpoints import Failpoint


async def pass_through(_: Failpoint) -> None:
    """Nothing happens."""


class ScriptedFailpoints:
    """`dexexec.failpoints.Failpoints` that runs `strike`, which a test may replace at any time."""

    def __init__(self, strike: Callable[[Failpoint], Awaitable[None]] = pass_through) -> None:
        self.strike = strike

    async def reach(self, name: Failpoint) -> None:
        """Run the test's function."""
        await self.strike(name)


class StallingFailpoints:
    """`dexexec.failpoints.Failpoints` that holds the first task that reaches `stall` until `go_on` is set."""

    def __init__(self) -> None:
        self.stall: Failpoint | None = None
        self.stalled = asyncio.Event()
        self.go_on = asyncio.Event()

    async def reach(self, name: Failpoint) -> None:
        """Pass, or wait."""
        if name is self.stall:
            self.stall = None
            self.stalled.set()
            await self.go_on.wait()

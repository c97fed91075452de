"""What a cluster charges for each signature of a transaction. A node returns it for a message that changes nothing."""

import asyncio
from typing import Protocol

from dexexec.clock import Clock
from dexexec.settlement.solana.message import SIGNATURE_FEE
from dexexec.venue import VenueError

PAUSE_SECONDS = 60.0
"""Seconds between two readings. It has not changed for years, and would change at an epoch's first slot."""
MOST = 10_000_000
"""Lamports: a fee above this is no base fee, and a node that returns it is not believed."""


class FeeReader(Protocol):
    """The nodes."""

    async def signature_fee(self) -> int | None:
        """As `RpcChain`."""


class SignatureFee:
    """Keeps the fee that `nodes` return, in lamports. Until they do, it is the one of every cluster so far."""

    def __init__(self, nodes: FeeReader, clock: Clock) -> None:
        self._nodes = nodes
        self._clock = clock
        self._lamports = SIGNATURE_FEE

    def __call__(self) -> int:
        """Lamports per signature."""
        return self._lamports

    async def read(self) -> None:
        """Reads it now. Raises `VenueError`."""
        found = await self._nodes.signature_fee()
        if found is not None and 0 <= found <= MOST:
            self._lamports = found

    async def run(self) -> None:
        """Reads it now and then, until cancelled."""
        while True:
            try:
                await self.read()
            except VenueError:
                # The nodes' troubles are logged where they are found, and some offer no such request.
                await asyncio.sleep(0)
            await self._clock.sleep(PAUSE_SECONDS)


def assumed() -> int:
    """The fee of every cluster so far: for a chain whose fee is not read."""
    return SIGNATURE_FEE

"""Whether a cluster executes messages of version 1, which it shows by a feature account."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.solana import Account, Accounts
from dexexec.venue import VenueError

FEATURE_PROGRAM = "Feature111111111111111111111111111111111111"
VERSION_1_FEATURE = "txv1aq4pp281K9um3tnPgkfX8UqtFT6wcVW3hNezGLL"
"""`enable_tx_v1` (SIMD-0385), active on mainnet-beta since September 2026."""
ACTIVE = 1
"""The first byte of the account of an active feature; the slot of activation follows (an `Option<u64>`)."""
PAUSE_SECONDS = 600.0
"""Seconds between two readings. Features are activated at the first slot of an epoch, of which there is one a day."""


class AccountReader(Protocol):
    """The nodes."""

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `SolanaChain`."""


class VersionSupport:
    """Reads the feature from `nodes` until it is active. It is never deactivated."""

    def __init__(self, nodes: AccountReader, clock: Clock) -> None:
        self._nodes = nodes
        self._clock = clock
        self._active = False

    def executes_v1(self) -> bool:
        """Whether the feature was active when it was read last."""
        return self._active

    async def read(self) -> bool:
        """Reads it now and returns the same. Raises `VenueError`."""
        if not self._active:
            [account] = (await self._nodes.accounts([VERSION_1_FEATURE])).found
            self._active = is_active(account)
        return self._active

    async def run(self) -> None:
        """Reads it now and then until it is active; then it does nothing until cancelled."""
        while not self._active:
            try:
                await self.read()
            except VenueError:
                # The nodes' troubles are logged where they are found; until they answer, version 0 is built.
                await asyncio.sleep(0)
            await self._clock.sleep(PAUSE_SECONDS)
        await asyncio.Event().wait()


def is_active(account: Account | None) -> bool:
    """Whether the feature with this account is active."""
    return account is not None and account.owner == FEATURE_PROGRAM and account.data[:1] == bytes([ACTIVE])

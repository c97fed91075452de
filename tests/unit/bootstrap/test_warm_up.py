"""What stays in memory for good is of the configured pair only, so that pools of orders can leave again."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

from dexexec.bootstrap.warm_up import WarmUp
from dexexec.domain.token import USDC, WSOL
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.rehearsal import Rehearsal
from dexexec.testing.clock import ManualClock
from dexexec.venue import AnyVenue
from tests.support.raydium_accounts import RecordedChain, address, pool_accounts, pool_of, raydium

OURS, OTHERS = address(1), address(2)
PAIR = (WSOL, USDC)
LAUNCHED = (WSOL, address(9))


class Pinned(list[str]):
    """Watched accounts: those that stay."""

    def pin(self, group: str, addresses: Iterable[str]) -> None:
        self.extend(addresses)


class Idle(Rehearsal):
    """Notes that a venue is warm, and rehearses nothing."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def rehearse(self, venue: AnyVenue, pair: tuple[str, str]) -> None:
        self.begun.set()


async def test_pools_of_orders_are_not_kept_for_good() -> None:
    held = pool_accounts(OURS, pool_of(PAIR, 1)) | pool_accounts(OTHERS, pool_of(LAUNCHED, 2))
    venue = raydium(RecordedChain(held))
    await venue.warm(LAUNCHED)
    pinned = Pinned()
    networks: Any = SimpleNamespace(watches={venue.capabilities.network: pinned}, wallets={}, named={})
    idle = Idle()
    warm_up = WarmUp(
        [cast("AnyVenue", venue)],
        networks,
        pair=PAIR,
        rehearsal=idle,
        clock=ManualClock(),
        observer=Observer(make_logger("critical")),
    )
    task = asyncio.create_task(warm_up.run())
    try:
        async with asyncio.timeout(20):
            await idle.begun.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await venue.aclose()
    assert OURS in pinned
    assert OTHERS not in pinned

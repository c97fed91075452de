"""Clocks of processes need not agree with Postgres', nor with each other."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.swap import Accepted, Landed, NotSeen, SignedSwap, UnsignedSwap, proves_expiry
from dexexec.domain.token import KNOWN, Tokens
from dexexec.settlement.simulated.chain import SLOT_MS, VALID_FOR, SimulatedChain
from dexexec.settlement.simulated.postgres_ledger import PostgresLedger
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.store import Address
from dexexec.venue import VenueContext
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions
from tests.support.parts import open_database, running
from tests.support.scripted_workers import OpenScriptedWorkers
from tests.support.simulated_swaps import simulated_swap
from tests.support.waiting import until

SKEWS = [-3_600, -65, 65, 3_600]
"""Seconds by which a process is ahead of Postgres."""


class SkewedClock(SystemClock):
    """The machine's time, with a wall clock that is wrong."""

    def __init__(self, seconds: float) -> None:
        self._ms = round(seconds * 1000)

    def unix_ms(self) -> int:
        return super().unix_ms() + self._ms


@asynccontextmanager
async def chain_of(address: Address, skew: float = 0) -> AsyncIterator[SimulatedChain]:
    """The simulated chain, as a process sees it whose clock is ahead by `skew` seconds."""
    async with open_database(address) as database:
        ledger = PostgresLedger(database, SkewedClock(skew))
        async with running(ledger.run()):
            yield SimulatedChain(ledger)


async def signed(chain: SimulatedChain) -> SignedSwap:
    blockhash = await chain.blockhash()
    swap = simulated_swap(blockhash=blockhash.hash, nonce=str(id(blockhash)))
    return SimulatedSigner().sign(UnsignedSwap(swap.encode(), blockhash))


async def has_landed(chain: SimulatedChain, swap: SignedSwap) -> bool:
    return isinstance((await chain.status([swap.signature]))[0], Landed)


@pytest.mark.parametrize("skew", SKEWS)
async def test_a_process_whose_clock_is_wrong_signs_swaps_that_land(database_address: Address, skew: float) -> None:
    async with chain_of(database_address, skew) as wrong, chain_of(database_address) as right:
        for signer, sender in ((wrong, right), (right, wrong), (wrong, wrong)):
            swap = await signed(signer)
            assert await sender.submit(swap) == Accepted()
            for chain in (wrong, right):
                await until(partial(has_landed, chain, swap))


@pytest.mark.parametrize("skew", SKEWS)
async def test_promise_5_a_clock_that_is_ahead_proves_nothing_gone_that_may_still_land(
    database_address: Address, skew: float
) -> None:
    async with chain_of(database_address, skew) as wrong, chain_of(database_address) as right:
        begun = time.monotonic()
        swap = await signed(right)
        [unseen] = await wrong.status([swap.signature], history=True)
        assert isinstance(unseen, NotSeen)
        assert not proves_expiry(unseen, swap.last_valid_height)
        apart = abs(swap.last_valid_height - VALID_FOR - unseen.slot) * SLOT_MS / 1000
        assert apart <= time.monotonic() - begun + 2 * SLOT_MS / 1000


@pytest.mark.parametrize("skew", SKEWS)
async def test_orders_are_filled_with_any_clock_of_the_worker(
    scripted_workers: OpenScriptedWorkers, database_address: Address, skew: float
) -> None:
    clock = SkewedClock(skew)
    options = MockOptions(latency_ms=0, landing_ms=0, slippage_ppm=0)
    async with scripted_workers() as b, chain_of(database_address, skew) as chain:
        b.chain, b.a = cast("Any", chain), cast("Any", MockRaydium(VenueContext(clock, Tokens(KNOWN), chain, options)))
        async with running(b.worker(clock=clock, signer=SimulatedSigner(), without="b").run()):
            events = await b.ended(await b.post())
        assert [event.status.value for event in events][-2:] == ["submitted", "confirmed"]
        assert len((await b.view(events[0].order_id))["attempts"]) == 1

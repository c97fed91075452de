"""A dry run on the simulated chain: the same checks as before a signature, and the fill that the bytes would get."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import Blockhash, Landed, SignedSwap, UnsignedSwap, fill_of
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.guard_errors import GuardError
from dexexec.settlement.simulated.chain import SLOT_MS, SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.venue import Slippage
from tests.support.attempts import an_attempt
from tests.support.scripted import ScriptedVenue, quote_of
from tests.support.simulated_swaps import simulated_swap

REQUEST = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)


class NoSigner(SimulatedSigner):
    """A wallet that must not sign."""

    def sign(self, unsigned: UnsignedSwap) -> SignedSwap:
        raise AssertionError("a dry run signs nothing")


def quoted(swap: SimulatedSwap) -> Quote:
    request = replace(REQUEST, mode=Mode.EXACT_IN if swap.exact_in else Mode.EXACT_OUT)
    return replace(
        quote_of("v", request, swap.amount_out),
        amount_in=swap.amount_in,
        amount_out=swap.amount_out,
        min_out=swap.min_out,
        max_in=swap.max_in,
    )


async def blockhash() -> Blockhash:
    return await SimulatedChain(MemoryLedger(ManualClock())).blockhash()


@pytest.mark.parametrize(
    "changes",
    [{}, {"move_ppm": 2_000}, {"dropped": True, "landing_ms": 900}, {"exact_in": False, "max_in": 2 * 10**9}],
)
async def test_the_fill_is_the_one_that_the_same_bytes_get_when_they_land(changes: Mapping[str, Any]) -> None:
    clock = ManualClock()
    chain = SimulatedChain(MemoryLedger(clock))
    recent = await chain.blockhash()
    swap = simulated_swap(blockhash=recent.hash, **changes)
    unsigned = UnsignedSwap(swap.encode(), recent)
    venue = ScriptedVenue("v", clock)
    dry = await SimulatedSealer(NoSigner()).simulate(venue, quoted(swap), unsigned, 1e9, an_attempt())
    sealed = await SimulatedSealer(SimulatedSigner()).seal(venue, quoted(swap), unsigned, 1e9, an_attempt())
    for _ in range(2):  # the first send of a dropped one is lost
        await chain.submit(sealed.signed)
    clock.advance(2 * SLOT_MS / 1000 + swap.landing_ms / 1000)
    [landed] = await chain.status([sealed.signed.signature])
    assert isinstance(landed, Landed)
    assert replace(dry, slot=landed.slot) == fill_of(landed, quoted(swap).request)


async def test_a_swap_that_would_fail_on_the_chain_fails_the_dry_run() -> None:
    recent = await blockhash()
    swap = simulated_swap(blockhash=recent.hash, move_ppm=100_000)
    with pytest.raises(Slippage, match="would fail: the price moved past the order's bound"):
        await SimulatedSealer(NoSigner()).simulate(
            ScriptedVenue("v", ManualClock()), quoted(swap), UnsignedSwap(swap.encode(), recent), 1e9, an_attempt()
        )


async def test_the_guard_checks_a_dry_run_also_where_a_test_signs_everything() -> None:
    recent = await blockhash()
    swap = simulated_swap(blockhash=recent.hash)
    loose = UnsignedSwap(replace(swap, min_out=1).encode(), recent)
    with pytest.raises(GuardError, match="looser bounds"):
        await SimulatedSealer(NoSigner(), guarded=False).simulate(
            ScriptedVenue("v", ManualClock()), quoted(swap), loose, 1e9, an_attempt()
        )

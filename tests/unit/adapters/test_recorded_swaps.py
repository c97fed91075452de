"""What the venues' real programs did is what the venues quote from the accounts as they were, to the unit."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any
from zlib import decompress

import pytest

from dexexec.domain.depth import DeepVenue
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account
from dexexec.domain.token import Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import AnyVenue, VenueContext
from dexexec.venues.registry import VenueClass
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm
from dexexec_adapters.orca.venue import Orca
from dexexec_adapters.raydium_amm.venue import RaydiumAmm
from dexexec_adapters.raydium_clmm.venue import RaydiumClmm
from tests.support.pool_depths import output_of
from tests.support.raydium_accounts import RecordedChain

DEADLINE = 60.0
"""Of real seconds, while the clock does not move: one second is too short on a busy machine."""
FOLDER = Path(__file__).parents[2] / "vectors" / "swaps"
LARGE = 10**5
"""Base units."""
VENUES: dict[str, VenueClass] = {kind.name: kind for kind in (MeteoraDlmm, Orca, RaydiumAmm, RaydiumClmm)}


def swaps(venue: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{venue}.json").read_text())
    return found


def asked(name: str, swap: dict[str, Any]) -> tuple[AnyVenue, SwapRequest]:
    """The venue on a chain that shows what it was at a recorded swap, and what was requested."""
    accounts = {
        address: Account(owner, 10**7, decompress(b64decode(data)))
        for address, (owner, data) in swap["accounts"].items()
    }
    chain, clock = RecordedChain(accounts, slot=swap["slot"]), ManualClock(swap["unix_ms"])
    options = VENUES[name].Options.model_validate({"cluster": "localnet", "pools": swap["pool"]})
    mode = Mode(swap["mode"])
    amount = swap["amount_in" if mode is Mode.EXACT_IN else "amount_out"]
    request = SwapRequest(mint_in=swap["mint_in"], mint_out=swap["mint_out"], amount=amount, mode=mode, slippage_bps=50)
    return VENUES[name](VenueContext(clock, Tokens(()), chain, options, cluster="localnet")), request


@pytest.mark.parametrize("name", VENUES)
async def test_every_recorded_swap_is_quoted_to_the_unit(name: str) -> None:
    for swap in swaps(name):
        venue, request = asked(name, swap)
        quote = await venue.quote(request, venue.context.clock.monotonic() + DEADLINE)
        assert (quote.amount_in, quote.amount_out) == (swap["amount_in"], swap["amount_out"]), swap["pool"]
        await venue.aclose()


@pytest.mark.parametrize("name", VENUES)
async def test_the_stretches_of_a_pool_promise_what_it_really_gives(name: str) -> None:
    """Of large swaps: of small ones, rounding takes a part, and most of it after a high fee."""
    compared = 0
    for swap in swaps(name):
        venue, request = asked(name, swap)
        assert isinstance(venue, DeepVenue)
        [depth] = await venue.depths(request, venue.context.clock.monotonic() + DEADLINE)
        left, received = float(swap["amount_in"]), 0.0
        for stretch in depth.stretches:
            part = min(left, stretch.amount_in)
            left -= part
            received += output_of(stretch, part)
        # Pools with a transfer fee show no stretches, and a swap may reach further than those that are shown.
        if not left and min(swap["amount_in"], swap["amount_out"]) >= LARGE:
            # A unit of what a fee of 99.99 % leaves of the input, and of the output in each stretch.
            rounding = 10**4 / swap["amount_in"] + 2 * len(depth.stretches) / swap["amount_out"]
            assert received == pytest.approx(swap["amount_out"], rel=1e-9 + rounding), (swap["pool"], request)
            assert depth.quote(request).amount_out == swap["amount_out"]
            compared += 1
        await venue.aclose()
    assert compared > 3


def test_there_is_a_file_of_each_venue_with_swaps_of_either_mode() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == VENUES.keys()
    for name in VENUES:
        assert {swap["mode"] for swap in swaps(name)} == set(Mode), name

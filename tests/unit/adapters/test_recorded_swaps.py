"""What the venues' real programs did is what the venues quote from the accounts as they were, to the unit."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any
from zlib import decompress

import pytest

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account
from dexexec.domain.token import Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import VenueContext
from dexexec.venues.registry import VenueClass
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm
from dexexec_adapters.orca.venue import Orca
from dexexec_adapters.raydium_amm.venue import RaydiumAmm
from dexexec_adapters.raydium_clmm.venue import RaydiumClmm
from tests.support.raydium_accounts import RecordedChain

DEADLINE = 60.0
"""Of real seconds, while the clock does not move: one second is too short on a busy machine."""
FOLDER = Path(__file__).parents[2] / "vectors" / "swaps"
VENUES: dict[str, VenueClass] = {kind.name: kind for kind in (MeteoraDlmm, Orca, RaydiumAmm, RaydiumClmm)}


def swaps(venue: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{venue}.json").read_text())
    return found


@pytest.mark.parametrize("name", VENUES)
async def test_every_recorded_swap_is_quoted_to_the_unit(name: str) -> None:
    for swap in swaps(name):
        accounts = {
            address: Account(owner, 10**7, decompress(b64decode(data)))
            for address, (owner, data) in swap["accounts"].items()
        }
        chain, clock = RecordedChain(accounts, slot=swap["slot"]), ManualClock(swap["unix_ms"])
        options = VENUES[name].Options.model_validate({"cluster": "localnet", "pools": swap["pool"]})
        venue = VENUES[name](VenueContext(clock, Tokens(()), chain, options, cluster="localnet"))
        mode = Mode(swap["mode"])
        amount = swap["amount_in" if mode is Mode.EXACT_IN else "amount_out"]
        request = SwapRequest(
            mint_in=swap["mint_in"], mint_out=swap["mint_out"], amount=amount, mode=mode, slippage_bps=50
        )
        quote = await venue.quote(request, clock.monotonic() + DEADLINE)
        assert (quote.amount_in, quote.amount_out) == (swap["amount_in"], swap["amount_out"]), swap["pool"]
        await venue.aclose()


def test_there_is_a_file_of_each_venue_with_swaps_of_either_mode() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == VENUES.keys()
    for name in VENUES:
        assert {swap["mode"] for swap in swaps(name)} == set(Mode), name

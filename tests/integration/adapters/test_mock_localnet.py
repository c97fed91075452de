"""The mock venues settling on a localnet keep the contract of all venues."""

from pathlib import Path

import pytest

from dexexec.domain.token import USDC, WSOL
from dexexec.testing.contract import CHECKS, Check
from dexexec.venues.registry import VenueClass
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium
from tests.support.localnet.mock_venue_setup import PEPE, TOKENS, LocalnetHarness

VENUES = (MockRaydium, MockMeteora)
PAIRS = [(WSOL, USDC), (USDC, WSOL), (PEPE.mint, USDC)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
@pytest.mark.parametrize("venue_class", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("pair", PAIRS, ids=["sell", "buy", "no-sol"])
async def test_the_venue_keeps_the_rule_on_a_localnet(
    tmp_path: Path, check: Check, venue_class: VenueClass, pair: tuple[str, str]
) -> None:
    await check(LocalnetHarness(venue_class, {}, TOKENS, pair, tmp_path))

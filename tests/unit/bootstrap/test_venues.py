"""Whether an amount can be a share of the balance, by the networks of the enabled venues."""

from dataclasses import replace

from dexexec.bootstrap.venues import why_no_balances
from dexexec.testing.clock import ManualClock
from dexexec.venue import AnyVenue, Network
from tests.support.scripted import ScriptedVenue


def venue_on(network: str) -> AnyVenue:
    venue = ScriptedVenue(network, ManualClock())
    venue.capabilities = replace(venue.capabilities, network=network)
    return venue


def test_only_where_all_venues_are_simulated_wallets_have_no_balances() -> None:
    simulated = venue_on(Network.SIMULATED)
    assert "simulated chain" in why_no_balances([simulated, venue_on(Network.SIMULATED)])
    for network in (Network.LOCALNET, Network.SOLANA):
        assert why_no_balances([simulated, venue_on(network)]) == ""

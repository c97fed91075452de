"""Settings of the venues on chain: addresses by comma, defaults of the node's cluster, a clear error for the rest."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.testing.clock import ManualClock
from dexexec.venue import Network, Unsupported, VenueContext
from dexexec.venues.registry import read_options
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm
from dexexec_adapters.orca.venue import Orca
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.raydium.venue import Raydium
from dexexec_adapters.solana.clusters import METEORA_DAMM_V2, METEORA_DLMM, ORCA, RAYDIUM_CPMM, Deployment
from dexexec_adapters.solana.keys import derived
from tests.support.raydium_accounts import RecordedChain, address

DEPLOYMENTS: dict[type[Any], Mapping[str, Deployment]] = {
    Raydium: RAYDIUM_CPMM,
    Meteora: METEORA_DAMM_V2,
    MeteoraDlmm: METEORA_DLMM,
    Orca: ORCA,
}
each_venue = pytest.mark.parametrize("venue", DEPLOYMENTS, ids=lambda venue: venue.name)
CONFIGS = {Raydium: "AMM_CONFIGS", Meteora: "CONFIGS", MeteoraDlmm: "PRESETS", Orca: "WHIRLPOOLS_CONFIGS"}


def options(venue: type[Any], **environ: str) -> Any:
    return read_options(venue, {venue.options_prefix + name: value for name, value in environ.items()})


def opened(venue: type[Any], node: str, **environ: str) -> Any:
    """The venue on a node of a cluster."""
    chain = RecordedChain({})
    return venue(VenueContext(ManualClock(), Tokens(KNOWN), chain, options(venue, **environ), node))


@each_venue
def test_without_settings_the_cluster_of_the_node_decides(venue: type[Any]) -> None:
    for cluster, deployment in DEPLOYMENTS[venue].items():
        found = opened(venue, cluster)
        assert (found.program_id, found.configs) == (deployment.program, deployment.configs)
        assert found.programs == {deployment.program}
    assert venue.network_for(options(venue)) == Network.SOLANA


@each_venue
@pytest.mark.parametrize("node", ["devnet", ""])
def test_the_configured_cluster_is_the_nodes_or_that_of_an_unknown_node(venue: type[Any], node: str) -> None:
    assert opened(venue, node, CLUSTER="devnet").program_id == DEPLOYMENTS[venue]["devnet"].program


@each_venue
def test_another_cluster_than_the_nodes_is_refused_at_the_start_even_with_a_program_of_its_own(
    venue: type[Any],
) -> None:
    text = (
        f"{venue.options_prefix}CLUSTER is devnet, but the node belongs to mainnet-beta: unset it,"
        f" or set SOLANA_RPC_URL"
    )
    for more in ({}, {"PROGRAM_ID": address(5)}):
        with pytest.raises(Unsupported, match=text):
            opened(venue, "mainnet-beta", CLUSTER="devnet", **more)


@each_venue
@pytest.mark.parametrize(
    ("node", "cluster", "where"),
    [("testnet", "", "on testnet"), ("", "testnet", "on testnet"), ("", "", "on the node's cluster")],
)
def test_a_cluster_without_a_known_deployment_needs_the_programs_address(
    venue: type[Any], node: str, cluster: str, where: str
) -> None:
    with pytest.raises(Unsupported, match=rf"{where}.* is known: set {venue.options_prefix}PROGRAM_ID"):
        opened(venue, node, CLUSTER=cluster)
    found = opened(venue, node, CLUSTER=cluster, PROGRAM_ID=address(5))
    assert (found.program_id, found.configs) == (address(5), ()), "another program has configs of its own"
    found = opened(venue, node, CLUSTER=cluster, PROGRAM_ID=address(5), **{CONFIGS[venue]: address(6)})
    assert (found.program_id, found.configs) == (address(5), (address(6),))


@each_venue
def test_a_localnet_is_settled_on_only_if_it_is_named_with_mainnets_addresses(venue: type[Any]) -> None:
    assert venue.network_for(options(venue, CLUSTER="localnet")) == Network.LOCALNET
    for other in ("devnet", "testnet", "mainnet-beta"):
        assert venue.network_for(options(venue, CLUSTER=other)) == Network.SOLANA
        assert opened(venue, "", CLUSTER=other, PROGRAM_ID=address(5)).capabilities.network == Network.SOLANA
    assert opened(venue, "localnet", CLUSTER="localnet").capabilities.network == Network.LOCALNET
    assert opened(venue, "localnet", CLUSTER="localnet").program_id == DEPLOYMENTS[venue]["mainnet-beta"].program


def test_the_clusters_config_is_raydiums_config_0() -> None:
    for one in RAYDIUM_CPMM.values():
        assert one.configs == (derived(one.program, b"amm_config", (0).to_bytes(2, "big")),)


def test_every_deployment_is_an_address() -> None:
    for deployments in DEPLOYMENTS.values():
        assert all(PoolOptions(program_id=one.program, pools=one.configs) for one in deployments.values())


@each_venue
def test_lists_are_by_comma_each_entry_once(venue: type[Any]) -> None:
    found = options(venue, POOLS=f"{address(5)}, {address(6)},{address(5)},", **{CONFIGS[venue]: address(7)})
    assert (found.pools, found.pool_configs) == ((address(5), address(6)), (address(7),))
    assert venue.Options.model_validate(found.model_dump()) == found


@each_venue
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("CLUSTER", "mainnet", "must be mainnet-beta, devnet, testnet or localnet, not 'mainnet'"),
        ("PROGRAM_ID", "CPMM", "not an address: 32 bytes in base58 are needed"),
        ("PROGRAM_ID", "0" * 40, "not base58"),
        ("POOLS", f"{address(5)},nobody", "entry 2 is"),
        ("POOLS", "1" * 10**6, "entry 1 is not an address"),
        ("POOL_MAX_AGE_MS", "-1", "must be a whole number from 0 to 86400000, not '-1'"),
        ("QUOTE_TTL_MS", "0", "must be a whole number from 1 to 600000, not '0'"),
        ("QUOTE_MAX_SLOTS", "-1", "must be a whole number from 0 to 1000, not '-1'"),
    ],
)
def test_an_invalid_value_is_refused_with_its_variable(venue: type[Any], name: str, value: str, problem: str) -> None:
    with pytest.raises(ValidationError):
        venue.read_options({venue.options_prefix + name: value})
    with pytest.raises(AdapterLoadError, match=f"{venue.options_prefix}{name}:? .*{problem}"):
        options(venue, **{name: value})


@each_venue
def test_a_chain_without_accounts_is_refused_at_the_start(venue: type[Any]) -> None:
    clock = ManualClock()
    chain = SimulatedChain(MemoryLedger(clock))
    with pytest.raises(TypeError, match="the network solana or localnet is needed"):
        venue(VenueContext(clock, Tokens(KNOWN), chain, options(venue)))


def test_settings_are_read_without_a_solana_library() -> None:
    code = (
        "import sys; sys.modules['solders'] = None;"
        "import dexexec_adapters.raydium.venue as r, dexexec_adapters.meteora.venue as m;"
        "import dexexec_adapters.meteora_dlmm.venue as d;"
        "print(r.Raydium.read_options({}), m.Meteora.read_options({}), d.MeteoraDlmm.read_options({}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.stdout.count("cluster=''") == 3, shown.stderr

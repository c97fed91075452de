"""Raydium's settings: addresses by comma, defaults of the cluster, and a clear error for what cannot be."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from adapters.clusters import METEORA_DAMM_V2, RAYDIUM_CPMM
from adapters.keys import derived
from adapters.raydium import Raydium
from adapters.raydium_options import RaydiumOptions
from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.registry import read_options
from dexexec.settlement.simulated import MemoryLedger, SimulatedChain
from dexexec.testing.clock import ManualClock
from dexexec.venue import Network, VenueContext
from tests.raydium import PROGRAM, address


def options(**environ: str) -> RaydiumOptions:
    found = Raydium.read_options({f"DEXEXEC_RAYDIUM_{name}": value for name, value in environ.items()})
    assert isinstance(found, RaydiumOptions)
    return found


def test_nothing_set_is_mainnet() -> None:
    found = options()
    assert (found.program, found.configs, found.pools) == (PROGRAM, RAYDIUM_CPMM["mainnet-beta"].configs, ())
    assert Raydium.network_for(found) == Network.SOLANA


@pytest.mark.parametrize("cluster", RAYDIUM_CPMM)
def test_the_clusters_config_is_the_programs_config_0(cluster: str) -> None:
    found = options(CLUSTER=cluster)
    assert found.configs == (derived(found.program, b"amm_config", (0).to_bytes(2, "big")),)


def test_every_deployment_is_an_address() -> None:
    for deployments in (RAYDIUM_CPMM, METEORA_DAMM_V2):
        assert all(RaydiumOptions(program_id=one.program, amm_configs=one.configs) for one in deployments.values())


def test_a_localnet_is_settled_on_as_such_with_mainnets_addresses() -> None:
    found = options(CLUSTER="localnet")
    assert found.program == PROGRAM
    assert Raydium.network_for(found) == Network.LOCALNET


def test_a_cluster_without_a_known_deployment_needs_the_programs_address() -> None:
    with pytest.raises(AdapterLoadError, match="no deployment on testnet is known: set DEXEXEC_RAYDIUM_PROGRAM_ID"):
        read_options(Raydium, {"DEXEXEC_RAYDIUM_CLUSTER": "testnet"})
    found = options(CLUSTER="testnet", PROGRAM_ID=address(5))
    assert (found.program, found.configs) == (address(5), ()), "another program has configs of its own"


def test_lists_are_by_comma_each_entry_once() -> None:
    found = options(POOLS=f"{address(5)}, {address(6)},{address(5)},", AMM_CONFIGS=address(7))
    assert (found.pools, found.configs) == ((address(5), address(6)), (address(7),))
    assert RaydiumOptions.model_validate(found.model_dump()) == found


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("CLUSTER", "mainnet", "mainnet-beta"),
        ("PROGRAM_ID", "CPMM", "not an address: 32 bytes in base58 are needed"),
        ("PROGRAM_ID", "0" * 40, "not base58"),
        ("POOLS", f"{address(5)},nobody", "entry 2 is"),
        ("AMM_CONFIGS", "1" * 10**6, "entry 1 is not an address"),
        ("POOL_MAX_AGE_MS", "-1", "greater than or equal to 0"),
        ("QUOTE_TTL_MS", "0", "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused_by_the_variables_name(name: str, value: str, problem: str) -> None:
    with pytest.raises(ValidationError):
        options(**{name: value})
    with pytest.raises(AdapterLoadError, match=f"DEXEXEC_RAYDIUM_{name}: .*{problem}"):
        read_options(Raydium, {f"DEXEXEC_RAYDIUM_{name}": value})


def test_a_chain_without_accounts_is_refused_at_the_start() -> None:
    clock = ManualClock()
    chain = SimulatedChain(clock, MemoryLedger(clock))
    with pytest.raises(TypeError, match="the network solana or localnet is needed"):
        Raydium(VenueContext(clock, Tokens(KNOWN), chain, RaydiumOptions()))


def test_settings_are_read_without_a_solana_library() -> None:
    code = "import sys; sys.modules['solders'] = None; import adapters.raydium as r; print(r.Raydium.read_options({}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cluster='mainnet-beta'" in shown.stdout, shown.stderr

"""A preset is one name for several adapters and their shared settings; a contradicting setting is refused."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.testing.clock import ManualClock
from dexexec.venue import Network, Preset
from dexexec.venues import presets, registry
from dexexec.venues.presets import ADAPTERS, GROUP, environment, expand
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.presets import DEVNET
from dexexec_adapters.raydium.venue import Raydium
from tests.support.raydium_accounts import RecordedChain

HERE = __name__
DESKS = Preset(("desk-a", "desk-b"), settings={"DEXEXEC_DESK_SIDE": "left"}, defaults={"DEXEXEC_DESK_DEPTH": "5"})
TWINS = Preset(("desk-a",), settings={"DEXEXEC_DESK_SIDE": "right"}, defaults={"DEXEXEC_DESK_DEPTH": "6"})
NO_PRESET = ("raydium", "meteora")
CLUSTERS = {"DEXEXEC_RAYDIUM_CLUSTER": "devnet", "DEXEXEC_METEORA_CLUSTER": "devnet"}


@pytest.fixture
def desks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other presets are installed."""
    values = {"desks": f"{HERE}:DESKS", "twins": f"{HERE}:TWINS", "none": f"{HERE}:NO_PRESET", "gone": "nowhere:X"}
    points = [EntryPoint(name, value, GROUP) for name, value in values.items()]
    monkeypatch.setattr(presets, "entry_points", lambda *, group: points)


def started(cluster: str, **environ: str) -> list[Any]:
    """What DEXEXEC_ADAPTERS=devnet opens on a node of a cluster."""
    given = {ADAPTERS: "devnet", **environ}
    chains = {Network.SOLANA: RecordedChain({})}
    classes = registry.load(["devnet"])
    assert registry.networks(classes, given) == {Network.SOLANA}
    return registry.create(classes, given, ManualClock(), Tokens(KNOWN), chains, {Network.SOLANA: cluster})


# ---- mainnet ---------------------------------------------------------------------------------------------------------


def test_mainnet_has_every_venue_that_was_compared_with_its_program() -> None:
    classes = registry.load(["mainnet"])
    proven = [load for load in registry.load(own()) if not load.capabilities.unproven]
    assert {venue.name for venue in classes} == {venue.name for venue in proven}
    chains = {Network.SOLANA: RecordedChain({})}
    given = environment({ADAPTERS: "mainnet"})
    made = registry.create(classes, given, ManualClock(), Tokens(KNOWN), chains, {Network.SOLANA: "mainnet-beta"})
    assert {venue.capabilities.network for venue in made} == {Network.SOLANA}
    with pytest.raises(AdapterLoadError, match="is mainnet-beta, but the node belongs to devnet"):
        registry.create(classes, given, ManualClock(), Tokens(KNOWN), chains, {Network.SOLANA: "devnet"})


def own() -> list[str]:
    """The adapters of this repository with real programs."""
    names = (name for name, point in registry.installed().items() if point.value.startswith("dexexec_adapters."))
    return [name for name in names if not name.startswith("mock-")]


# ---- devnet ----------------------------------------------------------------------------------------------------------


def test_devnet_is_both_venues_with_devnets_programs() -> None:
    assert registry.load(["devnet"]) == [Raydium, Meteora]
    raydium, meteora = started("devnet")
    assert raydium.program_id == "DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb"
    assert meteora.program_id == "cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG"
    assert raydium.context.cluster == "devnet"


@pytest.mark.parametrize("cluster", ["mainnet-beta", "testnet"])
def test_a_node_of_another_cluster_is_refused(cluster: str) -> None:
    text = f"raydium: DEXEXEC_RAYDIUM_CLUSTER is devnet, but the node belongs to {cluster}"
    with pytest.raises(AdapterLoadError, match=text):
        started(cluster)


def test_program_and_pools_can_still_be_set() -> None:
    raydium, _ = started("devnet", DEXEXEC_RAYDIUM_PROGRAM_ID="CPMDWBwJDtYax9qW7AyRuVC19Cc4L4Vcy4n2BHAbHkCW")
    assert raydium.program_id == "CPMDWBwJDtYax9qW7AyRuVC19Cc4L4Vcy4n2BHAbHkCW"


@pytest.mark.parametrize("other", ["mainnet-beta", "localnet"])
def test_another_cluster_in_the_environment_contradicts_it(other: str) -> None:
    with pytest.raises(AdapterLoadError) as refused:
        started("devnet", DEXEXEC_METEORA_CLUSTER=other)
    message = str(refused.value)
    assert message.startswith("DEXEXEC_METEORA_CLUSTER contradicts the preset 'devnet' of DEXEXEC_ADAPTERS")
    assert "where it is devnet: unset it, or name the adapters (raydium, meteora) instead" in message
    assert other not in message, "a value is not repeated"
    assert started("devnet", DEXEXEC_METEORA_CLUSTER="devnet"), "saying the same is no contradiction"


def test_without_the_preset_the_environment_stays_as_it_is() -> None:
    for names in ("", "raydium,meteora", "mock-raydium", "package.devnet:Devnet"):
        given = {ADAPTERS: names, "DEXEXEC_METEORA_CLUSTER": "localnet"} if names else {"HOME": "/"}
        assert environment(given) == given


def test_every_variable_of_it_is_one_of_its_adapters() -> None:
    known = {name for found in registry.load(DEVNET.adapters) for name in registry.options_of(found)}
    assert {*DEVNET.settings, *DEVNET.defaults} <= known


def test_reading_it_and_the_settings_of_every_adapter_needs_no_solana_library() -> None:
    """Who runs the mocks alone neither waits for one nor has to have it."""
    code = (
        "import sys; sys.modules['solders'] = None; from dexexec.venues import registry as r;"
        "r.load(['devnet', 'mock-raydium', 'mock-meteora']); print(len(r.option_names()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert int(shown.stdout) > 20, shown.stderr


# ---- any preset ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "due"),
    [
        (["devnet"], ["raydium", "meteora"]),
        (["mock-raydium", "devnet", "mock-meteora"], ["mock-raydium", "raydium", "meteora", "mock-meteora"]),
        (["devnet", "raydium"], ["meteora", "raydium"]),
        (["devnet", "devnet"], ["raydium", "meteora"]),
        (["raydium", "raydium"], ["raydium", "raydium"]),
        (["package.module:Class"], ["package.module:Class"]),
        ([], []),
    ],
)
def test_a_preset_is_mixed_with_names(names: list[str], due: list[str]) -> None:
    assert expand(names) == due


def test_a_preset_and_an_adapter_are_loaded_side_by_side() -> None:
    assert registry.load(["mock-raydium", "devnet"]) == [MockRaydium, Raydium, Meteora]


def test_a_name_close_to_a_preset_is_pointed_to_it() -> None:
    with pytest.raises(AdapterLoadError, match=r"'devnett': did you mean devnet\? .*; presets are devnet, mainnet$"):
        registry.load(["devnett"])


@pytest.mark.usefixtures("desks")
def test_the_environment_wins_over_defaults_and_an_empty_value_is_unset() -> None:
    assert environment({ADAPTERS: " desks "})["DEXEXEC_DESK_DEPTH"] == "5"
    assert environment({ADAPTERS: "desks", "DEXEXEC_DESK_DEPTH": "9"})["DEXEXEC_DESK_DEPTH"] == "9"
    found = environment({ADAPTERS: "desks", "DEXEXEC_DESK_DEPTH": "", "DEXEXEC_DESK_SIDE": ""})
    assert (found["DEXEXEC_DESK_DEPTH"], found["DEXEXEC_DESK_SIDE"]) == ("5", "left")


@pytest.mark.usefixtures("desks")
def test_presets_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(AdapterLoadError, match=r"'desks' and 'twins' of .*: DEXEXEC_DESK_SIDE is left .* and right in"):
        environment({ADAPTERS: "desks,twins"})


@pytest.mark.usefixtures("desks")
@pytest.mark.parametrize(
    ("name", "problem"), [("none", "must be a dexexec.venue.Preset"), ("gone", "cannot be loaded: ModuleNotFoundError")]
)
def test_an_object_that_is_not_a_preset_is_refused_only_when_it_is_enabled(name: str, problem: str) -> None:
    assert expand(["desks"]) == ["desk-a", "desk-b"]
    with pytest.raises(AdapterLoadError, match=problem):
        expand([name])


def test_two_presets_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("desks", f"{HERE}:{value}", GROUP) for value in ("DESKS", "TWINS")]
    monkeypatch.setattr(presets, "entry_points", lambda *, group: points)
    with pytest.raises(AdapterLoadError, match="two installed presets are called 'desks'"):
        expand(["desks"])

"""Adapters are found, loaded and set up, or refused with one line that names the remedy."""

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.swap import Blockhash, UnsignedSwap
from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import AdapterLoadError, StartupError
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.testing.clock import ManualClock
from dexexec.venue import Capabilities, Network, NoRoute, Unsupported, Venue, VenueContext
from dexexec.venues import registry
from dexexec.venues.registry import (
    GROUP,
    VenueClass,
    create,
    installed,
    load,
    networks,
    option_names,
    options_of,
    read_options,
)
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium

HERE = __name__


class AcmeOptions(BaseModel):
    rpc_key: str = "none"
    depth: int = Field(5, ge=1, le=9)

    @field_validator("rpc_key")
    @classmethod
    def _look(cls, value: str) -> str:
        if " " in value:
            raise ValueError(f"the key {value} has a space")
        return value


class Acme(Venue[AcmeOptions]):
    name = "acme"
    capabilities = Capabilities(network=Network.SIMULATED)
    Options = AcmeOptions
    options_prefix = "DEXEXEC_ACME_"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        raise NoRoute

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> UnsignedSwap:
        raise NoRoute


class AcmeTwin(Acme):
    """Another class that takes the same name."""


class OnMainnet(Acme):
    name = "on-mainnet"
    capabilities = Capabilities(network=Network.SOLANA)


class Clumsy(Acme):
    name = "clumsy"

    def __init__(self, context: VenueContext[AcmeOptions]) -> None:
        raise RuntimeError(f"cannot log in with {context.options.rpc_key}\nand more")


class Nameless(Acme):
    name: ClassVar[str] = "Not A Name"


class Incapable(Acme):
    name = "incapable"
    capabilities = None  # type: ignore[assignment]


class HalfDone(Venue[AcmeOptions]):
    name = "half-done"
    capabilities = Capabilities()


class NotAVenue:
    name = "not-a-venue"


def points(**values: str) -> list[EntryPoint]:
    return [EntryPoint(name.replace("_", "-"), value, GROUP) for name, value in values.items()]


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """The entry points that count as installed, for a test to fill."""
    found: list[EntryPoint] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == GROUP
        return found

    monkeypatch.setattr(registry, "entry_points", entry_points)
    return iter([found])


def test_the_adapters_of_this_repository_are_installed_and_loaded_by_name_in_the_order_given() -> None:
    assert {"mock-raydium", "mock-meteora"} <= set(installed())
    assert load(["mock-raydium", "mock-meteora"]) == [MockRaydium, MockMeteora]
    assert load(["mock-meteora", "mock-raydium"]) == [MockMeteora, MockRaydium]


def test_a_dotted_path_is_loaded_without_being_installed() -> None:
    assert load([f"{HERE}:Acme"]) == [Acme]


def refusal(names: Sequence[str]) -> str:
    with pytest.raises(AdapterLoadError) as error:
        load(names)
    text = str(error.value)
    assert "\n" not in text
    assert isinstance(error.value, StartupError)
    return text


def test_an_unknown_name_is_refused_with_the_known_ones_and_the_nearest() -> None:
    text = refusal(["mock-raydum"])
    assert "'mock-raydum'" in text
    assert "did you mean mock-raydium?" in text
    assert f"installed are {', '.join(installed())}; presets are devnet, mainnet" in text
    assert "did you mean" not in refusal(["zzz"])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"{HERE}:NotAVenue", "must be a subclass of dexexec.venue.Venue"),
        (f"{HERE}:HERE", "must be a subclass of dexexec.venue.Venue"),
        (f"{HERE}:Nameless", "needs a `name`"),
        (f"{HERE}:Incapable", "needs `capabilities`"),
        (f"{HERE}:HalfDone", "it lacks build, quote"),
        (f"{HERE}:Missing", "has no attribute 'Missing'"),
        ("no_such_package.venue:Acme", "No module named 'no_such_package'"),
        (f"{HERE}:", "a path has the form package.module:Class"),
        (":Acme", "a path has the form package.module:Class"),
    ],
)
def test_a_path_that_leads_to_no_adapter_is_refused_with_the_reason(path: str, reason: str) -> None:
    assert reason in refusal([path])


def test_two_adapters_of_one_name_cannot_both_be_enabled() -> None:
    assert "'acme' is enabled twice" in refusal([f"{HERE}:Acme", f"{HERE}:AcmeTwin"])
    assert "'mock-raydium' is enabled twice" in refusal(["mock-raydium", "mock-raydium"])


def test_two_packages_that_claim_one_name_are_both_named(packages: Iterator[list[EntryPoint]]) -> None:
    next(packages).extend([*points(acme=f"{HERE}:Acme"), *points(acme=f"{HERE}:AcmeTwin")])
    text = refusal(["acme"])
    assert f"{HERE}:Acme and {HERE}:AcmeTwin" in text


def test_one_package_that_is_seen_twice_is_one_adapter(packages: Iterator[list[EntryPoint]]) -> None:
    next(packages).extend(points(acme=f"{HERE}:Acme") * 2)
    assert load(["acme"]) == [Acme]


def test_an_entry_point_and_its_class_must_agree_on_the_name(packages: Iterator[list[EntryPoint]]) -> None:
    next(packages).extend(points(other=f"{HERE}:Acme"))
    assert "has the name 'acme'" in refusal(["other"])


def test_a_broken_package_only_stops_services_that_enable_it(packages: Iterator[list[EntryPoint]]) -> None:
    next(packages).extend([*points(broken="no_such_package:X"), *points(acme=f"{HERE}:Acme")])
    assert load(["acme"]) == [Acme]
    assert option_names() == {"DEXEXEC_ACME_RPC_KEY", "DEXEXEC_ACME_DEPTH"}
    assert "'broken' (no_such_package:X) cannot be loaded" in refusal(["broken"])


def test_the_settings_of_installed_adapters_are_known_and_described() -> None:
    assert {"DEXEXEC_MOCK_SEED", "DEXEXEC_MOCK_LATENCY_MS", "DEXEXEC_MOCK_DROP_RATE"} <= option_names()
    described = options_of(MockRaydium)
    assert set(described) <= option_names()
    assert all(described.values())


# ---- instances -----------------------------------------------------------------------------------------------------


def start(found: type[Venue[Any]], **environ: str) -> Venue[Any]:
    clock = ManualClock()
    chains = {Network.SIMULATED: SimulatedChain(MemoryLedger(clock))}
    [venue] = create([found], environ, clock, Tokens(KNOWN), chains)
    assert venue.context.chain is chains[Network.SIMULATED]
    assert venue.context.clock is clock
    return venue


def test_options_of_an_adapter_that_is_enabled_by_its_path_are_known_too() -> None:
    assert "DEXEXEC_ACME_DEPTH" not in option_names()
    assert "DEXEXEC_ACME_DEPTH" in option_names({"DEXEXEC_ADAPTERS": f"mock-raydium, {HERE}:Acme, nowhere:Nothing"})


def test_an_adapter_is_given_its_options_from_the_environment() -> None:
    assert start(Acme).options == AcmeOptions()
    assert start(Acme, DEXEXEC_ACME_DEPTH="7", DEPTH="8", DEXEXEC_ACME_RPC_KEY="").options == AcmeOptions(depth=7)
    assert start(MockRaydium, DEXEXEC_MOCK_FAILURE_RATE="0.5").options.failure_rate == 0.5


def test_an_option_out_of_range_names_the_variable_and_its_bound() -> None:
    with pytest.raises(AdapterLoadError) as error:
        start(MockRaydium, DEXEXEC_MOCK_LATENCY_MS="-5", DEXEXEC_MOCK_FAILURE_RATE="nan")
    text = str(error.value)
    assert "DEXEXEC_MOCK_LATENCY_MS must be a whole number from 0 to 600000, not '-5'" in text
    assert "DEXEXEC_MOCK_FAILURE_RATE must be a number from 0 to 1, not 'nan'" in text


def test_a_value_is_never_repeated_not_even_by_an_adapters_own_words() -> None:
    typed = "s3cr3t of-my-wallet"
    for found in (Acme, MockRaydium):
        variable = "DEXEXEC_ACME_RPC_KEY" if found is Acme else "DEXEXEC_MOCK_SEED"
        with pytest.raises(AdapterLoadError) as error:
            read_options(found, {variable: typed})
        assert variable in str(error.value)
        assert typed not in str(error.value)
        assert error.value.__cause__ is None
    with pytest.raises(AdapterLoadError, match="clumsy does not start: RuntimeError: cannot log in") as error:
        start(Clumsy, DEXEXEC_ACME_RPC_KEY="s3cr3t-of-my-wallet")
    assert "s3cr3t" not in str(error.value)
    assert "\n" not in str(error.value)


def test_an_adapter_gets_the_cluster_of_its_network() -> None:
    clock = ManualClock()
    chains = {Network.SIMULATED: SimulatedChain(MemoryLedger(clock))}
    for clusters, expected in (({}, ""), ({Network.SOLANA: "devnet"}, ""), ({Network.SIMULATED: "devnet"}, "devnet")):
        [venue] = create([Acme], {}, clock, Tokens(KNOWN), chains, clusters)
        assert venue.context.cluster == expected


class Choosy(Acme):
    name = "choosy"

    def __init__(self, context: VenueContext[AcmeOptions]) -> None:
        raise Unsupported(f"there is no desk on {context.cluster or 'no cluster'} for {context.options.rpc_key}")


def test_an_adapters_option_error_keeps_its_words_and_shows_no_values() -> None:
    with pytest.raises(AdapterLoadError, match=r"^choosy: there is no desk on no cluster for \*\*\*$"):
        start(Choosy, DEXEXEC_ACME_RPC_KEY="s3cr3t-of-my-wallet")


class LevelOptions(AcmeOptions):
    level: Literal["moderate", "outrageous"] = "moderate"


class Levelled(Choosy):
    name = "levelled"
    Options = LevelOptions

    def __init__(self, context: VenueContext[Any]) -> None:
        raise Unsupported(f"{context.options.level} is too much for {context.options.rpc_key}")


def test_a_value_from_a_closed_list_is_not_masked() -> None:
    with pytest.raises(AdapterLoadError, match=r"^levelled: outrageous is too much for \*\*\*$"):
        start(Levelled, DEXEXEC_ACME_LEVEL="outrageous", DEXEXEC_ACME_RPC_KEY="s3cr3t-of-my-wallet")


class Undecided(Acme):
    name = "undecided"

    def __init__(self, context: VenueContext[AcmeOptions]) -> None:
        super().__init__(context)
        self.capabilities = Capabilities(network=Network.LOCALNET)


def test_an_adapter_that_would_settle_on_another_chain_than_it_was_given_is_refused() -> None:
    with pytest.raises(
        AdapterLoadError, match=r"undecided got the chain of 'simulated', but its capabilities name 'localnet'"
    ):
        start(Undecided)


class Elsewhere(Acme):
    name = "elsewhere"
    capabilities = Capabilities(network="moonchain")


class Nowhere(Acme):
    name = "nowhere"

    @classmethod
    def network_for(cls, options: Any) -> Any:
        return ["simulated"]


@pytest.mark.parametrize("found", [Elsewhere, Nowhere])
def test_an_adapter_of_a_network_that_the_engine_cannot_look_swaps_up_on_is_refused_in_one_line(
    found: VenueClass,
) -> None:
    problem = rf"^{found.name} settles on .*, which is not a network of the engine \(localnet, simulated, solana\)$"
    with pytest.raises(AdapterLoadError, match=problem):
        networks([found], {})
    with pytest.raises(AdapterLoadError, match=problem):
        start(found)


def test_an_adapter_of_a_network_that_is_not_set_up_is_refused() -> None:
    with pytest.raises(AdapterLoadError, match=r"on-mainnet settles on 'solana'.*\(available: simulated\)"):
        start(OnMainnet)

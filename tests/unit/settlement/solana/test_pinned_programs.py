"""Which programs the wallet signs for is the operator's word, not the adapter's."""

from collections.abc import Iterable
from typing import Any, cast

import pytest

from dexexec.config.settings import load
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.testing.clock import ManualClock
from dexexec.venue import (
    AnyVenue,
    Capabilities,
    Network,
    NoOptions,
    NoRoute,
    SolanaChain,
    Unsigned,
    Venue,
    VenueContext,
)
from dexexec.venues import registry
from dexexec_adapters.raydium.venue import Raydium
from tests.support.swap_transactions import address

AMM, ROUTER, OTHER = address("amm"), address("router"), address("other")


class Stranger(Venue[NoOptions]):
    """An adapter from elsewhere, with programs that a test gives it."""

    name = "stranger"
    capabilities = Capabilities()
    says: Any = frozenset({AMM})

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        raise NoRoute

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        raise NoRoute

    @property
    def programs(self) -> frozenset[str]:
        if isinstance(self.says, Exception):
            raise self.says
        return cast("frozenset[str]", self.says)


class Impostor(Raydium):
    """Calls itself as one that comes with the engine does."""


def venue(says: object = frozenset({AMM}), kind: type[Stranger] = Stranger) -> AnyVenue:
    made = kind(VenueContext(ManualClock(), Tokens(KNOWN), cast("SolanaChain", None), NoOptions()))
    made.says = says
    return made


def settled(pins: Pins, *venues: AnyVenue, built_in: Iterable[str] = ()) -> Pins:
    pins.bind(venues or [venue()], frozenset(built_in))
    return pins


def test_a_third_party_venue_starts_only_with_its_programs_pinned_or_names_the_setting() -> None:
    calls = venue(frozenset({AMM, ROUTER}))
    first, second = sorted((AMM, ROUTER))
    with pytest.raises(AdapterLoadError) as refused:
        settled(Pins({"stranger": frozenset({AMM})}), calls)
    assert str(refused.value).startswith(f"stranger calls {ROUTER}, which is not pinned")
    assert f"set DEXEXEC_VENUE_PROGRAMS=stranger={first},stranger={second}" in str(refused.value)
    pins = settled(Pins({"stranger": frozenset({AMM, ROUTER, OTHER})}), calls)
    assert pins.of("stranger") == {AMM, ROUTER, OTHER}, "the operator may allow more than it says today"


def test_an_adapters_later_answers_about_programs_change_nothing() -> None:
    calls = venue()
    pins = settled(Pins({"stranger": frozenset({AMM})}), calls)
    cast("Stranger", calls).says = frozenset({AMM, OTHER})
    assert pins.of("stranger") == {AMM}


def test_a_venue_without_programs_of_its_own_needs_no_pins() -> None:
    assert settled(Pins(), venue(frozenset())).of("stranger") == frozenset()


def test_venues_of_the_engine_are_pinned_by_it_unless_the_operator_does() -> None:
    assert settled(Pins(), built_in=["stranger"]).of("stranger") == {AMM}
    with pytest.raises(AdapterLoadError, match="not pinned"):
        settled(Pins({"stranger": frozenset({OTHER})}), built_in=["stranger"])


def test_on_the_simulated_chain_there_are_no_programs_to_pin() -> None:
    class Simulated(Stranger):
        capabilities = Capabilities(network=Network.SIMULATED)

    assert settled(Pins(), venue(kind=Simulated)).of("stranger") == frozenset()


def test_pins_of_a_venue_that_is_not_enabled_are_refused() -> None:
    with pytest.raises(
        AdapterLoadError, match=r"names the venue 'strange', which is not enabled \(enabled: stranger\)"
    ):
        settled(Pins({"strange": frozenset({AMM})}))


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (ValueError("no idea"), "does not declare which programs it calls: no idea"),
        (None, "does not declare which programs it calls"),
        (frozenset({7}), "declares '7', which is not the address"),
        (frozenset({AMM[:-3]}), "which is not the address"),
    ],
)
def test_an_adapters_declared_programs_are_checked(says: object, why: str) -> None:
    with pytest.raises(AdapterLoadError, match=why):
        settled(Pins({"stranger": frozenset({AMM})}), venue(says))


def test_only_the_engines_own_classes_count_as_its_own() -> None:
    own = registry.load(["raydium", "dexexec_adapters.meteora.venue:Meteora", "mock-raydium", "mock-meteora"])
    assert registry.built_in(own) == {"raydium", "meteora", "mock-raydium", "mock-meteora"}
    assert registry.built_in([Impostor, Stranger]) == frozenset()
    Impostor.__module__, Impostor.__qualname__ = Raydium.__module__, Raydium.__qualname__
    assert registry.built_in([Impostor]) == frozenset(), "whatever it says of itself"


def test_pins_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXEXEC_VENUE_PROGRAMS", f"stranger={AMM}, stranger = {ROUTER},acme={OTHER},")
    pins = Pins.read(load().venue_programs)
    assert pins.of("stranger") == {AMM, ROUTER}
    assert pins.of("acme") == {OTHER}


@pytest.mark.parametrize("entry", ["stranger", f"={AMM}", "stranger=", "stranger=0OIl", f"stranger={AMM}x", AMM])
def test_pins_that_cannot_be_right_name_the_variable_and_the_form(entry: str) -> None:
    with pytest.raises(AdapterLoadError, match="DEXEXEC_VENUE_PROGRAMS: each must be VENUE=ADDRESS"):
        Pins.read([f"acme={OTHER}", entry])
